//! Names of clients and of hosts in the access lists (04-daemon 8.4).
//!
//! Lookups run on the runtime's blocking threads, never on a session's, and are given up after a while. The thread
//! behind one cannot be called off, so there is a bound on them that does not care who still waits: whoever comes
//! and goes gets no more of them than anybody else.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::access::{Resolver, UNKNOWN};
use crate::limits;

/// The host's resolver, shared by all connections.
#[derive(Debug)]
pub(crate) struct Lookups {
    /// Room for lookups that run.
    room: Arc<Semaphore>,
    names: Flights<IpAddr, Result<String, String>>,
    addresses: Flights<String, Option<Vec<IpAddr>>>,
}

/// The name of a client, and what the log should say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientName {
    pub(crate) name: Vec<u8>,
    pub(crate) complaint: Option<String>,
}

/// Lookups that run, by what they look up: who asks for the same waits for the same answer.
#[derive(Debug)]
struct Flights<K, V>(Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The answer to `look`, or `None` if there is none in time.
    async fn answer(
        &self,
        room: &Arc<Semaphore>,
        key: K,
        look: impl FnOnce(K) -> V + Send + 'static,
    ) -> Option<V> {
        let ask = async {
            let mut answer = match self.running(&key) {
                Some(answer) => answer,
                None => {
                    let place = Arc::clone(room).acquire_owned().await.ok()?;
                    // Another may have begun while we waited for the place.
                    self.running(&key).unwrap_or_else(|| {
                        let (give, answer) = watch::channel(None);
                        self.map().insert(key.clone(), answer.clone());
                        let flights = Self(Arc::clone(&self.0));
                        tokio::task::spawn_blocking(move || {
                            let found = look(key.clone());
                            flights.map().remove(&key);
                            give.send_replace(Some(found));
                            drop(place);
                        });
                        answer
                    })
                }
            };
            let found = answer.wait_for(Option::is_some).await.ok()?;
            found.clone()
        };
        tokio::time::timeout(limits::LOOKUP, ask).await.ok()?
    }

    fn running(&self, key: &K) -> Option<watch::Receiver<Option<V>>> {
        self.map().get(key).cloned()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            room: Arc::new(Semaphore::new(limits::LOOKUPS)),
            names: Flights::default(),
            addresses: Flights::default(),
        }
    }
}

impl Resolver for Lookups {
    async fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        let look = |name: String| {
            let found = (name.as_str(), 0).to_socket_addrs().ok()?;
            Some(found.map(|address| address.ip().to_canonical()).collect())
        };
        let found = self.addresses.answer(&self.room, name.to_owned(), look);
        found.await?
    }
}

impl Lookups {
    /// Looks up a name by address, and the name's addresses: they must include the client's.
    pub(crate) async fn client_name(&self, address: IpAddr) -> ClientName {
        let unknown = |complaint| ClientName {
            name: UNKNOWN.to_vec(),
            complaint: Some(complaint),
        };
        let found = self.names.answer(&self.room, address, name_of).await;
        let name = match found {
            Some(Ok(name)) if name.parse::<IpAddr>().is_err() => name,
            Some(Err(error)) => {
                return unknown(format!("name lookup failed for {address}: {error}"));
            }
            Some(Ok(_)) => {
                return unknown(format!("name lookup failed for {address}: not a name"));
            }
            None => {
                return unknown(format!(
                    "name lookup failed for {address}: no answer in time"
                ));
            }
        };
        match self.resolve(&name).await {
            Some(addresses) if addresses.contains(&address) => ClientName {
                name: name.into_bytes(),
                complaint: None,
            },
            Some(_) => unknown(format!(
                "{address} is not a known address for \"{name}\": spoofed address?"
            )),
            None => unknown(format!("forward name lookup for {name} failed")),
        }
    }
}

fn name_of(address: IpAddr) -> Result<String, String> {
    dns_lookup::getnameinfo(&SocketAddr::new(address, 0), NAME_REQUIRED)
        .map(|(name, _)| name)
        .map_err(|error| std::io::Error::from(error).to_string())
}

/// `NI_NAMEREQD`: no name is an error.
const NAME_REQUIRED: i32 = libc::NI_NAMEREQD;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_knows_itself() {
        let lookups = Lookups::default();
        let localhost: IpAddr = "127.0.0.1".parse().expect("address");
        assert_eq!(
            lookups.client_name(localhost).await,
            ClientName {
                name: b"localhost".to_vec(),
                complaint: None
            }
        );
        let addresses = lookups.resolve("localhost").await.expect("addresses");
        assert!(addresses.contains(&localhost));
        assert_eq!(lookups.resolve("nosuch.invalid").await, None);
        let nobody = lookups
            .client_name("192.0.2.1".parse().expect("address"))
            .await;
        assert_eq!(
            (&nobody.name[..], nobody.complaint.is_some()),
            (UNKNOWN, true)
        );
    }

    #[tokio::test]
    async fn those_who_leave_start_no_more_lookups() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        use std::sync::mpsc::channel;
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let (flights, room) = (Flights::<u32, u32>::default(), Arc::new(Semaphore::new(2)));
        let (go, wait) = channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let slow = |key: u32| {
            let wait = Arc::clone(&wait);
            let look = move |key| {
                STARTED.fetch_add(1, Ordering::SeqCst);
                let _ = wait.lock().map(|wait| wait.recv());
                key + 1
            };
            flights.answer(&room, key, look)
        };
        // Each asks and goes away: the same key is one lookup, and of others no more run than there is room for.
        for key in [1, 1, 2, 1, 3, 4, 5] {
            let mut asks = std::pin::pin!(slow(key));
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(asks.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
        let waits = slow(1);
        drop(go);
        assert_eq!(waits.await, Some(2));
        assert!(STARTED.load(Ordering::SeqCst) <= 2);
    }
}
