//! The first bytes of an input: choices that are no part of what a decoder reads.

use rsync_proto::Protocol;

/// Takes choices from the front of an input; missing bytes are 0, so that every input means something.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    rest: &'a [u8],
}

impl<'a> Header<'a> {
    /// At the first byte.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        byte
    }

    /// Two bytes, the low one first.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// One of the protocols, by the low bits of a byte.
    pub fn protocol(&mut self) -> Protocol {
        let [a, b, c, d] = Protocol::ALL;
        match self.byte() & 3 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        }
    }

    /// What the decoder reads: everything behind the choices taken.
    #[must_use]
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }
}

/// The byte by which [`Header::protocol`] gives `protocol`: for seeds.
#[must_use]
pub fn protocol_byte(protocol: Protocol) -> u8 {
    let at = Protocol::ALL.iter().position(|known| *known == protocol);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

/// Bits of a choice, lowest first: [`bits`] of what this takes apart gives the same again.
#[must_use]
pub fn flags<const N: usize>(word: u16) -> [bool; N] {
    std::array::from_fn(|bit| word >> bit & 1 != 0)
}

/// The number with these bits, lowest first, in wire order.
#[must_use]
pub fn bits(flags: &[bool]) -> [u8; 2] {
    let word = flags
        .iter()
        .rev()
        .fold(0_u16, |word, &flag| word << 1 | u16::from(flag));
    word.to_le_bytes()
}
