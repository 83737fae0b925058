//! Cancelling a transfer from another thread.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

type Closer = Box<dyn FnOnce() + Send>;

/// A handle that ends a running transfer: every role looks at it once a file and once a window in long
/// loops, and the closers registered by the transport wake roles that are blocked in a read or write.
///
/// Clones refer to the same transfer. Cancelling twice does nothing more.
#[derive(Clone, Default)]
pub struct Cancel {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    flag: AtomicBool,
    closers: Mutex<Vec<Closer>>,
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

    /// Ends the transfer. The roles return [`Error::Cancelled`] as soon as they notice.
    pub fn cancel(&self) {
        self.inner.flag.store(true, Ordering::SeqCst);
        let closers = std::mem::take(
            &mut *self
                .inner
                .closers
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for close in closers {
            close();
        }
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
        self.inner
            .closers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(close));
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
}
