//! The file list (02-file-list).
