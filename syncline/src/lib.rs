//! rsync as a library: push and pull trees to and from rsync daemons.
