//! Names of clients and of hosts in the access lists (04-daemon 8.4).
//!
//! Lookups run on the runtime's blocking threads, never on a session's, and are given up after a while.

use std::net::{IpAddr, SocketAddr};

use crate::access::{Resolver, UNKNOWN};
use crate::limits;

/// The host's resolver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        let lookup = tokio::net::lookup_host((name, 0));
        let found = tokio::time::timeout(limits::LOOKUP, lookup)
            .await
            .ok()?
            .ok()?;
        Some(found.map(|address| address.ip().to_canonical()).collect())
    }
}

/// The name of a client, and what the log should say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientName {
    pub(crate) name: Vec<u8>,
    pub(crate) complaint: Option<String>,
}

/// Looks up a name by address, and the name's addresses: they must include the client's.
pub(crate) async fn client_name(address: IpAddr) -> ClientName {
    let lookup = tokio::task::spawn_blocking(move || {
        dns_lookup::getnameinfo(&SocketAddr::new(address, 0), NAME_REQUIRED).map(|(name, _)| name)
    });
    let unknown = |complaint| ClientName {
        name: UNKNOWN.to_vec(),
        complaint: Some(complaint),
    };
    let name = match tokio::time::timeout(limits::LOOKUP, lookup).await {
        Ok(Ok(Ok(name))) if name.parse::<IpAddr>().is_err() => name,
        Ok(Ok(Err(error))) => {
            return unknown(format!(
                "name lookup failed for {address}: {}",
                std::io::Error::from(error)
            ));
        }
        Ok(_) => return unknown(format!("name lookup failed for {address}: not a name")),
        Err(_) => {
            return unknown(format!(
                "name lookup failed for {address}: no answer in time"
            ));
        }
    };
    match SystemResolver.resolve(&name).await {
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

/// `NI_NAMEREQD`: no name is an error.
const NAME_REQUIRED: i32 = libc::NI_NAMEREQD;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_knows_itself() {
        let localhost: IpAddr = "127.0.0.1".parse().expect("address");
        assert_eq!(
            client_name(localhost).await,
            ClientName {
                name: b"localhost".to_vec(),
                complaint: None
            }
        );
        assert!(
            SystemResolver
                .resolve("localhost")
                .await
                .expect("addresses")
                .contains(&localhost)
        );
        assert_eq!(SystemResolver.resolve("nosuch.invalid").await, None);
        let nobody = client_name("192.0.2.1".parse().expect("address")).await;
        assert_eq!(
            (&nobody.name[..], nobody.complaint.is_some()),
            (UNKNOWN, true)
        );
    }
}
