//! The front door for embedders: a client, and transfers as things to await.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rsync_engine::options::{Direction, ListOnly, TransferOptions};
use rsync_engine::receive::Destination;
use rsync_engine::send::{Source, Unopened};
use rsync_engine::{Cancel, Event, Events, Outcome, Progress, TextKind};
use rsync_proto::item::ItemFlags;
use tokio::sync::{mpsc, oneshot};

use crate::daemon::{self, Connect, OpenSession};
use crate::error::Error;
use crate::filters::Filters;
use crate::handshake::Credentials;
use crate::target::{DaemonTarget, Target};
use crate::{local, source};

/// Events that wait for their reader at most; then the transfer waits.
const EVENTS_WAITING: usize = 1024;

/// Starts transfers. Cheap to clone; it holds no connection.
#[derive(Debug, Clone, Default)]
pub struct Client {
    password: Option<Vec<u8>>,
    user: Option<String>,
    io_timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
}

/// Makes a [`Client`].
#[derive(Debug, Clone, Default)]
pub struct ClientBuilder {
    client: Client,
}

impl ClientBuilder {
    /// The password for daemons that ask for one.
    #[must_use]
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.client.password = Some(password.into());
        self
    }

    /// The user, where a target names none.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.client.user = Some(user.into());
        self
    }

    /// Ends a session in which nothing moves for this long.
    #[must_use]
    pub fn io_timeout(mut self, timeout: Duration) -> Self {
        self.client.io_timeout = Some(timeout);
        self
    }

    /// Gives up on a connection that is not there in this time.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.client.connect_timeout = Some(timeout);
        self
    }

    /// The client.
    #[must_use]
    pub fn build(self) -> Client {
        self.client
    }
}

impl Client {
    /// A client to be configured.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Sends local paths to a target, in rsync's meaning of a trailing slash. The transfer starts at once, on a
    /// thread of its own.
    pub fn push<S: AsRef<Path>>(
        &self,
        sources: impl IntoIterator<Item = S>,
        target: &Target,
        options: TransferOptions,
    ) -> Transfer {
        let sources: Vec<Vec<u8>> = sources
            .into_iter()
            .map(|path| bytes(path.as_ref()))
            .collect();
        let (client, target) = (self.clone(), target.clone());
        Transfer::start(move |cancel, events| {
            let (source, missing) = source::arguments(&sources, options.relative)?;
            if let Some(directory) = missing.into_iter().next() {
                return Err(unopened(directory));
            }
            let source = Source::Arguments(source);
            let filters = Filters::new(&options, &mut read_rules)?;
            match target {
                Target::Local(path) => {
                    let destination = Some(Destination::Local(path));
                    local::copy(source, destination, options, filters, &cancel, &events)
                }
                Target::Daemon(daemon) => {
                    let path = [&daemon.module[..], b"/", &daemon.path].concat();
                    let connect = client.connect(&daemon);
                    OpenSession::open(
                        &daemon,
                        Direction::Push,
                        &[path],
                        options,
                        &connect,
                        cancel,
                        &events,
                    )?
                    .push(source, filters, &events)
                }
            }
        })
    }

    /// Receives from a target into a local path, in rsync's meaning of a trailing slash.
    pub fn pull(
        &self,
        target: &Target,
        destination: impl AsRef<Path>,
        options: TransferOptions,
    ) -> Transfer {
        self.receive(target, Some(destination.as_ref().to_owned()), options)
    }

    /// Lists what a pull would receive: [`TransferEvent::Listed`] for each entry, nothing is written.
    pub fn list(&self, target: &Target, mut options: TransferOptions) -> Transfer {
        options.list_only = ListOnly::Implied;
        options.dirs |= !options.recursive;
        self.receive(target, None, options)
    }

    fn receive(
        &self,
        target: &Target,
        destination: Option<std::path::PathBuf>,
        options: TransferOptions,
    ) -> Transfer {
        let (client, target) = (self.clone(), target.clone());
        Transfer::start(move |cancel, events| {
            let destination = destination.map(Destination::Local);
            let filters = Filters::new(&options, &mut read_rules)?;
            match target {
                Target::Local(path) => {
                    let (source, missing) = source::arguments(&[bytes(&path)], options.relative)?;
                    if let Some(directory) = missing.into_iter().next() {
                        return Err(unopened(directory));
                    }
                    let source = Source::Arguments(source);
                    local::copy(source, destination, options, filters, &cancel, &events)
                }
                Target::Daemon(daemon) => {
                    let path = [&daemon.module[..], b"/", &daemon.path].concat();
                    let connect = client.connect(&daemon);
                    OpenSession::open(
                        &daemon,
                        Direction::Pull,
                        &[path],
                        options,
                        &connect,
                        cancel,
                        &events,
                    )?
                    .pull(destination, filters, &events)
                }
            }
        })
    }

    /// The lines of a daemon's module list.
    ///
    /// # Errors
    /// A failed connection or a refusal.
    pub async fn modules(&self, daemon: &DaemonTarget) -> Result<Vec<String>, Error> {
        let (client, daemon) = (self.clone(), daemon.clone());
        let (done, listed) = oneshot::channel();
        spawn(move || {
            let mut lines = Vec::new();
            let result = daemon::list_modules(&daemon, &client.connect(&daemon), &mut |line| {
                lines.push(line.to_string());
            });
            // Whoever asked may have gone.
            let _ = done.send(result.map(|()| lines));
        })?;
        listed
            .await
            .map_err(|_| Error::Thread("listing".to_owned()))?
    }

    fn connect(&self, daemon: &DaemonTarget) -> Connect {
        let user = daemon
            .user
            .clone()
            .or_else(|| self.user.clone())
            .unwrap_or_else(|| "nobody".to_owned());
        let credentials = match &self.password {
            Some(password) => Credentials::known(user, password.clone()),
            None => Credentials::none(),
        };
        Connect {
            credentials,
            connect_timeout: self.connect_timeout,
            io_timeout: self.io_timeout,
            ..Connect::default()
        }
    }
}

/// A running transfer. Dropping it cancels the run.
///
/// Events have to be read, or [`Transfer::finish`] called, which drops them: a transfer whose events nobody takes
/// waits.
#[derive(Debug)]
pub struct Transfer {
    events: mpsc::Receiver<TransferEvent>,
    done: Option<oneshot::Receiver<Result<Outcome, Error>>>,
    cancel: CancelOnDrop,
}

#[derive(Debug)]
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Transfer {
    fn start(
        run: impl FnOnce(Cancel, Arc<dyn Events>) -> Result<Outcome, Error> + Send + 'static,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_WAITING);
        let (finished, done) = oneshot::channel();
        let cancel = Cancel::new();
        let running = cancel.clone();
        let started = spawn(move || {
            let events: Arc<dyn Events> = Arc::new(Forward(sender));
            // Whoever waits may have gone.
            let _ = finished.send(run(running, events));
        });
        let done = match started {
            Ok(()) => done,
            Err(error) => {
                let (failed, done) = oneshot::channel();
                let _ = failed.send(Err(error));
                done
            }
        };
        Self {
            events,
            done: Some(done),
            cancel: CancelOnDrop(cancel),
        }
    }

    /// The next event; `None` when the transfer has ended.
    pub async fn next_event(&mut self) -> Option<TransferEvent> {
        self.events.recv().await
    }

    /// A handle that cancels the transfer from elsewhere.
    #[must_use]
    pub fn cancel_handle(&self) -> Cancel {
        self.cancel.0.clone()
    }

    /// Waits for the end. `Ok` with a partial outcome: some files failed, and the events said which.
    ///
    /// # Errors
    /// What ended the run.
    pub async fn finish(mut self) -> Result<Outcome, Error> {
        while self.events.recv().await.is_some() {}
        match self.done.take() {
            Some(done) => done
                .await
                .map_err(|_| Error::Thread("transfer".to_owned()))?,
            None => Err(Error::Thread("transfer".to_owned())),
        }
    }

    /// As [`Transfer::finish`], for callers outside of a runtime.
    ///
    /// # Errors
    /// What ended the run.
    pub fn run_blocking(mut self) -> Result<Outcome, Error> {
        while self.events.blocking_recv().is_some() {}
        match self.done.take() {
            Some(done) => done
                .blocking_recv()
                .map_err(|_| Error::Thread("transfer".to_owned()))?,
            None => Err(Error::Thread("transfer".to_owned())),
        }
    }
}

/// An event that outlives its moment; see [`Event`]. Names are bytes relative to the transfer root.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferEvent {
    /// An entry was created, changed or will be transferred.
    Item {
        /// Its name.
        name: Vec<u8>,
        /// What differs or happens.
        flags: ItemFlags,
    },
    /// An entry of a listing.
    Listed {
        /// Its name.
        name: Vec<u8>,
        /// Full mode with the type.
        mode: u32,
        /// Size in bytes.
        size: u64,
        /// Modification time, seconds since 1970.
        mtime: i64,
    },
    /// The data of a file has gone out, or is in place here.
    Transferred {
        /// Its name.
        name: Vec<u8>,
        /// Its size.
        size: u64,
    },
    /// Something was deleted at the destination.
    Deleted {
        /// Its name.
        name: Vec<u8>,
    },
    /// How far one file is. Reports may be left out when the reader is slow.
    Progress {
        /// Its name.
        name: Vec<u8>,
        /// Bytes done.
        done: u64,
        /// Its size.
        total: u64,
    },
    /// One entry failed; the run goes on.
    Failed {
        /// Its name.
        name: Vec<u8>,
        /// What happened.
        text: String,
    },
    /// A text of the peer or of our own side, escaped.
    Message {
        /// What kind of text.
        kind: TextKind,
        /// The text.
        text: String,
    },
}

/// Turns events into ones that can wait.
struct Forward(mpsc::Sender<TransferEvent>);

impl Events for Forward {
    fn event(&self, event: Event<'_>) {
        let owned = match event {
            Event::Item(item) => TransferEvent::Item {
                name: item.name.to_vec(),
                flags: item.flags,
            },
            Event::Listed(item) => TransferEvent::Listed {
                name: item.name.to_vec(),
                mode: item.mode,
                size: item.size,
                mtime: item.mtime,
            },
            Event::Transferred { item, .. } => TransferEvent::Transferred {
                name: item.name.to_vec(),
                size: item.size,
            },
            Event::Deleted { name, .. } => TransferEvent::Deleted {
                name: name.to_vec(),
            },
            Event::Progress(Progress {
                name, done, total, ..
            }) => {
                // The next report says more.
                let _ = self.0.try_send(TransferEvent::Progress {
                    name: name.to_vec(),
                    done,
                    total,
                });
                return;
            }
            Event::Failed(failure) => TransferEvent::Failed {
                name: failure.name.clone(),
                text: failure.to_string(),
            },
            Event::Message { kind, text } => TransferEvent::Message {
                kind,
                text: text.to_string(),
            },
            Event::Note { kind, text } => TransferEvent::Message {
                kind,
                text: text.to_string(),
            },
            _ => return,
        };
        // A reader that went away has cancelled the transfer.
        let _ = self.0.blocking_send(owned);
    }

    fn wants_progress(&self) -> bool {
        true
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    std::thread::Builder::new()
        .name("transfer".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(|error| Error::Thread(error.to_string()))
}

fn unopened(directory: Unopened) -> Error {
    Error::Source {
        path: rsync_proto::PeerText(directory.path),
        source: directory.errno.into(),
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

fn read_rules(name: &[u8]) -> std::io::Result<Vec<u8>> {
    std::fs::read(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name))
}
