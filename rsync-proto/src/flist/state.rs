//! The running state that entries refer to by their SAME bits (02-file-list 4.4).

/// Numbers of the previous entry. All 0 at the start of a session, updated by every entry, never reset; the
/// previous name lies beside it, in the encoder's and the decoder's buffers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Previous {
    pub(super) mode: u32,
    pub(super) mtime: i64,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Of the last device that carried or inherited one, not of the last entry.
    pub(super) rdev_major: u32,
    /// Protocol 29, as on the wire; of the last hard-linked entry.
    pub(super) dev: u64,
}

/// Length of what two names share in front, at most `max`.
pub(super) fn common_prefix(a: &[u8], b: &[u8], max: usize) -> usize {
    let mut same = 0;
    for (x, y) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        let differing = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differing != 0 {
            return max.min(same + (differing.trailing_zeros() / 8) as usize);
        }
        same += 8;
        if same >= max {
            return max;
        }
    }
    let tail = a.iter().zip(b).skip(same).take_while(|(x, y)| x == y);
    max.min(same + tail.count())
}

#[cfg(test)]
mod tests {
    use super::common_prefix;

    #[test]
    fn common_prefix_at_every_length() {
        let a: Vec<u8> = (0..40).collect();
        for differs_at in 0..40 {
            for max in [0, 5, 8, 16, 31, 255] {
                let mut b = a.clone();
                b[differs_at] = 0xff;
                assert_eq!(common_prefix(&a, &b, max), differs_at.min(max));
                assert_eq!(
                    common_prefix(&a, &a[..differs_at], max),
                    differs_at.min(max)
                );
            }
        }
    }
}
