//! Cancelling a transfer from another thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::Error;

type Closer = Box<dyn FnOnce() + Send>;

/// A handle that ends a running transfer: every role looks at it once a file and once a window in long
/// loops, and the closers registered by the transport wake roles that are blocked in a read or write.
///
/// Clones refer to the same transfer; [`Cancel::child`] makes the handle of one of several. Cancelling twice does
/// nothing more. A failed session cancels itself. When the last handle goes, the closers run too, so that a
/// connection is closed even if a thread still waits for it.
#[derive(Clone, Default)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    flag: AtomicBool,
    closers: Mutex<Vec<Closer>>,
    children: Mutex<Vec<Weak<Self>>>,
}

impl Inner {
    fn cancel(&self) {
        self.flag.store(true, Ordering::SeqCst);
        for close in std::mem::take(&mut *lock(&self.closers)) {
            close();
        }
        let children = std::mem::take(&mut *lock(&self.children));
        for child in children.iter().filter_map(Weak::upgrade) {
            child.cancel();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for close in std::mem::take(&mut *lock(&self.closers)) {
            close();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

impl Cancel {
    /// A handle for one transfer, not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle of its own for one transfer of several: cancelling `self` cancels it, but not the other way round.
    #[must_use]
    pub fn child(&self) -> Self {
        let child = Self::default();
        let mut children = lock(&self.inner.children);
        children.retain(|other| other.strong_count() > 0);
        children.push(Arc::downgrade(&child.inner));
        drop(children);
        if self.is_cancelled() {
            child.cancel();
        }
        child
    }

    /// Ends the transfer. The roles return [`Error::Cancelled`] as soon as they notice.
    pub fn cancel(&self) {
        self.inner.cancel();
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.flag.load(Ordering::Relaxed)
    }

    /// [`Error::Cancelled`] once cancelled.
    ///
    /// # Errors
    /// Only that one.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Registers what wakes a blocked role, for example shutting the socket down. Runs at once when the
    /// transfer is cancelled already.
    pub fn on_cancel(&self, close: impl FnOnce() + Send + 'static) {
        lock(&self.inner.closers).push(Box::new(close));
        if self.is_cancelled() {
            self.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn closers_run_once_whenever_they_are_registered() {
        let cancel = Cancel::new();
        let (tx, rx) = mpsc::channel();
        let early = tx.clone();
        cancel.on_cancel(move || early.send("early").expect("receiver lives"));
        assert!(cancel.check().is_ok());
        cancel.clone().cancel();
        cancel.cancel();
        cancel.on_cancel(move || tx.send("late").expect("receiver lives"));
        assert!(matches!(cancel.check(), Err(Error::Cancelled)));
        assert_eq!(rx.iter().collect::<Vec<_>>(), ["early", "late"]);
    }

    #[test]
    fn a_child_ends_with_its_parent_but_not_the_parent_with_it() {
        let parent = Cancel::new();
        let (failed, running) = (parent.child(), parent.child());
        failed.cancel();
        assert!(!parent.is_cancelled() && !running.is_cancelled());
        parent.cancel();
        assert!(running.is_cancelled());
        assert!(parent.child().is_cancelled(), "too late to begin");
    }

    #[test]
    fn the_last_handle_closes() {
        let (tx, rx) = mpsc::channel();
        let cancel = Cancel::new();
        let other = cancel.clone();
        cancel.on_cancel(move || tx.send(()).expect("receiver lives"));
        drop(cancel);
        assert!(rx.try_recv().is_err());
        drop(other);
        assert_eq!(rx.iter().count(), 1);
    }
}
