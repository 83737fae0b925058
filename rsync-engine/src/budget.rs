//! How much memory the peer of a session may make us hold (05-security 18).
//!
//! A [`Budget`] counts the bytes of one session, and with it those of all sessions of a daemon. What grows with what a
//! peer sends has a [`Charge`]: it is raised before the memory is taken, by the steps in which buffers grow and not by
//! the entry, and gives its bytes back when it is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Buffers above this many bytes grow by a quarter, smaller ones to twice their size.
const LARGE: usize = 1 << 20;

/// An account of bytes with a limit. Clones are the same account.
#[derive(Debug, Clone, Default)]
pub struct Budget(Option<Arc<Account>>);

#[derive(Debug)]
struct Account {
    scope: &'static str,
    /// 0: none.
    limit: AtomicU64,
    used: AtomicU64,
    /// The account of all sessions.
    all: Budget,
}

impl Budget {
    /// Counts nothing.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// The budget of all sessions of a process, in bytes; 0 is no limit.
    #[must_use]
    pub fn of_all_sessions(limit: u64) -> Self {
        Self::new("all sessions", limit, Self::unlimited())
    }

    /// The budget of one session within that of all, in bytes; 0 is no limit of its own.
    #[must_use]
    pub fn session(&self, limit: u64) -> Self {
        Self::new("this session", limit, self.clone())
    }

    fn new(scope: &'static str, limit: u64, all: Self) -> Self {
        Self(Some(Arc::new(Account {
            scope,
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
            all,
        })))
    }

    /// Changes the limit; what is held already stays.
    pub fn set_limit(&self, limit: u64) {
        if let Some(account) = &self.0 {
            account.limit.store(limit, Ordering::Relaxed);
        }
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> u64 {
        let account = self.0.as_ref();
        account.map_or(0, |account| account.used.load(Ordering::Relaxed))
    }

    /// A charge of nothing yet. `what` names what is held, for the error.
    #[must_use]
    pub fn charge(&self, what: &'static str) -> Charge {
        Charge {
            budget: self.clone(),
            what,
            bytes: 0,
        }
    }

    fn take(&self, what: &'static str, bytes: u64) -> Result<(), Error> {
        let Some(account) = &self.0 else {
            return Ok(());
        };
        let limit = account.limit.load(Ordering::Relaxed);
        let fits = |used: u64| {
            let sum = used.checked_add(bytes)?;
            (limit == 0 || sum <= limit).then_some(sum)
        };
        let order = Ordering::Relaxed;
        if account.used.fetch_update(order, order, fits).is_err() {
            return Err(Error::Budget {
                what,
                scope: account.scope,
                limit,
            });
        }
        let all = account.all.take(what, bytes);
        if all.is_err() {
            account.used.fetch_sub(bytes, order);
        }
        all
    }

    fn give_back(&self, bytes: u64) {
        if let Some(account) = &self.0 {
            account.used.fetch_sub(bytes, Ordering::Relaxed);
            account.all.give_back(bytes);
        }
    }
}

/// Bytes of a budget, given back on drop.
#[derive(Debug, Default)]
pub struct Charge {
    budget: Budget,
    what: &'static str,
    bytes: u64,
}

impl Charge {
    /// Holds so many bytes from now on, more or less than before.
    ///
    /// # Errors
    /// [`Error::Budget`]; what was held before stays held.
    pub fn set(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = bytes as u64;
        if bytes > self.bytes {
            self.budget.take(self.what, bytes - self.bytes)?;
        } else if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Holds `bytes` more.
    ///
    /// # Errors
    /// As of [`Charge::set`].
    pub fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.budget.take(self.what, bytes as u64)?;
        self.bytes += bytes as u64;
        Ok(())
    }

    /// Holds `bytes` less.
    pub fn sub(&mut self, bytes: usize) {
        let bytes = self.bytes.min(bytes as u64);
        self.budget.give_back(bytes);
        self.bytes -= bytes;
    }

    /// Makes room for `more` elements at the end of `vec`, charged before the memory is taken.
    ///
    /// # Errors
    /// [`Error::Budget`], or [`Error::OutOfMemory`] when the system has none.
    #[inline]
    pub(crate) fn reserve<T>(&mut self, vec: &mut Vec<T>, more: usize) -> Result<(), Error> {
        if vec.capacity() - vec.len() >= more {
            return Ok(());
        }
        self.grow(vec, more)
    }

    #[cold]
    fn grow<T>(&mut self, vec: &mut Vec<T>, more: usize) -> Result<(), Error> {
        let old = vec.capacity();
        let step = match old * size_of::<T>() {
            LARGE.. => old / 4,
            _ => old.max(4),
        };
        let new = (old + step).max(vec.len().saturating_add(more));
        let bytes = (new - old).saturating_mul(size_of::<T>());
        self.add(bytes)?;
        vec.try_reserve_exact(new - vec.len())
            .map_err(|_| Error::OutOfMemory {
                what: self.what,
                bytes: new.saturating_mul(size_of::<T>()) as u64,
            })
    }

    /// Makes room for one more key in `map`, charged before the memory is taken.
    ///
    /// # Errors
    /// [`Error::Budget`].
    #[inline]
    pub(crate) fn reserve_key<K, V>(&mut self, map: &HashMap<K, V>) -> Result<(), Error> {
        if map.len() < map.capacity() {
            return Ok(());
        }
        let old = map_memory::<K, V>(map.capacity());
        self.add(map_memory::<K, V>((2 * map.capacity()).max(3)) - old)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

/// Bytes on the heap, about, of a hash map with room for `capacity` keys.
pub(crate) const fn map_memory<K, V>(capacity: usize) -> usize {
    if capacity == 0 {
        return 0;
    }
    // An eighth stays free, and each place has a byte of its own.
    (capacity * 8).div_ceil(7).next_power_of_two() * (size_of::<(K, V)>() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(result: Result<(), Error>) -> &'static str {
        match result {
            Err(Error::Budget { scope, .. }) => scope,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sessions_count_alone_and_together() {
        let all = Budget::of_all_sessions(100);
        let (one, other) = (all.session(70), all.session(0));
        let mut first = one.charge("lists");
        first.set(60).expect("fits");
        assert_eq!(scope(first.add(11)), "this session");
        let mut second = other.charge("lists");
        assert_eq!(scope(second.set(41)), "all sessions");
        assert_eq!((one.used(), other.used(), all.used()), (60, 0, 60));
        second.set(40).expect("fits");
        first.set(20).expect("less");
        assert_eq!((one.used(), all.used()), (20, 60));
        drop(first);
        assert_eq!((one.used(), all.used()), (0, 40));
        all.set_limit(10);
        assert_eq!(scope(second.add(1)), "all sessions");
        drop(second);
        assert_eq!((other.used(), all.used()), (0, 0));
        let panicked = std::panic::catch_unwind(|| {
            let mut charge = one.charge("lists");
            charge.set(10).expect("fits");
            panic!("with {} bytes held", one.used());
        });
        assert!(panicked.is_err());
        assert_eq!(all.used(), 0);
    }

    #[test]
    fn the_error_names_what_is_held_and_the_limit() {
        let mut charge = Budget::of_all_sessions(0).session(5).charge("block sums");
        let error = charge.set(6).expect_err("too much");
        assert_eq!(
            error.to_string(),
            "block sums: the memory budget of this session (5 bytes) is used up"
        );
        assert_eq!(error.exit_code(), 22);
    }

    #[test]
    fn vectors_are_charged_by_what_they_take() {
        let budget = Budget::unlimited().session(10 << 20);
        let (mut charge, mut numbers) = (budget.charge("numbers"), Vec::<u32>::new());
        let full = loop {
            if let Err(error) = charge.reserve(&mut numbers, 1) {
                break error;
            }
            numbers.push(7);
            assert_eq!(budget.used(), 4 * numbers.capacity() as u64);
        };
        assert!(matches!(full, Error::Budget { .. }));
        assert!(numbers.len() > 7 << 18, "{}", numbers.len());
    }

    #[test]
    fn maps_are_charged_no_less_than_they_take() {
        let (mut charge, mut map) = (
            Budget::unlimited().session(0).charge("map"),
            HashMap::<u64, u32>::new(),
        );
        for key in 0..5000 {
            charge.reserve_key(&map).expect("no limit");
            map.insert(key, 0);
            assert!(charge.bytes >= 17 * map.capacity() as u64, "at {key}");
        }
        assert!(charge.bytes < 64 * 5000, "{}", charge.bytes);
    }
}
