//! From the names that were negotiated to the code that computes them (03-transfer 4.5).

use rsync_delta::Checksum;
use rsync_proto::setup::{ChecksumName, Negotiated};

/// The checksum of blocks and whole files.
pub(crate) fn transfer(negotiated: &Negotiated) -> Checksum {
    of(negotiated.checksum, negotiated)
}

/// The checksum of `--checksum` in the file list.
pub(crate) fn list(negotiated: &Negotiated) -> Checksum {
    of(negotiated.list_checksum, negotiated)
}

fn of(name: ChecksumName, negotiated: &Negotiated) -> Checksum {
    match name {
        ChecksumName::OldMd4 => Checksum::OldMd4,
        ChecksumName::Md4 => Checksum::Md4,
        ChecksumName::Md5 => Checksum::Md5 {
            seed_first: negotiated.seed_first(),
        },
        ChecksumName::Sha1 => Checksum::Sha1,
        ChecksumName::Xxh64 => Checksum::Xxh64,
        ChecksumName::Xxh3 => Checksum::Xxh3,
        ChecksumName::Xxh128 => Checksum::Xxh128,
        ChecksumName::None => Checksum::None,
    }
}
