//! Incremental digests of whole files.

use md4::Md4;
use sha1::{Digest as _, Sha1};
use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh64::Xxh64;

use crate::md5_serial::Md5;
use crate::{Checksum, Digest};

/// Digest of a file's data as it passes by (03-transfer 4.5), made by [`Checksum::file_hasher`] or
/// [`Checksum::list_hasher`].
#[derive(Clone)]
pub struct FileHasher(State);

#[derive(Clone)]
enum State {
    Md4(Md4),
    Md5(Md5),
    Sha1(Sha1),
    Xxh64(Xxh64),
    Xxh3(Xxh3),
    Xxh128(Xxh3),
    None,
}

impl FileHasher {
    pub(crate) fn whole_file(checksum: Checksum, seed: i32) -> Self {
        let mut hasher = Self::list(checksum);
        if checksum == Checksum::OldMd4 {
            // Unlike in block sums, a seed of 0 is hashed too.
            hasher.update(&seed.to_le_bytes());
        }
        hasher
    }

    pub(crate) fn list(checksum: Checksum) -> Self {
        Self(match checksum {
            Checksum::OldMd4 | Checksum::Md4 => State::Md4(Md4::new()),
            Checksum::Md5 { .. } => State::Md5(Md5::new()),
            Checksum::Sha1 => State::Sha1(Sha1::new()),
            Checksum::Xxh64 => State::Xxh64(Xxh64::new(0)),
            Checksum::Xxh3 => State::Xxh3(Xxh3::new()),
            Checksum::Xxh128 => State::Xxh128(Xxh3::new()),
            Checksum::None => State::None,
        })
    }

    /// Adds the next bytes of the file.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Md4(state) => state.update(data),
            State::Md5(state) => state.update(data),
            State::Sha1(state) => state.update(data),
            State::Xxh64(state) => state.update(data),
            State::Xxh3(state) | State::Xxh128(state) => state.update(data),
            State::None => {}
        }
    }

    /// The digest of all bytes added.
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Md4(state) => Digest::new(&state.finalize()),
            State::Md5(state) => Digest::new(&state.finish()),
            State::Sha1(state) => Digest::new(&state.finalize()),
            State::Xxh64(state) => Digest::new(&state.digest().to_le_bytes()),
            State::Xxh3(state) => Digest::new(&state.digest().to_le_bytes()),
            State::Xxh128(state) => xxh128_wire(state.digest128()),
            State::None => Digest::new(&[0]),
        }
    }
}

impl std::fmt::Debug for FileHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            State::Md4(_) => "md4",
            State::Md5(_) => "md5",
            State::Sha1(_) => "sha1",
            State::Xxh64(_) => "xxh64",
            State::Xxh3(_) => "xxh3",
            State::Xxh128(_) => "xxh128",
            State::None => "none",
        };
        f.debug_tuple("FileHasher").field(&name).finish()
    }
}

/// Digest of two pieces in a row.
pub(crate) fn digest_of<D: sha1::Digest>(pieces: [&[u8]; 2]) -> Digest {
    let mut state = D::new();
    for piece in pieces {
        state.update(piece);
    }
    Digest::new(&state.finalize())
}

/// Wire form of a 128-bit sum: low 64 bits, then high 64 bits, each little-endian.
pub(crate) fn xxh128_wire(sum: u128) -> Digest {
    Digest::new(&sum.to_le_bytes())
}
