//! Who may come in: `hosts allow` and `hosts deny` (04-daemon 8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use rsyncd::access::{Decision, Host, HostList, Resolver, decide};

use crate::header::Header;
use crate::vectors;

/// Header: which host, whether names are looked up. Then its name and the two lists, on a line each.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let choices = header.byte();
    let mut lines = header.rest().splitn(3, |&byte| byte == b'\n');
    let mut host = Host::new(SocketAddr::new(ADDRESSES[usize::from(choices >> 1) % ADDRESSES.len()], 1));
    let name = lines.next().unwrap_or_default();
    if !name.is_empty() {
        host.name = name.to_vec();
    }
    let [allow, deny] = [lines.next(), lines.next()].map(|list| HostList::new(list.unwrap_or_default()));
    let none = HostList::new(b"");
    let lookup = choices & 1 != 0;
    let ask = |allow: &HostList, deny: &HostList| finished(decide(allow, deny, &host, lookup, &Names));

    let both = ask(&allow, &deny);
    assert_eq!(ask(&allow, &deny), both);
    assert!(ask(&none, &none).allowed);
    // What the lists say alone decides what they say together.
    if allow != none {
        let in_allow = ask(&allow, &none).allowed;
        // A pattern of unknown meaning lets nobody in and keeps everybody out.
        let kept_out = !ask(&none, &allow).allowed;
        assert!(!in_allow || kept_out);
        let alone = deny != none && ask(&none, &deny).allowed;
        assert_eq!(both.allowed, in_allow || alone);
        let everybody = HostList::new(b"*");
        assert!(ask(&everybody, &deny).allowed || host.name.contains(&b'/'));
    } else {
        assert_eq!(both.allowed, deny == none || ask(&none, &deny).allowed);
    }
}

const ADDRESSES: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(192, 168, 1, 20)),
    IpAddr::V4(Ipv4Addr::new(10, 9, 8, 7)),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
];

/// Knows every second name, and answers at once.
struct Names;

impl Resolver for Names {
    async fn resolve(&self, name: &str) -> Option<Vec<IpAddr>> {
        (!name.len().is_multiple_of(2)).then(|| vec![ADDRESSES[name.len() % ADDRESSES.len()]])
    }
}

/// The result of something that never has to wait.
fn finished(decision: impl Future<Output = Decision>) -> Decision {
    match pin!(decision).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(decision) => decision,
        Poll::Pending => panic!("nothing to wait for"),
    }
}

/// The cases of the vectors, for every host.
pub fn seeds() -> Vec<Vec<u8>> {
    let vectors = vectors::json("daemon/hosts_access.json");
    let mut seeds = Vec::new();
    for (number, case) in (0_u8..).zip(vectors["cases"].as_array().into_iter().flatten()) {
        let params = case["params"].as_str().unwrap_or_default();
        let value = |name: &str| {
            let lines = params.split('\n').flat_map(|line| line.split(" | "));
            lines.filter_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')).last()
        };
        let lists = [value("hosts allow"), value("hosts deny")].map(Option::unwrap_or_default);
        for host in 0..5 {
            let name = ["client20.Example.com", "tenhost.example.org", "localhost", "UNKNOWN", "UNDETERMINED"];
            let choices = host << 1 | number & 1;
            let text = format!("{}\n{}\n{}", name[usize::from(host)], lists[0], lists[1]);
            seeds.push([&[choices], text.as_bytes()].concat());
        }
    }
    seeds
}
