//! The computing part of rsync: checksums, signatures, match search, patching. No I/O.
