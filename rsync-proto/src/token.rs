//! The token stream without compression (03-transfer 5.1).

use crate::error::DecodeError;
use crate::wire::{Cursor, put_int};

/// One token of the data of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// The data ends; the whole-file sum follows.
    End,
    /// So many bytes of data follow, 1 to 2^31 - 1. Read them in pieces.
    Literal(u32),
    /// Copy the block of that number, 0 to 2^31 - 1. Whether the basis has it is the reader's check.
    Match(u32),
}

impl Token {
    /// Reads a token, of a literal its length only. Every four bytes are a token.
    ///
    /// # Errors
    /// Incomplete.
    #[inline]
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let value = cursor.int()?;
        Ok(match value {
            0 => Self::End,
            1.. => Self::Literal(value.cast_unsigned()),
            // -(block + 1) is the complement of the block.
            _ => Self::Match(!value.cast_unsigned()),
        })
    }
}

/// Appends the head of a literal of `len` bytes, 1 to 2^31 - 1; the bytes follow.
#[inline]
pub fn put_literal_head(out: &mut Vec<u8>, len: u32) {
    debug_assert!((1..=i32::MAX.cast_unsigned()).contains(&len));
    put_int(out, len.cast_signed());
}

/// Appends the token that copies block `index`, below 2^31.
#[inline]
pub fn put_match(out: &mut Vec<u8>, index: u32) {
    debug_assert!(index <= i32::MAX.cast_unsigned());
    put_int(out, !index.cast_signed());
}

/// Appends the end of the data.
pub fn put_end(out: &mut Vec<u8>) {
    put_int(out, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_of_a_captured_delta() {
        // 03-transfer 1.2.
        let rows: [([u8; 4], Token); 5] = [
            ([0xff, 0xff, 0xff, 0xff], Token::Match(0)),
            ([0xc1, 0x02, 0x00, 0x00], Token::Literal(705)),
            ([0xfb, 0xff, 0xff, 0xff], Token::Match(4)),
            ([0x00, 0x00, 0x00, 0x00], Token::End),
            ([0x00, 0x00, 0x00, 0x80], Token::Match(0x7fff_ffff)),
        ];
        for (bytes, token) in rows {
            assert_eq!(Token::decode(&mut Cursor::new(&bytes)), Ok(token));
        }
    }

    proptest! {
        #[test]
        fn every_four_bytes_round_trip(bytes: [u8; 4]) {
            let mut out = Vec::new();
            match Token::decode(&mut Cursor::new(&bytes)).unwrap() {
                Token::End => put_end(&mut out),
                Token::Literal(len) => put_literal_head(&mut out, len),
                Token::Match(index) => put_match(&mut out, index),
            }
            prop_assert_eq!(&out[..], &bytes[..]);
            for cut in 0..4 {
                prop_assert_eq!(Token::decode(&mut Cursor::new(&bytes[..cut])), Err(DecodeError::Incomplete));
            }
        }
    }
}
