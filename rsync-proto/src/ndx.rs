//! Indices of the file list on the wire (01-session 3.4).

use crate::error::{DecodeError, Violation};
use crate::version::Protocol;
use crate::wire::{Cursor, put_int};

/// What stands where an index is expected: an entry of the file list, or one of the negative codes
/// (03-transfer 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ndx(pub i32);

impl Ndx {
    /// End of a phase, or of one incremental list.
    pub const DONE: Self = Self(-1);
    /// No more incremental lists follow.
    pub const FLIST_EOF: Self = Self(-2);
    /// Delete statistics follow.
    pub const DEL_STATS: Self = Self(-3);

    /// The code that announces the incremental list of directory number `dir`.
    #[must_use]
    pub fn sublist(dir: u32) -> Self {
        Self(FLIST_OFFSET.saturating_sub_unsigned(dir))
    }

    /// The directory number, if this announces an incremental list.
    #[must_use]
    pub fn as_sublist(self) -> Option<u32> {
        (self.0 <= FLIST_OFFSET).then(|| self.0.abs_diff(FLIST_OFFSET))
    }

    /// The index, if this is an entry of the file list. Whether the entry exists is another question.
    #[must_use]
    pub fn as_entry(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }
}

/// Decoder of the indices of one direction. Lives as long as the session, over all file lists.
#[derive(Debug, Clone)]
pub struct NdxReader(State);

impl NdxReader {
    /// The state at the start of a session.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self(State::new(protocol))
    }

    /// Reads the next index. The state and the cursor stay as they were unless the result is `Ok`.
    ///
    /// # Errors
    /// Incomplete; [`Violation::IndexCoding`] or [`Violation::IndexOutOfRange`] for what no writer sends.
    pub fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Ndx, DecodeError> {
        if self.0.fixed {
            let mut probe = cursor.clone();
            let value = probe.int()?;
            check_known(value)?;
            *cursor = probe;
            return Ok(Ndx(value));
        }
        let mut probe = cursor.clone();
        let first = probe.byte()?;
        let ndx = match first {
            DONE_BYTE => Ndx::DONE,
            NEGATIVE => {
                let byte = probe.byte()?;
                if byte == DONE_BYTE || byte == NEGATIVE {
                    return Err(Violation::IndexCoding { byte }.into());
                }
                let magnitude = body(&mut probe, byte, self.0.negative)?;
                if magnitude < 2 {
                    // -1 has a byte of its own, and 0 is no negative number.
                    let value = i64::from(-magnitude);
                    return Err(Violation::IndexOutOfRange { value }.into());
                }
                check_known(-magnitude)?;
                self.0.negative = magnitude;
                Ndx(-magnitude)
            }
            byte => {
                let value = body(&mut probe, byte, self.0.positive)?;
                self.0.positive = value;
                Ndx(value)
            }
        };
        *cursor = probe;
        Ok(ndx)
    }
}

/// Encoder of the indices of one direction, the mirror of [`NdxReader`].
#[derive(Debug, Clone)]
pub struct NdxWriter(State);

impl NdxWriter {
    /// The state at the start of a session.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self(State::new(protocol))
    }

    /// Appends an index.
    pub fn write(&mut self, ndx: Ndx, out: &mut Vec<u8>) {
        if self.0.fixed {
            return put_int(out, ndx.0);
        }
        if ndx == Ndx::DONE {
            return out.push(DONE_BYTE);
        }
        let (value, previous) = if ndx.0 >= 0 {
            (ndx.0, &mut self.0.positive)
        } else {
            out.push(NEGATIVE);
            (ndx.0.saturating_neg(), &mut self.0.negative)
        };
        let step = i64::from(value) - i64::from(*previous);
        *previous = value;
        match (u8::try_from(step), u16::try_from(step)) {
            (Ok(short @ 1..=0xfd), _) => out.push(short),
            (_, Ok(step @ ..=0x7fff)) => {
                let [low, high] = step.to_le_bytes();
                out.extend_from_slice(&[LONG, high, low]);
            }
            _ => {
                let [a, b, c, d] = value.to_le_bytes();
                out.extend_from_slice(&[LONG, ABSOLUTE | d, a, b, c]);
            }
        }
    }
}

/// The last positive value and the magnitude of the last negative one.
#[derive(Debug, Clone)]
struct State {
    fixed: bool,
    positive: i32,
    negative: i32,
}

impl State {
    fn new(protocol: Protocol) -> Self {
        Self {
            fixed: !protocol.has_varints(),
            positive: -1,
            negative: 1,
        }
    }
}

/// The value whose coding starts with `first`, relative to `previous`.
fn body(cursor: &mut Cursor<'_>, first: u8, previous: i32) -> Result<i32, DecodeError> {
    let value = if first == LONG {
        let high = cursor.byte()?;
        let next = cursor.byte()?;
        if high & ABSOLUTE == 0 {
            i64::from(previous) + (i64::from(high) << 8) + i64::from(next)
        } else {
            let (b, c) = (cursor.byte()?, cursor.byte()?);
            i64::from(i32::from_le_bytes([next, b, c, high & !ABSOLUTE]))
        }
    } else {
        i64::from(previous) + i64::from(first)
    };
    match i32::try_from(value) {
        Ok(value @ 0..) => Ok(value),
        _ => Err(Violation::IndexOutOfRange { value }.into()),
    }
}

/// Refuses negative values without a meaning.
fn check_known(value: i32) -> Result<(), Violation> {
    match value {
        0.. | -3..=-1 | ..=FLIST_OFFSET => Ok(()),
        _ => Err(Violation::IndexOutOfRange {
            value: i64::from(value),
        }),
    }
}

const FLIST_OFFSET: i32 = -101;
const DONE_BYTE: u8 = 0x00;
const LONG: u8 = 0xfe;
const NEGATIVE: u8 = 0xff;
const ABSOLUTE: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const VECTORS: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testkit/vectors/session/encodings.tsv"
    ));

    #[test]
    fn golden_streams() {
        let mut streams: BTreeMap<&str, (Vec<i32>, Vec<u8>)> = BTreeMap::new();
        for line in VECTORS.lines().filter(|l| l.starts_with("ndx\t")) {
            let fields: Vec<&str> = line.split('\t').collect();
            let stream = streams.entry(fields[1]).or_default();
            stream.0.push(fields[2].parse().unwrap());
            for byte in fields[3].split(' ') {
                stream.1.push(u8::from_str_radix(byte, 16).unwrap());
            }
        }
        assert_eq!(streams.len(), 5);
        for (name, (values, bytes)) in streams {
            let protocol = if name == "protocol<30" {
                Protocol::V29
            } else {
                Protocol::V31
            };
            let mut out = Vec::new();
            let mut writer = NdxWriter::new(protocol);
            values.iter().for_each(|&v| writer.write(Ndx(v), &mut out));
            assert_eq!(out, bytes, "{name}");
            let (mut reader, mut cursor) = (NdxReader::new(protocol), Cursor::new(&bytes));
            for value in values {
                assert_eq!(reader.read(&mut cursor), Ok(Ndx(value)), "{name}");
            }
            assert_eq!(cursor.remaining(), 0, "{name}");
        }
    }

    #[test]
    fn what_no_writer_sends_is_refused() {
        let cases: [(&[u8], Violation); 6] = [
            (&[0xff, 0x00], Violation::IndexCoding { byte: 0 }),
            (&[0xff, 0xff], Violation::IndexCoding { byte: 0xff }),
            // Step 0 from -1.
            (&[0xfe, 0, 0], Violation::IndexOutOfRange { value: -1 }),
            // -1 as a negative number, -0, and a code without a meaning.
            (
                &[0xff, 0xfe, 0, 0],
                Violation::IndexOutOfRange { value: -1 },
            ),
            (
                &[0xff, 0xfe, 0x80, 0, 0, 0],
                Violation::IndexOutOfRange { value: 0 },
            ),
            (&[0xff, 0x03], Violation::IndexOutOfRange { value: -4 }),
        ];
        for (bytes, violation) in cases {
            let got = NdxReader::new(Protocol::V32).read(&mut Cursor::new(bytes));
            assert_eq!(got, Err(violation.into()), "{bytes:x?}");
        }
        let mut reader = NdxReader::new(Protocol::V32);
        let mut cursor = Cursor::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(reader.read(&mut cursor), Ok(Ndx(i32::MAX)));
        let beyond = Violation::IndexOutOfRange { value: 1 << 31 };
        assert_eq!(reader.read(&mut cursor), Err(beyond.into()));
    }

    #[test]
    fn sublists_map_to_directories() {
        assert_eq!(Ndx::sublist(0), Ndx(-101));
        assert_eq!(Ndx(-103).as_sublist(), Some(2));
        assert_eq!(Ndx::DEL_STATS.as_sublist(), None);
        assert_eq!(Ndx(7).as_sublist(), None);
        assert_eq!((Ndx(7).as_entry(), Ndx::DONE.as_entry()), (Some(7), None));
    }

    fn known() -> impl Strategy<Value = i32> {
        prop_oneof![
            0..1000,
            0..=i32::MAX,
            -3..=-1,
            -2000..=-101,
            (i32::MIN + 1)..=-101
        ]
    }

    proptest! {
        #[test]
        fn streams_round_trip(values in proptest::collection::vec(known(), 1..20)) {
            for protocol in Protocol::ALL {
                let (mut writer, mut reader) = (NdxWriter::new(protocol), NdxReader::new(protocol));
                for &value in &values {
                    let mut bytes = Vec::new();
                    writer.write(Ndx(value), &mut bytes);
                    for cut in 0..bytes.len() {
                        // A prefix leaves the state alone: the whole still reads afterwards.
                        prop_assert_eq!(reader.read(&mut Cursor::new(&bytes[..cut])), Err(DecodeError::Incomplete));
                    }
                    prop_assert_eq!(reader.read(&mut Cursor::new(&bytes)), Ok(Ndx(value)));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_give_known_values(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            for protocol in Protocol::ALL {
                let (mut reader, mut cursor) = (NdxReader::new(protocol), Cursor::new(&bytes));
                while let Ok(ndx) = reader.read(&mut cursor) {
                    prop_assert!(check_known(ndx.0).is_ok());
                }
            }
        }
    }
}
