//! Statistics at the end of a session (01-session 11.6, 11.7).

use crate::error::{DecodeError, Violation};
use crate::limits;
use crate::version::Protocol;
use crate::wire::{Cursor, put_varint, put_varlong30};

/// The numbers that a sending server tells the client after the last phase of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Bytes that the server read: what the client sent.
    pub total_read: u64,
    /// Bytes that the server wrote: what the client received.
    pub total_written: u64,
    /// Bytes of all regular files and link targets of the list.
    pub total_size: u64,
    /// Milliseconds to build the file list.
    pub flist_build_ms: u64,
    /// Milliseconds to send the file list.
    pub flist_transfer_ms: u64,
}

impl Stats {
    /// Reads the five numbers.
    ///
    /// # Errors
    /// Incomplete; [`Violation::Statistics`] for a negative number.
    pub fn decode(cursor: &mut Cursor<'_>, protocol: Protocol) -> Result<Self, DecodeError> {
        let mut probe = cursor.clone();
        let mut number = || -> Result<u64, DecodeError> {
            let value = probe.varlong30(protocol, MIN_BYTES)?;
            u64::try_from(value).map_err(|_| Violation::Statistics { value }.into())
        };
        let stats = Self {
            total_read: number()?,
            total_written: number()?,
            total_size: number()?,
            flist_build_ms: number()?,
            flist_transfer_ms: number()?,
        };
        *cursor = probe;
        Ok(stats)
    }

    /// Appends the five numbers. Numbers above 2^63 - 1 have no form and are sent as that.
    pub fn put(&self, out: &mut Vec<u8>, protocol: Protocol) {
        for number in [
            self.total_read,
            self.total_written,
            self.total_size,
            self.flist_build_ms,
            self.flist_transfer_ms,
        ] {
            let value = i64::try_from(number).unwrap_or(i64::MAX);
            put_varlong30(out, protocol, value, MIN_BYTES);
        }
    }
}

/// How many entries of each kind the receiving side deleted. Follows [`Ndx::DEL_STATS`](crate::ndx::Ndx),
/// protocol 31 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DelStats {
    /// Regular files.
    pub files: u32,
    /// Directories.
    pub dirs: u32,
    /// Symbolic links.
    pub symlinks: u32,
    /// Devices.
    pub devices: u32,
    /// Other special files.
    pub specials: u32,
}

impl DelStats {
    /// Reads the five numbers.
    ///
    /// # Errors
    /// Incomplete; [`Violation::Statistics`] for a number outside of 0..=2^28.
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let mut probe = cursor.clone();
        let mut number = || -> Result<u32, DecodeError> {
            let value = probe.varint()?;
            u32::try_from(value)
                .ok()
                .filter(|_| value <= limits::DELETE_COUNT)
                .ok_or_else(|| {
                    let value = i64::from(value);
                    Violation::Statistics { value }.into()
                })
        };
        let stats = Self {
            files: number()?,
            dirs: number()?,
            symlinks: number()?,
            devices: number()?,
            specials: number()?,
        };
        *cursor = probe;
        Ok(stats)
    }

    /// Appends the five numbers, each at most 2^28.
    pub fn put(&self, out: &mut Vec<u8>) {
        for number in [
            self.files,
            self.dirs,
            self.symlinks,
            self.devices,
            self.specials,
        ] {
            let value = number.min(limits::DELETE_COUNT.cast_unsigned());
            put_varint(out, value.cast_signed());
        }
    }

    /// All deletions together.
    #[must_use]
    pub fn total(&self) -> u64 {
        [
            self.files,
            self.dirs,
            self.symlinks,
            self.devices,
            self.specials,
        ]
        .into_iter()
        .map(u64::from)
        .sum()
    }
}

/// The `m` of the varlongs of the statistics.
const MIN_BYTES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn captured_numbers() {
        // 01-session 14.b and 14.e.
        let new = [0, 0x2e, 0, 0, 0x73, 0, 0, 0x0d, 0, 0, 1, 0, 0, 0, 0];
        let stats = Stats {
            total_read: 46,
            total_written: 115,
            total_size: 13,
            flist_build_ms: 1,
            flist_transfer_ms: 0,
        };
        assert_eq!(
            Stats::decode(&mut Cursor::new(&new), Protocol::V32),
            Ok(stats)
        );
        let old = [
            0x2c, 0, 0, 0, 0x84, 0, 0, 0, 0x0d, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        ];
        let stats = Stats {
            total_read: 44,
            total_written: 132,
            ..stats
        };
        assert_eq!(
            Stats::decode(&mut Cursor::new(&old), Protocol::V29),
            Ok(stats)
        );
        // 01-session 11.6.
        let deleted = DelStats {
            files: 2,
            dirs: 1,
            ..DelStats::default()
        };
        assert_eq!(
            DelStats::decode(&mut Cursor::new(&[2, 1, 0, 0, 0])),
            Ok(deleted)
        );
        assert_eq!(deleted.total(), 3);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, (1 << 28) + 1);
        let too_many = Violation::Statistics {
            value: (1 << 28) + 1,
        };
        assert_eq!(
            DelStats::decode(&mut Cursor::new(&bytes)),
            Err(too_many.into())
        );
        for protocol in Protocol::ALL {
            let mut bytes = Vec::new();
            put_varlong30(&mut bytes, protocol, -1, MIN_BYTES);
            let negative = Violation::Statistics { value: -1 };
            assert_eq!(
                Stats::decode(&mut Cursor::new(&bytes), protocol),
                Err(negative.into())
            );
        }
    }

    proptest! {
        #[test]
        fn stats_round_trip(numbers: [u64; 5], shift in 1_u32..64) {
            let [total_read, total_written, total_size, flist_build_ms, flist_transfer_ms] =
                numbers.map(|n| n >> shift);
            let stats = Stats { total_read, total_written, total_size, flist_build_ms, flist_transfer_ms };
            for protocol in Protocol::ALL {
                let mut bytes = Vec::new();
                stats.put(&mut bytes, protocol);
                prop_assert_eq!(Stats::decode(&mut Cursor::new(&bytes), protocol), Ok(stats));
                for cut in 0..bytes.len() {
                    let got = Stats::decode(&mut Cursor::new(&bytes[..cut]), protocol);
                    prop_assert_eq!(got, Err(DecodeError::Incomplete));
                }
            }
        }

        #[test]
        fn delete_stats_round_trip(numbers in proptest::array::uniform5(0_u32..=1 << 28)) {
            let [files, dirs, symlinks, devices, specials] = numbers;
            let stats = DelStats { files, dirs, symlinks, devices, specials };
            let mut bytes = Vec::new();
            stats.put(&mut bytes);
            prop_assert_eq!(DelStats::decode(&mut Cursor::new(&bytes)), Ok(stats));
            for cut in 0..bytes.len() {
                prop_assert_eq!(DelStats::decode(&mut Cursor::new(&bytes[..cut])), Err(DecodeError::Incomplete));
            }
        }
    }
}
