//! Changes of seeds, the same ones in every run: what the smoke test feeds to the targets besides the seeds.

/// A small random number generator (SplitMix64) that starts where it is told to.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`; 0 if that is 0.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits are as random as the others"
    )]
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() as usize).checked_rem(end).unwrap_or(0)
    }

    /// One of `choices`, which are not empty.
    pub fn choose<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// One of `seeds`, changed in one to four places. `seeds` are not empty.
pub fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = random.choose(seeds).clone();
    for _ in 0..=random.below(4) {
        change(&mut data, seeds, random);
    }
    data.truncate(LONGEST);
    data
}

fn change(data: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(data.len() + 1);
    let some = random.below(data.len() - at + 1).min(1 << random.below(12));
    match random.below(8) {
        0 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            let byte = random.bits().to_le_bytes()[0];
            data.splice(at..(at + 1).min(data.len()), [byte]);
        }
        2 => {
            let number = random.choose(&NUMBERS).to_le_bytes();
            let width = *random.choose(&[1, 2, 4, 8]);
            let end = (at + width).min(data.len());
            data.splice(at..end, number.into_iter().take(width));
        }
        3 => data.truncate(at),
        4 => {
            data.drain(at..at + some);
        }
        5 => {
            let again = data[at..at + some].to_vec();
            data.splice(at..at, again);
        }
        6 => {
            let other = random.choose(seeds);
            let from = random.below(other.len() + 1);
            data.truncate(at);
            data.extend_from_slice(&other[from..]);
        }
        _ => {
            let byte = *random.choose(&BYTES);
            data.splice(at..at, std::iter::repeat_n(byte, 1 << random.below(10)));
        }
    }
}

/// Numbers at which something changes: lengths of integers, caps, signs, indices with a meaning.
const NUMBERS: [i64; 38] = [
    0,
    1,
    2,
    3,
    -1,
    -2,
    -3,
    -4,
    -100,
    -101,
    -102,
    0x0f,
    0x10,
    0x7f,
    0x80,
    0xfd,
    0xfe,
    0xff,
    0x100,
    1022,
    1023,
    4095,
    4096,
    5118,
    5119,
    5120,
    0x7fff,
    0x8000,
    0xffff,
    0x0001_0000,
    0x0002_0000,
    0x0002_0001,
    0x00ff_ffff,
    0x0fff_ffff,
    0x1000_0000,
    0x7fff_ffff,
    0x0000_0000_8000_0000,
    i64::MIN,
];

/// Bytes with a meaning somewhere: separators, ends, quotes, wildcards, first bytes of long integers.
const BYTES: [u8; 20] = [
    0, 1, b'\n', b'\r', b' ', b'/', b'.', b'-', b'+', b'*', b'[', b'\\', b'#', b'=', b'9', 0x7f,
    0x80, 0xf0, 0xfe, 0xff,
];

/// A mutation is cut here, so that repeated doubling stays cheap.
const LONGEST: usize = 128 << 10;
