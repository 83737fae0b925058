//! The bytes of one direction of a session, written by hand (01-session 3, 02-file-list 4, 03-transfer 2 to 5).

/// The index that ends a phase or a list.
pub const DONE: i32 = -1;
/// The index that says that no further list comes.
pub const FLIST_EOF: i32 = -2;
/// The index before statistics of deletions.
pub const DEL_STATS: i32 = -3;

/// The index before the list of a directory, by the directory's number.
#[must_use]
pub const fn sublist(dir: i32) -> i32 {
    -101 - dir
}

const DATA: u8 = 0;

/// An entry of a file list. What is `None` is left out of the wire, as if the option were off that sends it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The name, whatever it is, up to 255 bytes.
    pub name: &'a [u8],
    /// The mode with the type.
    pub mode: u32,
    /// The size.
    pub size: i64,
    /// TOP_DIR.
    pub top: bool,
    /// NO_CONTENT_DIR, which protocol 29 lacks.
    pub no_content: bool,
    /// The owner, with `-o`.
    pub uid: Option<u32>,
    /// The group, with `-g`.
    pub gid: Option<u32>,
    /// Major and minor number, with `-D`.
    pub device: Option<(u32, u32)>,
    /// The target, with `-l`.
    pub target: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// An empty object of 2023.
    #[must_use]
    pub fn new(name: &'a (impl AsRef<[u8]> + ?Sized), mode: u32) -> Self {
        Self {
            name: name.as_ref(),
            mode,
            size: 0,
            top: false,
            no_content: false,
            uid: None,
            gid: None,
            device: None,
            target: None,
        }
    }

    /// With TOP_DIR.
    #[must_use]
    pub const fn top(self) -> Self {
        Self { top: true, ..self }
    }

    /// Of a size.
    #[must_use]
    pub const fn size(self, size: i64) -> Self {
        Self { size, ..self }
    }

    /// Of an owner and a group.
    #[must_use]
    pub const fn owned(self, uid: u32, gid: u32) -> Self {
        Self {
            uid: Some(uid),
            gid: Some(gid),
            ..self
        }
    }
}

/// Writes one direction: stream bytes, which lie in frames or not, and messages between the frames.
#[derive(Debug)]
pub struct Writer {
    protocol: u32,
    framed: bool,
    previous: (i32, i32),
    stream: Vec<u8>,
    out: Vec<u8>,
}

impl Writer {
    pub(super) const fn new(protocol: u32, framed: bool) -> Self {
        Self {
            protocol,
            framed,
            previous: (-1, 1),
            stream: Vec::new(),
            out: Vec::new(),
        }
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        self.close_frame();
        std::mem::take(&mut self.out)
    }

    fn close_frame(&mut self) {
        let stream = std::mem::take(&mut self.stream);
        if !self.framed {
            self.out.extend(stream);
            return;
        }
        for piece in stream.chunks(0xffff) {
            self.frame(DATA, piece);
        }
    }

    fn frame(&mut self, tag: u8, payload: &[u8]) {
        let len = u32::try_from(payload.len()).expect("a short payload");
        let word = u32::from(tag + 7) << 24 | len;
        self.out.extend(word.to_le_bytes());
        self.out.extend(payload);
    }

    /// A message, between the frames of data. An unframed direction has none: nothing is written.
    pub fn message(&mut self, tag: u8, payload: impl AsRef<[u8]>) -> &mut Self {
        if self.framed {
            self.close_frame();
            self.frame(tag, payload.as_ref());
        }
        self
    }

    /// A message about an index.
    pub fn index_message(&mut self, tag: u8, index: i32) -> &mut Self {
        self.message(tag, index.to_le_bytes())
    }

    /// Stream bytes as they are.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.extend(bytes.as_ref());
        self
    }

    /// Four bytes.
    pub fn int(&mut self, value: i32) -> &mut Self {
        self.bytes(value.to_le_bytes())
    }

    /// Two bytes.
    pub fn short(&mut self, value: u16) -> &mut Self {
        self.bytes(value.to_le_bytes())
    }

    /// A varint from protocol 30 on, an int before.
    pub fn varint(&mut self, value: i32) -> &mut Self {
        if self.protocol < 30 {
            return self.int(value);
        }
        self.packed(&value.to_le_bytes(), 1)
    }

    /// A varlong of at least `min` bytes from protocol 30 on, a longint before.
    pub fn varlong(&mut self, value: i64, min: usize) -> &mut Self {
        if self.protocol >= 30 {
            return self.packed(&value.to_le_bytes(), min);
        }
        match i32::try_from(value) {
            Ok(value @ 0..) => self.int(value),
            _ => self.int(-1).bytes(value.to_le_bytes()),
        }
    }

    /// The bytes of a number, low first: how many there are above `min` stands in the first bits of the first byte.
    fn packed(&mut self, number: &[u8], min: usize) -> &mut Self {
        let mut len = number.len();
        while len > min && number[len - 1] == 0 {
            len -= 1;
        }
        let (top, extra) = (number[len - 1], len - min);
        let limit = 0x80_u8.checked_shr(extra as u32).unwrap_or(0);
        let ones = |count: usize| !0xff_u8.checked_shr(count as u32).unwrap_or(0);
        if top >= limit {
            self.bytes([ones(extra + 1)]).bytes(&number[..len])
        } else {
            self.bytes([top | ones(extra)]).bytes(&number[..len - 1])
        }
    }

    /// An index, or one of the negative codes.
    pub fn index(&mut self, index: i32) -> &mut Self {
        if self.protocol < 30 {
            return self.int(index);
        }
        if index == DONE {
            return self.bytes([0]);
        }
        let (value, previous) = if index < 0 {
            self.stream.push(0xff);
            (-index, &mut self.previous.1)
        } else {
            (index, &mut self.previous.0)
        };
        let step = i64::from(value) - i64::from(*previous);
        *previous = value;
        match step {
            1..=253 => self.bytes([step as u8]),
            0..=32767 => self.bytes([0xfe, (step >> 8) as u8, step as u8]),
            _ => {
                let [a, b, c, d] = value.to_le_bytes();
                self.bytes([0xfe, 0x80 | d, a, b, c])
            }
        }
    }

    /// An entry of a file list whose flags are bytes.
    pub fn entry(&mut self, entry: &Entry<'_>) -> &mut Self {
        let is_dir = entry.mode & 0o170_000 == 0o040_000;
        let mut flags = u16::from(entry.top);
        if entry.no_content && self.protocol >= 30 {
            flags |= 0x100;
        }
        match flags {
            0 if is_dir => self.bytes([4, 0]),
            0 => self.bytes([1]),
            1..=0xff => self.bytes([flags as u8]),
            _ => self.short(flags | 4),
        };
        let len = u8::try_from(entry.name.len()).expect("a short name");
        self.bytes([len]).bytes(entry.name).varlong(entry.size, 3);
        if self.protocol >= 30 {
            self.varlong(1_700_000_000, 4);
        } else {
            self.int(1_700_000_000);
        }
        self.int(entry.mode.cast_signed());
        for id in [entry.uid, entry.gid].into_iter().flatten() {
            self.varint(id.cast_signed());
        }
        if let Some((major, minor)) = entry.device {
            self.varint(major.cast_signed());
            match self.protocol {
                29 => self.int(minor.cast_signed()),
                _ => self.varint(minor.cast_signed()),
            };
        }
        if let Some(target) = entry.target {
            let len = i32::try_from(target.len()).expect("a short target");
            self.varint(len).bytes(target);
        }
        self
    }

    /// Index, flags and what they announce.
    pub fn item(&mut self, index: i32, flags: u16) -> &mut Self {
        self.index(index).short(flags)
    }

    /// A sum head.
    pub fn head(&mut self, head: [i32; 4]) -> &mut Self {
        head.into_iter().fold(self, |out, number| out.int(number))
    }

    /// A literal.
    pub fn literal(&mut self, data: &[u8]) -> &mut Self {
        let len = i32::try_from(data.len()).expect("a short literal");
        self.int(len).bytes(data)
    }

    /// A copy of a block of the basis.
    pub fn copy(&mut self, block: i32) -> &mut Self {
        self.int(!block)
    }

    /// The end of a file's data, and its sum.
    pub fn end_of_file(&mut self, sum: [u8; 16]) -> &mut Self {
        self.int(0).bytes(sum)
    }

    /// Statistics of deletions.
    pub fn deletions(&mut self) -> &mut Self {
        self.index(DEL_STATS).bytes([0; 5])
    }

    /// The statistics at the end of a pull.
    pub fn statistics(&mut self) -> &mut Self {
        (0..5).fold(self, |out, _| out.varlong(0, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_forms_of_the_wire() {
        // 01-session 3.5.
        let written = |write: &dyn Fn(&mut Writer)| {
            let mut writer = Writer::new(31, false);
            write(&mut writer);
            writer.take()
        };
        for (value, bytes) in [
            (127, &[0x7f][..]),
            (128, &[0x80, 0x80]),
            (16_383, &[0xbf, 0xff]),
            (16_384, &[0xc0, 0, 0x40]),
            (268_435_456, &[0xf0, 0, 0, 0, 0x10]),
            (-2, &[0xf0, 0xfe, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(written(&|out| _ = out.varint(value)), bytes, "{value}");
        }
        for (value, min, bytes) in [
            (13, 3, &[0, 13, 0][..]),
            (8_388_608, 3, &[0x80, 0, 0, 0x80]),
            (0x40_0000_0000, 3, &[0xe0, 0, 0, 0, 0, 0x40]),
            (1_700_000_000, 4, &[0x65, 0, 0xf1, 0x53]),
            (4_102_444_800, 4, &[0x80, 0, 0x57, 0x86, 0xf4]),
            (-1, 4, &[0xf8, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let bytes_of = written(&|out| _ = out.varlong(value, min));
            assert_eq!(bytes_of, bytes, "{value}");
        }
        let indices = written(&|out| {
            for index in [11, 301, 556, 810, 33_096, DONE] {
                out.index(index);
            }
        });
        let expected = [
            0x0c, 0xfe, 1, 0x22, 0xfe, 0, 0xff, 0xfe, 0, 0xfe, 0xfe, 0x7e, 0x1e, 0,
        ];
        assert_eq!(indices, expected);
        let codes = written(&|out| _ = out.index(sublist(1)).index(sublist(2)).index(-2));
        assert_eq!(codes, [0xff, 0x65, 0xff, 1, 0xff, 0xfe, 0x80, 2, 0, 0]);
    }

    #[test]
    fn messages_stand_between_frames() {
        let mut writer = Writer::new(31, true);
        writer.bytes(b"ab").index_message(102, 3).bytes(b"c");
        let expected = b"\x02\0\0\x07ab\x04\0\0\x6d\x03\0\0\0\x01\0\0\x07c";
        assert_eq!(writer.take(), expected);
    }
}
