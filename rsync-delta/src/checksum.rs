//! The strong checksums and where their seed goes (03-transfer 4.5).

use md4::Md4;
use sha1::Sha1;
use xxhash_rust::{xxh3, xxh64};

use crate::hasher::{digest_of, xxh128_wire};
use crate::md5_serial::Md5;
use crate::{Digest, FileHasher};
#[cfg(target_arch = "x86_64")]
use crate::{
    md5_lanes,
    simd::{Avx2, LANES},
};

/// A strong checksum together with its seed rules (03-transfer 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// MD4 as implied by protocols 27 to 29: the whole-file sum is seeded too.
    OldMd4,
    /// MD4 chosen or negotiated by name, protocol 30 and later.
    Md4,
    /// MD5.
    Md5 {
        /// Whether the seed is hashed before the block (compat flag 0x20 in force) or after it.
        seed_first: bool,
    },
    /// SHA-1.
    Sha1,
    /// XXH64, 8 bytes.
    Xxh64,
    /// XXH3 with 64 bits of output.
    Xxh3,
    /// XXH3 with 128 bits of output.
    Xxh128,
    /// No verification: one zero byte on the wire, never block sums.
    None,
}

impl Checksum {
    /// Length of a full digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::OldMd4 | Self::Md4 | Self::Md5 { .. } | Self::Xxh128 => 16,
            Self::Sha1 => 20,
            Self::Xxh64 | Self::Xxh3 => 8,
            Self::None => 1,
        }
    }

    /// A digest in the order in which people read it: the xxh family travels with its least significant byte first.
    pub fn shown(self, digest: &[u8]) -> Vec<u8> {
        let mut bytes = digest.to_vec();
        if matches!(self, Self::Xxh64 | Self::Xxh3 | Self::Xxh128) {
            bytes.reverse();
        }
        bytes
    }

    /// The full strong sum of one block, before truncation to `s2length`.
    ///
    /// A seed of 0 means that no seed bytes are hashed.
    pub fn block_sum(self, seed: i32, block: &[u8]) -> Digest {
        let seed_bytes = seed.to_le_bytes();
        let seed_bytes: &[u8] = if seed == 0 { &[] } else { &seed_bytes };
        // The xxh family takes the seed sign-extended.
        let wide_seed = i64::from(seed) as u64;
        match self {
            Self::OldMd4 | Self::Md4 => digest_of::<Md4>([block, seed_bytes]),
            Self::Md5 { seed_first: true } => md5_of([seed_bytes, block]),
            Self::Md5 { seed_first: false } => md5_of([block, seed_bytes]),
            Self::Sha1 => digest_of::<Sha1>([seed_bytes, block]),
            Self::Xxh64 => Digest::new(&xxh64::xxh64(block, wide_seed).to_le_bytes()),
            Self::Xxh3 => Digest::new(&xxh3::xxh3_64_with_seed(block, wide_seed).to_le_bytes()),
            Self::Xxh128 => xxh128_wire(xxh3::xxh3_128_with_seed(block, wide_seed)),
            Self::None => Digest::new(&[0]),
        }
    }

    /// The full strong sums of `out.len()` adjacent blocks of `block_len` bytes each, from the start of `data`.
    ///
    /// # Panics
    ///
    /// If `data` is shorter than the blocks asked for.
    pub(crate) fn block_sums(self, seed: i32, data: &[u8], block_len: usize, out: &mut [Digest]) {
        #[cfg(target_arch = "x86_64")]
        if let Self::Md5 { seed_first } = self
            && out.len() > 1
            && let Some(avx2) = Avx2::detect()
        {
            let seed = if seed == 0 { None } else { Some(seed) };
            md5_lanes::block_sums(avx2, seed, seed_first, data, block_len, out);
            return;
        }
        for (i, digest) in out.iter_mut().enumerate() {
            *digest = self.block_sum(seed, &data[i * block_len..(i + 1) * block_len]);
        }
    }

    /// How many blocks are worth giving to [`Checksum::block_sums`] at once.
    pub(crate) fn lanes(self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if matches!(self, Self::Md5 { .. }) && Avx2::detect().is_some() {
            return LANES;
        }
        1
    }

    /// A hasher for the whole-file sum that ends a delta. Only [`Checksum::OldMd4`] uses the seed.
    pub fn file_hasher(self, seed: i32) -> FileHasher {
        FileHasher::whole_file(self, seed)
    }

    /// A hasher for the sum of a file in the file list (`--checksum`). Never seeded.
    pub fn list_hasher(self) -> FileHasher {
        FileHasher::list(self)
    }
}

fn md5_of(pieces: [&[u8]; 2]) -> Digest {
    let mut md5 = Md5::new();
    for piece in pieces {
        md5.update(piece);
    }
    Digest::new(&md5.finish())
}
