//! For tests only: real rsync peers, trees, comparisons, faults.
