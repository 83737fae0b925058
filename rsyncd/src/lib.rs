//! An rsync daemon as a library: rsyncd.conf, access control, authentication, confined sessions.
