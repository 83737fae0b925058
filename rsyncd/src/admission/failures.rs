//! Who fails to log in too often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use super::Source;
use crate::limits::{self, Limits};

/// Failed logins by address, and of IPv6 by network too, where addresses cost nothing.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, Count>);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    count: u32,
    blocked: Option<Instant>,
}

impl Failures {
    pub(super) fn is_blocked(&self, source: Source, now: Instant) -> bool {
        let until = keys(source).map(|(key, _)| self.0.get(&key).and_then(|count| count.blocked));
        until.into_iter().flatten().any(|until| now < until)
    }

    pub(super) fn record(&mut self, source: Source, limits: &Limits, now: Instant) {
        for (key, times) in keys(source) {
            self.make_room(limits, now);
            let fresh = Count {
                since: now,
                count: 0,
                blocked: None,
            };
            let entry = self.0.entry(key).or_insert(fresh);
            if now >= entry.since + limits.auth_window {
                *entry = fresh;
            }
            entry.count += 1;
            let most = limits.auth_failures.saturating_mul(times);
            if most != 0 && entry.count >= most {
                *entry = Count {
                    blocked: Some(now + limits.auth_window),
                    ..fresh
                };
            }
        }
    }

    /// Forgets what is long ago, and if that does not help the oldest.
    fn make_room(&mut self, limits: &Limits, now: Instant) {
        if self.0.len() >= limits::FAILURE_TABLE {
            self.0.retain(|_, count| {
                now < count.since + limits.auth_window
                    || count.blocked.is_some_and(|until| now < until)
            });
        }
        if self.0.len() >= limits::FAILURE_TABLE {
            let oldest = self.0.iter().min_by_key(|(_, count)| count.since);
            let oldest = oldest.map(|(address, _)| *address);
            oldest.and_then(|address| self.0.remove(&address));
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// What failures are counted for, and how many times the limit of an address each may reach.
fn keys(source: Source) -> impl Iterator<Item = (IpAddr, u32)> {
    // A host of IPv4 is not blocked for its neighbours. Network and address of IPv6 could be the same number, so the
    // key of a network is its last address.
    let network = match source.network {
        IpAddr::V6(v6) => Some(IpAddr::V6((v6.to_bits() | u128::MAX >> 48).into())),
        IpAddr::V4(_) => None,
    };
    [(source.address, 1)]
        .into_iter()
        .chain(network.map(|network| (network, limits::NETWORK_FAILURES)))
}
