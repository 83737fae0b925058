//! The rsync wire protocol as values: bytes to messages and back, protocols 29 to 32. No I/O.
