//! File systems on which changes are made that no event tells: by other machines, by a server process.

/// The name of the file system with this `statfs` magic number, if changes on it are made elsewhere too.
pub(crate) fn changed_elsewhere(magic: u64) -> Option<&'static str> {
    // Some file systems have a 32-bit magic with the highest bit set, which a signed field extends.
    let name = match magic & 0xFFFF_FFFF {
        0x6969 => "NFS",
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => "SMB",
        0x00C3_6400 => "Ceph",
        0x0102_1997 => "9p",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x6573_5546 => "FUSE",
        0x9FA0 => "proc",
        0x6265_6572 => "sysfs",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_ones_tell_everything() {
        for local in [0xEF53, 0x0102_1994, 0x5846_5342, 0x9123_683E, 0x794C_7630] {
            assert_eq!(changed_elsewhere(local), None, "{local:#x}");
        }
        assert_eq!(changed_elsewhere(0x6969), Some("NFS"));
        assert_eq!(changed_elsewhere(0xFFFF_FFFF_FF53_4D42), Some("SMB"));
    }
}
