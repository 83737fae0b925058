//! Who may come in from where: `hosts allow`, `hosts deny` (04-daemon 8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::text::escape;
use crate::wildcard;

/// What the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The address; an IPv4 address inside IPv6 is made IPv4 by [`Host::new`].
    pub address: IpAddr,
    /// Zone of a link-local address.
    pub scope: Option<u32>,
    /// The name, `UNKNOWN` or `UNDETERMINED`.
    pub name: Vec<u8>,
}

/// The name of a client whose name was not asked for.
pub const UNDETERMINED: &[u8] = b"UNDETERMINED";
/// The name of a client that has no valid name.
pub const UNKNOWN: &[u8] = b"UNKNOWN";

impl Host {
    /// A client without a name.
    #[must_use]
    pub fn new(address: std::net::SocketAddr) -> Self {
        let scope = match address {
            std::net::SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id()),
            _ => None,
        };
        Self {
            address: address.ip().to_canonical(),
            scope,
            name: UNDETERMINED.to_vec(),
        }
    }
}

/// Finds addresses of host names that stand in a list.
pub trait Resolver {
    /// The addresses of a name; `None` if it has none, or nobody answers in time.
    fn resolve(&self, name: &str) -> impl Future<Output = Option<Vec<IpAddr>>> + Send;
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The client may go on.
    pub allowed: bool,
    /// The client's name from now on: one that had none is called by the name in the list that led to it.
    pub name: Vec<u8>,
}

/// Decides about a host. An empty list is no list. A host in neither list comes in if there is a deny list,
/// or if there is no list at all; the allow list wins.
pub async fn decide(
    allow: &HostList,
    deny: &HostList,
    host: &Host,
    forward_lookup: bool,
    resolver: &impl Resolver,
) -> Decision {
    let mut host = host.clone();
    let mut allowed = true;
    if !allow.is_empty()
        && allow
            .matches(&mut host, false, forward_lookup, resolver)
            .await
    {
        // Let in.
    } else if !allow.is_empty() && deny.is_empty() {
        allowed = false;
    } else if !deny.is_empty() {
        allowed = !deny
            .matches(&mut host, true, forward_lookup, resolver)
            .await;
    }
    Decision {
        allowed,
        name: host.name,
    }
}

/// The patterns of `hosts allow` or `hosts deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostList {
    /// The parameter has text, perhaps without any pattern.
    present: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: Vec<u8>,
    address: Address,
}

/// A token read as an address.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    V4 {
        address: u32,
        mask: u32,
    },
    V6 {
        address: u128,
        mask: u128,
        scope: Option<u32>,
    },
    /// It does not look like one.
    No,
    /// It looks like one, and is none; or it asks for what we do not have.
    Malformed(&'static str),
}

impl HostList {
    /// Splits a value at space, TAB and comma; letters become lower case.
    #[must_use]
    pub fn new(value: &[u8]) -> Self {
        let tokens = value
            .to_ascii_lowercase()
            .split(|b| b" \t,".contains(b))
            .filter(|token| !token.is_empty())
            .map(|token| Token {
                text: token.to_vec(),
                address: Address::parse(token),
            })
            .collect();
        Self {
            present: !value.is_empty(),
            tokens,
        }
    }

    fn is_empty(&self) -> bool {
        !self.present
    }

    async fn matches(
        &self,
        host: &mut Host,
        deny: bool,
        forward_lookup: bool,
        resolver: &impl Resolver,
    ) -> bool {
        for token in &self.tokens {
            if token.matches(host, deny, forward_lookup, resolver).await {
                return true;
            }
        }
        false
    }

    /// The patterns that an operator should look at, with what is wrong.
    pub(crate) fn suspects(&self, deny: bool) -> Vec<(String, &'static str)> {
        let mut found: Vec<(String, &'static str)> = self
            .tokens
            .iter()
            .filter_map(|token| Some((escape(&token.text), token.suspect(deny)?)))
            .collect();
        if deny {
            let families = |list: &Self| {
                let covers_all = |t: &Token| t.text == b"*";
                let v4 = list
                    .tokens
                    .iter()
                    .any(|t| matches!(t.address, Address::V4 { mask: 0, .. }) || covers_all(t));
                let v6 = list
                    .tokens
                    .iter()
                    .any(|t| matches!(t.address, Address::V6 { mask: 0, .. }) || covers_all(t));
                (v4, v6)
            };
            match families(self) {
                (true, false) => {
                    found.push(("0.0.0.0/0".into(), "IPv6 hosts are not denied by this list"))
                }
                (false, true) => {
                    found.push(("::/0".into(), "IPv4 hosts are not denied by this list"))
                }
                _ => {}
            }
        }
        found
    }
}

impl HostList {
    /// The patterns that need the name of a client, and so match nobody where it is never looked up.
    #[must_use]
    pub fn need_names(&self, forward_lookup: bool) -> Vec<String> {
        let everybody = |token: &Token| token.text.iter().all(|b| *b == b'*');
        let without_name = [UNKNOWN, UNDETERMINED].map(<[u8]>::to_ascii_lowercase);
        let needs = |token: &&Token| {
            let looked_up = forward_lookup && token.is_name();
            let nameless = everybody(token) || without_name.contains(&token.text);
            token.address == Address::No && !nameless && !looked_up
        };
        let found = self.tokens.iter().filter(needs);
        found.map(|token| escape(&token.text)).collect()
    }
}

impl Token {
    async fn matches(
        &self,
        host: &mut Host,
        deny: bool,
        forward_lookup: bool,
        resolver: &impl Resolver,
    ) -> bool {
        if wildcard::matches(&self.text, &host.name.to_ascii_lowercase()) {
            return true;
        }
        if forward_lookup && self.is_name() {
            let found = match std::str::from_utf8(&self.text) {
                Ok(name) => resolver.resolve(name).await,
                Err(_) => None,
            };
            match found {
                Some(addresses) if addresses.contains(&host.address) => {
                    if host.name == UNDETERMINED {
                        host.name.clone_from(&self.text);
                    }
                    return true;
                }
                Some(_) => {}
                // Nobody knows whom the operator wants to keep out: fail closed.
                None => return deny,
            }
        }
        match self.address {
            Address::V4 { address, mask } => match host.address {
                IpAddr::V4(v4) => (v4.to_bits() ^ address) & mask == 0,
                IpAddr::V6(_) => false,
            },
            Address::V6 {
                address,
                mask,
                scope,
            } => match host.address {
                IpAddr::V6(v6) => {
                    (v6.to_bits() ^ address) & mask == 0 && (scope.is_none() || scope == host.scope)
                }
                IpAddr::V4(_) => false,
            },
            Address::No => false,
            Address::Malformed(_) => deny,
        }
    }

    /// The token can be a host name: a lookup makes sense.
    fn is_name(&self) -> bool {
        !self.text.iter().all(|b| b.is_ascii_digit() || *b == b'.')
            && !self.text.iter().any(|b| b":/*?[".contains(b))
            && !self.text.starts_with(b"@")
    }

    fn suspect(&self, deny: bool) -> Option<&'static str> {
        match self.address {
            Address::Malformed(why) => Some(why),
            Address::V4 {
                address: 0,
                mask: u32::MAX,
            } if deny => Some("matches only the address 0.0.0.0 (0.0.0.0/0 is every IPv4 address)"),
            Address::V6 {
                address: 0,
                mask: u128::MAX,
                ..
            } if deny => Some("matches only the address :: (::/0 is every IPv6 address)"),
            Address::No
                if self.text.iter().any(u8::is_ascii_digit)
                    && self
                        .text
                        .iter()
                        .all(|b| b.is_ascii_digit() || b".*?".contains(b)) =>
            {
                Some("is matched against host names, not addresses")
            }
            _ => None,
        }
    }
}

impl Address {
    fn parse(token: &[u8]) -> Self {
        if token.starts_with(b"@") {
            return Self::Malformed("netgroups are not supported");
        }
        let (address, mask) = match token.iter().position(|&b| b == b'/') {
            Some(slash) => (&token[..slash], Some(&token[slash + 1..])),
            None => (token, None),
        };
        let numeric =
            !address.is_empty() && address.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        let Ok(text) = std::str::from_utf8(address) else {
            return Self::No;
        };
        if numeric {
            let Ok(v4) = text.parse::<Ipv4Addr>() else {
                return Self::Malformed(BAD_ADDRESS);
            };
            match mask.map_or(Some(u32::MAX), v4_mask) {
                Some(mask) => Self::V4 {
                    address: v4.to_bits(),
                    mask,
                },
                None => Self::Malformed(BAD_MASK),
            }
        } else if address.contains(&b':') {
            let (text, zone) = text
                .split_once('%')
                .map_or((text, None), |(a, z)| (a, Some(z)));
            let Ok(v6) = text.parse::<Ipv6Addr>() else {
                return Self::Malformed(BAD_ADDRESS);
            };
            let scope = match zone.map(zone_number) {
                Some(None) => return Self::Malformed("unknown zone"),
                Some(number) => number,
                None => None,
            };
            match mask.map_or(Some(u128::MAX), v6_mask) {
                Some(mask) => Self::V6 {
                    address: v6.to_bits(),
                    mask,
                    scope,
                },
                None => Self::Malformed(BAD_MASK),
            }
        } else {
            Self::No
        }
    }
}

const BAD_ADDRESS: &str = "not an address";
const BAD_MASK: &str = "malformed mask";

fn v4_mask(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(mask) = text.parse::<Ipv4Addr>() {
        return Some(mask.to_bits());
    }
    let bits = bits(text, 32)?;
    Some(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
}

fn v6_mask(text: &[u8]) -> Option<u128> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(mask) = text.parse::<Ipv6Addr>() {
        return Some(mask.to_bits());
    }
    let bits = bits(text, 128)?;
    Some(u128::MAX.checked_shl(128 - bits).unwrap_or(0))
}

fn bits(text: &str, max: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n <= max)
}

/// A zone is a number or the name of an interface.
fn zone_number(zone: &str) -> Option<u32> {
    zone.parse().ok().or_else(|| {
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET6,
            rustix::net::SocketType::DGRAM,
            None,
        )
        .ok()?;
        rustix::net::netdevice::name_to_index(socket, zone).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    /// The names of vectors/daemon/hosts_access.json.
    struct Names;

    impl Resolver for Names {
        async fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
            let address = match name {
                "client20.example.com" | "client20" => "192.168.1.20",
                "tenhost.example.org" => "10.9.8.7",
                "localhost" => "127.0.0.1",
                _ => return None,
            };
            Some(vec![address.parse().expect("address")])
        }
    }

    fn peer(address: &str, reverse_lookup: bool) -> Host {
        let ip: IpAddr = address.parse().expect("address");
        let mut host = Host::new(SocketAddr::new(ip, 1));
        if reverse_lookup {
            host.name = match address {
                "192.168.1.20" => b"client20.Example.com".to_vec(),
                "10.9.8.7" => b"tenhost.example.org".to_vec(),
                "127.0.0.1" => b"localhost".to_vec(),
                _ => UNKNOWN.to_vec(),
            };
        }
        host
    }

    fn ask(allow: &str, deny: &str, host: &Host) -> Decision {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("runtime");
        runtime.block_on(decide(
            &HostList::new(allow.as_bytes()),
            &HostList::new(deny.as_bytes()),
            host,
            true,
            &Names,
        ))
    }

    #[test]
    fn vectors() {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/daemon/hosts_access.json"
        ))
        .expect("vector");
        let vector: serde_json::Value = serde_json::from_str(&text).expect("json");
        // Ours differs on purpose: only dotted quads are IPv4 addresses (04-daemon 8.2).
        let strict = ["short ip"];
        let mut evaluated = 0;
        for case in vector["cases"].as_array().expect("cases") {
            let parameter = |name: &str| {
                let prefix = format!("{name}=");
                let params = case["params"].as_str().expect("params");
                params
                    .lines()
                    .find_map(|l| l.strip_prefix(&prefix))
                    .unwrap_or("")
                    .to_owned()
            };
            let (allow, deny) = (parameter("hosts allow"), parameter("hosts deny"));
            assert!(!allow.is_empty() || !deny.is_empty());
            for (address, expected) in case["result"].as_object().expect("result") {
                let host = peer(address, case["reverse_lookup"] == "yes");
                let expected =
                    expected == "allow" && !strict.contains(&case["case"].as_str().expect("case"));
                let found = ask(&allow, &deny, &host).allowed;
                assert_eq!(found, expected, "{case:#} {address}");
                evaluated += 1;
            }
        }
        assert_eq!(evaluated, 440);
    }

    #[test]
    fn deny_lists_fail_closed() {
        let host = peer("10.9.8.7", false);
        for (deny, allowed) in [
            ("10.0.0.0/33", false),
            ("192.168.1.", false),
            ("1.2.3", false),
            ("fe80::zz", false),
            ("nosuch.invalid", false),
            ("@group", false),
            ("192.168.1.*", true),
            ("10.9.8.8", true),
            (" ", true),
        ] {
            assert_eq!(ask("", deny, &host).allowed, allowed, "{deny}");
        }
        for allow in ["10.9.8.7/33", "10.9.8.", "nosuch.invalid", "@group", " "] {
            assert!(!ask(allow, "", &host).allowed, "{allow}");
        }
    }

    #[test]
    fn a_name_of_the_list_names_the_client() {
        let decision = ask("tenhost.example.org", "", &peer("10.9.8.7", false));
        assert_eq!(
            decision,
            Decision {
                allowed: true,
                name: b"tenhost.example.org".to_vec()
            }
        );
    }

    #[test]
    fn mapped_addresses_are_ipv4_and_zones_count() {
        let mapped = Host::new("[::ffff:10.9.8.7]:1".parse().expect("address"));
        assert!(ask("10.9.8.0/24", "", &mapped).allowed);
        assert!(!ask("::/0", "", &mapped).allowed);
        let zoned = Host::new("[fe80::1%7]:1".parse().expect("address"));
        for (allow, allowed) in [
            ("fe80::1", true),
            ("fe80::1%7", true),
            ("fe80::1%8", false),
            ("fe80::%7/16", true),
        ] {
            assert_eq!(ask(allow, "", &zoned).allowed, allowed, "{allow}");
        }
    }

    #[test]
    fn patterns_that_need_a_name() {
        for (list, forward, expected) in [
            (
                "10.0.0.0/8 * *.example.com host unknown",
                true,
                vec!["*.example.com"],
            ),
            ("host h?st UNDETERMINED", false, vec!["host", "h?st"]),
        ] {
            let found = HostList::new(list.as_bytes()).need_names(forward);
            assert_eq!(found, expected, "{list}");
        }
    }

    #[test]
    fn suspects_are_named() {
        for (list, deny, expected) in [
            ("192.168.1.0/24 0.0.0.0/32", true, vec!["0.0.0.0/32"]),
            ("0.0.0.0/32", false, vec![]),
            ("::/128", true, vec!["::/128"]),
            ("0.0.0.0/0", true, vec!["0.0.0.0/0"]),
            ("0.0.0.0/0 ::/0", true, vec![]),
            ("*", true, vec![]),
            (
                "192.168.1.* 10.0.0.0/x good.example",
                false,
                vec!["192.168.1.*", "10.0.0.0/x"],
            ),
        ] {
            let found: Vec<String> = HostList::new(list.as_bytes())
                .suspects(deny)
                .into_iter()
                .map(|(t, _)| t)
                .collect();
            assert_eq!(found, expected, "{list}");
        }
    }
}
