//! Watches a tree and keeps rsync targets equal to it.
