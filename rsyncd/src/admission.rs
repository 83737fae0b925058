//! How many connections there may be: in all, from one address, in the handshake; and who fails to log in too
//! often (05-security 18, L-2).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::limits::{self, Limits};

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: usize,
    in_handshake: usize,
    by_address: HashMap<IpAddr, usize>,
    failures: HashMap<IpAddr, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
    blocked: Option<Instant>,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    address: IpAddr,
    in_handshake: bool,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counts: Mutex::default(),
        })
    }

    /// Lets a connection in, or gives the limit that is reached.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, usize> {
        let address = network(address);
        let mut counts = self.counts();
        let from_address = counts.by_address.get(&address).copied().unwrap_or(0);
        for (count, limit) in [
            (counts.connections, self.limits.connections),
            (from_address, self.limits.per_address),
            (counts.in_handshake, self.limits.in_handshake),
        ] {
            if limit != 0 && count >= limit {
                return Err(limit);
            }
        }
        counts.connections += 1;
        counts.in_handshake += 1;
        *counts.by_address.entry(address).or_default() += 1;
        Ok(Permit {
            admission: Arc::clone(self),
            address,
            in_handshake: true,
        })
    }

    /// An address has failed too often and has to wait.
    pub(crate) fn is_blocked(&self, address: IpAddr, now: Instant) -> bool {
        let counts = self.counts();
        let until = counts
            .failures
            .get(&network(address))
            .and_then(|f| f.blocked);
        until.is_some_and(|until| now < until)
    }

    /// Remembers a failed login.
    pub(crate) fn record_failure(&self, address: IpAddr, now: Instant) {
        let window = self.limits.auth_window;
        let mut counts = self.counts();
        if counts.failures.len() >= limits::FAILURE_TABLE {
            counts.failures.retain(|_, f| {
                now < f.since + window || f.blocked.is_some_and(|until| now < until)
            });
        }
        if counts.failures.len() >= limits::FAILURE_TABLE {
            let oldest = counts
                .failures
                .iter()
                .min_by_key(|(_, f)| f.since)
                .map(|(address, _)| *address);
            oldest.and_then(|address| counts.failures.remove(&address));
        }
        let fresh = Failures {
            since: now,
            count: 0,
            blocked: None,
        };
        let entry = counts.failures.entry(network(address)).or_insert(fresh);
        if now >= entry.since + window {
            *entry = fresh;
        }
        entry.count += 1;
        if self.limits.auth_failures != 0 && entry.count >= self.limits.auth_failures {
            *entry = Failures {
                since: now,
                count: 0,
                blocked: Some(now + window),
            };
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// The handshake is over; the connection goes on as a session.
    pub(crate) fn handshake_done(&mut self) {
        if std::mem::take(&mut self.in_handshake) {
            self.admission.counts().in_handshake -= 1;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.handshake_done();
        let mut counts = self.admission.counts();
        counts.connections -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// Who counts as one address: of IPv6 the network of 64 bits, since one host may use all of it.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    #[test]
    fn each_limit_counts_and_is_given_back() {
        let limits = Limits {
            connections: 3,
            per_address: 2,
            in_handshake: 2,
            ..Limits::default()
        };
        let admission = Admission::new(limits);
        let (a, b) = (address("10.0.0.1"), address("10.0.0.2"));
        let mut first = admission.admit(a).expect("first");
        let _second = admission.admit(a).expect("second");
        assert_eq!(
            admission.admit(b).map(drop),
            Err(2),
            "two are in the handshake"
        );
        first.handshake_done();
        assert_eq!(admission.admit(a).map(drop), Err(2), "two from one address");
        let mut third = admission.admit(b).expect("third");
        third.handshake_done();
        assert_eq!(
            admission.admit(address("10.0.0.3")).map(drop),
            Err(3),
            "three in all"
        );
        drop(first);
        assert!(admission.admit(a).is_ok());
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let admission = Admission::new(Limits {
            per_address: 1,
            ..Limits::default()
        });
        let _permit = admission.admit(address("2001:db8::1")).expect("first");
        assert!(admission.admit(address("2001:db8::2")).is_err());
        assert!(admission.admit(address("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn many_failures_block_for_a_while() {
        let window = Duration::from_secs(60);
        let admission = Admission::new(Limits {
            auth_failures: 2,
            auth_window: window,
            ..Limits::default()
        });
        let (a, start) = (address("10.0.0.1"), Instant::now());
        admission.record_failure(a, start);
        admission.record_failure(a, start + window);
        assert!(
            !admission.is_blocked(a, start + window),
            "the first is too long ago"
        );
        admission.record_failure(a, start + window);
        assert!(admission.is_blocked(a, start + window));
        assert!(!admission.is_blocked(address("10.0.0.2"), start + window));
        assert!(!admission.is_blocked(a, start + window * 2));
    }

    #[test]
    fn the_table_of_failures_is_bounded() {
        let admission = Admission::new(Limits::default());
        let start = Instant::now();
        for i in 0..limits::FAILURE_TABLE as u32 + 10 {
            admission.record_failure(IpAddr::V4(i.into()), start);
        }
        assert_eq!(admission.counts().failures.len(), limits::FAILURE_TABLE);
    }
}
