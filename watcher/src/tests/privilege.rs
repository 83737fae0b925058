//! Tests for which permissions count, whoever runs them.

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

/// Runs a test in a thread, and so a watcher, for which permissions count.
pub(super) fn as_a_user(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, none).unwrap();
            test();
        });
    });
}
