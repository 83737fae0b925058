//! Integers and strings as they lie on the wire (01-session 3). All integers are little-endian.

use crate::error::{DecodeError, EncodeError, Violation};
use crate::version::Protocol;

/// Reads values from the front of a byte slice.
///
/// A read that fails leaves the cursor where it was. A record of several values is read by cloning the cursor
/// first, or by dropping it and starting again from [`position`](Self::position) of the last whole record.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            len: input.len(),
        }
    }

    /// How many bytes have been read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.len - self.rest.len()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Incomplete.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(head)
    }

    /// One byte.
    ///
    /// # Errors
    /// Incomplete.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(byte)
    }

    /// shortint: two bytes, unsigned.
    ///
    /// # Errors
    /// Incomplete.
    #[inline]
    pub fn short(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// int: four bytes, signed.
    ///
    /// # Errors
    /// Incomplete.
    #[inline]
    pub fn int(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_le_bytes)
    }

    /// longint: an int, or -1 and eight bytes (01-session 3). A first int below -1 is taken as the value.
    ///
    /// # Errors
    /// Incomplete.
    pub fn longint(&mut self) -> Result<i64, DecodeError> {
        let mut probe = self.clone();
        let mut value = i64::from(probe.int()?);
        if value == -1 {
            value = probe.array().map(i64::from_le_bytes)?;
        }
        *self = probe;
        Ok(value)
    }

    /// varint: one to five bytes (01-session 3.1). Forms longer than needed are accepted.
    ///
    /// # Errors
    /// Incomplete; [`Violation::IntegerTooLong`] for a first byte above 0xf0.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Incomplete)?;
        if first < 0x80 {
            self.rest = rest;
            return Ok(i32::from(first));
        }
        // Above 0xf0 lie five and six extra bytes, and value bits above bit 31 that no writer sets.
        if first > 0xf0 {
            return Err(Violation::IntegerTooLong { first }.into());
        }
        let [a, b, c, d, ..] = self.variable(1)?.to_le_bytes();
        Ok(i32::from_le_bytes([a, b, c, d]))
    }

    /// varlong: `min` to nine bytes, `min` being 3 or 4 by the field (01-session 3.2). Any 64-bit value;
    /// fields that cannot be negative are checked by their readers.
    ///
    /// # Errors
    /// Incomplete; [`Violation::IntegerTooLong`] for more than nine bytes.
    #[inline]
    pub fn varlong(&mut self, min: usize) -> Result<i64, DecodeError> {
        self.variable(min).map(u64::cast_signed)
    }

    /// varint at protocol 30 and later, int before.
    ///
    /// # Errors
    /// As [`varint`](Self::varint).
    #[inline]
    pub fn varint30(&mut self, protocol: Protocol) -> Result<i32, DecodeError> {
        if protocol.has_varints() {
            self.varint()
        } else {
            self.int()
        }
    }

    /// varlong at protocol 30 and later, longint before.
    ///
    /// # Errors
    /// As [`varlong`](Self::varlong).
    #[inline]
    pub fn varlong30(&mut self, protocol: Protocol, min: usize) -> Result<i64, DecodeError> {
        if protocol.has_varints() {
            self.varlong(min)
        } else {
            self.longint()
        }
    }

    /// vstring: one or two bytes of length, then the bytes (01-session 3.3).
    ///
    /// # Errors
    /// Incomplete; [`Violation::StringTooLong`] above `max`, before the bytes are there.
    pub fn vstring(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let mut probe = self.clone();
        let first = probe.byte()?;
        let len = if first < 0x80 {
            usize::from(first)
        } else {
            usize::from(first & 0x7f) << 8 | usize::from(probe.byte()?)
        };
        if len > max {
            return Err(Violation::StringTooLong { len, max }.into());
        }
        let bytes = probe.take(len)?;
        *self = probe;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(DecodeError::Incomplete)?;
        self.rest = rest;
        Ok(*head)
    }

    /// The common shape of varint (`min` 1) and varlong: the ones that lead the first byte count the extra
    /// bytes, its other bits are the most significant ones of the value.
    fn variable(&mut self, min: usize) -> Result<u64, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Incomplete)?;
        let extra = first.leading_ones().min(6);
        let following = min.saturating_sub(1) + extra as usize;
        if following > 8 {
            return Err(Violation::IntegerTooLong { first }.into());
        }
        let (low, rest) = rest
            .split_at_checked(following)
            .ok_or(DecodeError::Incomplete)?;
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(low) {
            *to = *from;
        }
        if let Some(top) = bytes.get_mut(following) {
            // 1110xxxx: the zero that ends the ones belongs to them.
            *top = first & (0x7f >> extra);
        }
        self.rest = rest;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Appends a shortint.
pub fn put_short(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends an int.
pub fn put_int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a longint: four bytes up to 0x7fffffff, twelve above and for negative values.
pub fn put_longint(out: &mut Vec<u8>, value: i64) {
    if let Ok(short @ 0..) = i32::try_from(value) {
        put_int(out, short);
    } else {
        put_int(out, -1);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a varint in its shortest form.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_variable(out, u64::from(value.cast_unsigned()), 1);
}

/// Appends a varlong in its shortest form; `min` is 3 or 4 by the field.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64, min: usize) {
    put_variable(out, value.cast_unsigned(), min);
}

/// Appends a varint at protocol 30 and later, an int before.
pub fn put_varint30(out: &mut Vec<u8>, protocol: Protocol, value: i32) {
    if protocol.has_varints() {
        put_varint(out, value);
    } else {
        put_int(out, value);
    }
}

/// Appends a varlong at protocol 30 and later, a longint before.
pub fn put_varlong30(out: &mut Vec<u8>, protocol: Protocol, value: i64, min: usize) {
    if protocol.has_varints() {
        put_varlong(out, value, min);
    } else {
        put_longint(out, value);
    }
}

/// Appends a vstring.
///
/// # Errors
/// [`EncodeError::TooLong`] above 32767 bytes; nothing is appended then.
pub fn put_vstring(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    const MAX: usize = 0x7fff;
    let len = bytes.len();
    let [low, high] = match u16::try_from(len) {
        Ok(short) if len <= MAX => short.to_le_bytes(),
        _ => {
            return Err(EncodeError::TooLong {
                what: "string",
                len,
                max: MAX,
            });
        }
    };
    if len >= 0x80 {
        out.push(0x80 | high);
    }
    out.push(low);
    out.extend_from_slice(bytes);
    Ok(())
}

/// The common writer of varint (`min` 1) and varlong (01-session 3.1, 3.2).
#[inline]
fn put_variable(out: &mut Vec<u8>, value: u64, min: usize) {
    let bytes = value.to_le_bytes();
    let significant = (u64::BITS - value.leading_zeros()).div_ceil(8) as usize;
    let len = significant.max(min);
    let Some((&top, low)) = bytes.get(..len).and_then(<[u8]>::split_last) else {
        return debug_assert!(false, "varlong of at least {min} bytes");
    };
    // The first byte has room for values below this beside the ones that count the extra bytes.
    let limit = 0x80_u8 >> (len - min);
    if top < limit {
        out.push(top | !(limit << 1).wrapping_sub(1));
        out.extend_from_slice(low);
    } else {
        out.push(!(limit - 1));
        out.extend_from_slice(low);
        out.push(top);
    }
}

#[cfg(test)]
mod tests;
