//! How many connections there may be, and who gives way when there are too many (05-security 18, L-2).
//!
//! Connections are counted by address, by network and in all; those that have not begun a session once more, with
//! lower limits. At a limit it is not always the newcomer who is refused: silence must not keep others out, so the
//! largest group of strangers loses one of its own first, and a session that stands still may lose its place.

mod failures;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rsync_engine::IoClock;
use tokio::sync::oneshot;

use self::failures::Failures;
use crate::limits::Limits;

/// Who holds which connection.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    state: Mutex<State>,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    held: Vec<Held>,
}

/// One connection.
#[derive(Debug)]
struct Held {
    id: u64,
    source: Source,
    since: Instant,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Its arguments are not there yet. `place`: the lock file in which it has a place of `max connections`.
    Handshake {
        end: oneshot::Sender<usize>,
        place: Option<PathBuf>,
    },
    /// Its session runs.
    Session(Arc<IoClock>),
    /// It has to end and does not count any more.
    Ending,
}

/// Where a connection comes from, in the two sizes that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    /// Of IPv6 the network of 64 bits, since one host may use all of it.
    pub(crate) address: IpAddr,
    /// 24 bits of IPv4, 48 of IPv6: what one customer commonly has.
    pub(crate) network: IpAddr,
}

impl Source {
    pub(crate) fn of(address: IpAddr) -> Self {
        let cut = |bits: u32| match address {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << (128 - bits))).into()),
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & (u32::MAX << (32 - bits))).into()),
        };
        match address {
            IpAddr::V4(_) => Self {
                address,
                network: cut(24),
            },
            IpAddr::V6(_) => Self {
                address: cut(64),
                network: cut(48),
            },
        }
    }
}

/// Which connections a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Address,
    Network,
    All,
}

impl Group {
    fn holds(self, a: Source, b: Source) -> bool {
        match self {
            Self::Address => a.address == b.address,
            Self::Network => a.network == b.network,
            Self::All => true,
        }
    }
}

/// How many connections of the same network, then of the same address there are: who has most loses first.
type Rank = (usize, usize);

/// What a newcomer gets.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) permit: Permit,
    /// Gives the limit that was reached when the handshake has to end for others.
    pub(crate) end: oneshot::Receiver<usize>,
    /// Sessions that must be cut off to make room.
    pub(crate) cut_off: Vec<u64>,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    id: u64,
}

impl Admission {
    /// Lets a connection in, or gives the limit that is reached.
    pub(crate) fn admit(
        self: &Arc<Self>,
        source: Source,
        limits: &Limits,
        now: Instant,
    ) -> Result<Admitted, usize> {
        let mut state = self.state();
        let mut cut_off = Vec::new();
        for (group, limit) in [
            (Group::Address, limits.address_handshakes),
            (Group::Network, limits.network_handshakes),
            (Group::All, limits.total_handshakes),
        ] {
            let count = state.count(|held| held.is_handshake() && group.holds(held.source, source));
            if limit != 0
                && count >= limit
                && !state.end_handshake(group, source, limits, limit, now)
            {
                return Err(limit);
            }
        }
        for (group, limit) in [
            (Group::Address, limits.address_connections),
            (Group::Network, limits.network_connections),
            (Group::All, limits.total_connections),
        ] {
            let count = state.count(|held| !held.is_ending() && group.holds(held.source, source));
            if limit != 0
                && count >= limit
                && !state.end_handshake(group, source, limits, limit, now)
            {
                cut_off.push(state.end_idle_session(group, source, limits).ok_or(limit)?);
            }
        }
        let (end, ended) = oneshot::channel();
        let id = state.next;
        state.next += 1;
        state.held.push(Held {
            id,
            source,
            since: now,
            phase: Phase::Handshake { end, place: None },
        });
        Ok(Admitted {
            permit: Permit {
                admission: Arc::clone(self),
                id,
            },
            end: ended,
            cut_off,
        })
    }

    /// Ends the oldest handshake that has a place in a lock file, if its client has been silent for long.
    pub(crate) fn free_place(
        &self,
        lock_file: &Path,
        limit: usize,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let holds = |held: &Held| match &held.phase {
            Phase::Handshake { place, .. } => place.as_deref() == Some(lock_file),
            _ => false,
        };
        let mut state = self.state();
        let holders = state.held.iter_mut().filter(|held| holds(held));
        let oldest = holders.min_by_key(|held| held.since);
        match oldest.filter(|held| now.duration_since(held.since) >= limits.grace) {
            Some(held) => held.end_handshake(limit),
            None => return false,
        }
        true
    }

    /// An address has failed to log in too often and has to wait.
    pub(crate) fn is_blocked(&self, source: Source, now: Instant) -> bool {
        self.failures().is_blocked(source, now)
    }

    /// Remembers a failed login.
    pub(crate) fn record_failure(&self, source: Source, limits: &Limits, now: Instant) {
        self.failures().record(source, limits, now);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self, counts: impl Fn(&Held) -> bool) -> usize {
        self.held.iter().filter(|held| counts(held)).count()
    }

    /// How many connections of each network and address count.
    fn ranks(&self, counts: impl Fn(&Held) -> bool) -> Ranks {
        let mut ranks = Ranks::default();
        for held in self.held.iter().filter(|held| counts(held)) {
            *ranks.networks.entry(held.source.network).or_default() += 1;
            *ranks.addresses.entry(held.source.address).or_default() += 1;
        }
        ranks
    }

    /// Ends a handshake of the group in favour of a newcomer, if there is one that should give way: the oldest of
    /// the largest holders if they have more than the newcomer would, else one that has taken longer than honest
    /// clients need. Among equals that are all new, chance decides.
    fn end_handshake(
        &mut self,
        group: Group,
        source: Source,
        limits: &Limits,
        limit: usize,
        now: Instant,
    ) -> bool {
        let ranks = self.ranks(Held::is_handshake);
        let (network, address) = ranks.of(source);
        let own = (network + 1, address + 1);
        let mut candidates: Vec<(Rank, usize)> = Vec::new();
        for (at, held) in self.held.iter().enumerate() {
            if held.is_handshake() && group.holds(held.source, source) {
                candidates.push((ranks.of(held.source), at));
            }
        }
        let Some(largest) = candidates.iter().map(|(rank, _)| *rank).max() else {
            return false;
        };
        if largest < own {
            // Nobody has more: the newcomer's own network has to make room.
            candidates.retain(|&(_, at)| Group::Network.holds(self.held[at].source, source));
        } else {
            candidates.retain(|(rank, _)| *rank == largest);
        }
        let oldest = candidates.iter().map(|&(_, at)| at);
        let Some(mut victim) = oldest.min_by_key(|&at| self.held[at].since) else {
            return false;
        };
        if largest <= own && now.duration_since(self.held[victim].since) < limits.grace {
            let Some(chosen) = toss(candidates.len()).filter(|_| largest == own) else {
                return false;
            };
            victim = candidates[chosen].1;
        }
        self.held[victim].end_handshake(limit);
        true
    }

    /// Takes the place of the session of the group that has stood still for longest among those of whoever has
    /// most; gives its number.
    fn end_idle_session(&mut self, group: Group, source: Source, limits: &Limits) -> Option<u64> {
        let ranks = self.ranks(|held| !held.is_ending());
        let mut best: Option<(Rank, Duration, usize)> = None;
        for (at, held) in self.held.iter().enumerate() {
            let Phase::Session(clock) = &held.phase else {
                continue;
            };
            let idle = clock.idle();
            if idle >= limits.idle_when_full && group.holds(held.source, source) {
                best = best.max(Some((ranks.of(held.source), idle, at)));
            }
        }
        let (_, _, at) = best?;
        self.held[at].phase = Phase::Ending;
        Some(self.held[at].id)
    }
}

/// Connections by network and by address.
#[derive(Debug, Default)]
struct Ranks {
    networks: HashMap<IpAddr, usize>,
    addresses: HashMap<IpAddr, usize>,
}

impl Ranks {
    fn of(&self, source: Source) -> Rank {
        let count = |map: &HashMap<_, _>, key| map.get(&key).copied().unwrap_or(0);
        (
            count(&self.networks, source.network),
            count(&self.addresses, source.address),
        )
    }
}

/// One of `count`, or nobody, with equal chances for both.
fn toss(count: usize) -> Option<usize> {
    let random = usize::try_from(getrandom::u32().ok()?).ok()?;
    (random % 2 == 0 && count > 0).then(|| random / 2 % count)
}

impl Held {
    fn is_handshake(&self) -> bool {
        matches!(self.phase, Phase::Handshake { .. })
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending)
    }

    fn end_handshake(&mut self, limit: usize) {
        if let Phase::Handshake { end, .. } = std::mem::replace(&mut self.phase, Phase::Ending) {
            // It may have ended by itself just now.
            let _ = end.send(limit);
        }
    }
}

impl Permit {
    /// The number of the connection in [`Admitted::cut_off`].
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The connection has a place of `max connections`; its time begins anew.
    pub(crate) fn took_place(&self, lock_file: &Path) {
        self.change(|held| {
            held.since = Instant::now();
            if let Phase::Handshake { place, .. } = &mut held.phase {
                *place = Some(lock_file.to_owned());
            }
        });
    }

    /// The handshake is over; the connection goes on as a session.
    pub(crate) fn session_started(&self, clock: Arc<IoClock>) {
        self.change(|held| {
            if held.is_handshake() {
                held.phase = Phase::Session(clock);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut state = self.admission.state();
        let held = state.held.iter_mut().find(|held| held.id == self.id);
        held.map(change);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        if let Some(at) = state.held.iter().position(|held| held.id == self.id) {
            state.held.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
