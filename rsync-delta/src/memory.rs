//! Memory whose size a peer decides: asked for, never taken for granted.

/// The system has no memory left for sums or data of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes cannot be allocated")]
pub struct OutOfMemory {
    /// How much was asked for, in bytes.
    pub bytes: usize,
}

/// Makes room for `more` further elements, with some to spare if the vector grows bit by bit.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), OutOfMemory> {
    vec.try_reserve(more).map_err(|_| failed(vec, more))
}

/// Makes room for exactly `more` further elements.
pub(crate) fn reserve_exact<T>(vec: &mut Vec<T>, more: usize) -> Result<(), OutOfMemory> {
    vec.try_reserve_exact(more).map_err(|_| failed(vec, more))
}

fn failed<T>(vec: &[T], more: usize) -> OutOfMemory {
    OutOfMemory {
        bytes: vec
            .len()
            .saturating_add(more)
            .saturating_mul(size_of::<T>()),
    }
}

/// Replaces the content by `len` times `value`.
pub(crate) fn refill<T: Clone>(vec: &mut Vec<T>, len: usize, value: T) -> Result<(), OutOfMemory> {
    vec.clear();
    reserve(vec, len)?;
    vec.resize(len, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_had_is_an_error_and_no_end_of_the_process() {
        let mut vec = vec![1_u32; 3];
        let bytes = (usize::MAX / 8 + 3) * 4;
        assert_eq!(
            reserve(&mut vec, usize::MAX / 8),
            Err(OutOfMemory { bytes })
        );
        assert_eq!(vec, [1; 3]);
        assert_eq!(refill(&mut vec, 2, 7), Ok(()));
        assert_eq!(vec, [7; 2]);
    }
}
