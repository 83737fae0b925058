//! The table of every parameter that rsync 3.5.0 knows (04-daemon 6, 7) and of our own, and what we do with each.

use super::value::{Number, Text};

/// A parameter; the discriminant is its row in [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Id {
    Address,
    AddressConnections,
    AddressHandshakes,
    AuthFailures,
    DaemonChroot,
    DaemonGid,
    DaemonUid,
    HandshakeTimeout,
    ListenBacklog,
    LogRate,
    MotdFile,
    NetworkConnections,
    NetworkHandshakes,
    PidFile,
    Port,
    ProxyProtocol,
    ProxyProtocolHosts,
    SocketOptions,
    TotalConnections,
    TotalHandshakes,
    AuthDigest,
    AuthUsers,
    Charset,
    Comment,
    DontCompress,
    EarlyExec,
    Exclude,
    ExcludeFrom,
    FakeSuper,
    Filter,
    ForwardLookup,
    Gid,
    HostsAllow,
    HostsDeny,
    IdleTimeout,
    IgnoreErrors,
    IgnoreNonreadable,
    Include,
    IncludeFrom,
    IncomingChmod,
    InsecureLinks,
    List,
    LockFile,
    LogFile,
    LogFormat,
    MaxConnections,
    MaxMemory,
    MaxSessionMemory,
    MaxVerbosity,
    MungeSymlinks,
    NameConverter,
    NumericIds,
    OpenNoatime,
    OutgoingChmod,
    Path,
    PostXferExec,
    PreXferExec,
    ReadOnly,
    RefuseOptions,
    ReverseLookup,
    SecretsFile,
    StrictModes,
    SyslogFacility,
    SyslogTag,
    TempDir,
    Timeout,
    TransferLogging,
    Uid,
    UseChroot,
    WriteOnly,
}

/// Number of parameters.
pub(crate) const COUNT: usize = Id::WriteOnly as usize + 1;

/// Where a parameter may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Before the first module or in `[global]` only.
    Global,
    /// In a module, or as a default in front of it.
    Module,
}

/// How its value is read, and the value it has when nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool(bool),
    /// yes, no, unset.
    Tristate,
    Number(Number),
    /// Bytes, with a unit if there is one behind the number.
    Size,
    Text,
    /// Text without slashes at the end.
    Path,
}

/// What we do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It works.
    Works,
    /// It works, and a value that cannot be read closes the module instead of leaving the default
    /// (04-daemon 22, row 3).
    WorksOrCloses,
    /// One of ours, unknown to rsync: a value that is no number from 0 on is an error.
    Ours,
    /// It changes nothing here; accepted with a notice that says why.
    Inert(&'static str),
    /// It would change what happens: refused unless it has the value that means "off".
    Later,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) scope: Scope,
    pub(crate) kind: Kind,
    pub(crate) support: Support,
}

const fn row(id: Id, name: &'static str, scope: Scope, kind: Kind, support: Support) -> Spec {
    Spec {
        id,
        name,
        scope,
        kind,
        support,
    }
}

/// A limit of ours; unset it has the default of [`Limits`](crate::limits::Limits).
const fn limit(id: Id, name: &'static str, scope: Scope) -> Spec {
    row(id, name, scope, NUMBER, Ours)
}

use Kind::{Bool, Path, Tristate};
use Scope::{Global, Module};
use Support::{Inert, Later, Ours, Works, WorksOrCloses};

const TEXT: Kind = Kind::Text;
const NUMBER: Kind = Kind::Number(0);

/// One row a parameter, in the order of [`Id`].
pub(crate) const TABLE: [Spec; COUNT] = [
    row(Id::Address, "address", Global, TEXT, Works),
    limit(Id::AddressConnections, "address connections", Global),
    limit(Id::AddressHandshakes, "address handshakes", Global),
    limit(Id::AuthFailures, "auth failures", Global),
    row(Id::DaemonChroot, "daemon chroot", Global, TEXT, Later),
    row(Id::DaemonGid, "daemon gid", Global, TEXT, Later),
    row(Id::DaemonUid, "daemon uid", Global, TEXT, Later),
    limit(Id::HandshakeTimeout, "handshake timeout", Global),
    row(
        Id::ListenBacklog,
        "listen backlog",
        Global,
        Kind::Number(5),
        Works,
    ),
    limit(Id::LogRate, "log rate", Global),
    row(Id::MotdFile, "motd file", Global, TEXT, Works),
    limit(Id::NetworkConnections, "network connections", Global),
    limit(Id::NetworkHandshakes, "network handshakes", Global),
    row(Id::PidFile, "pid file", Global, TEXT, Works),
    row(Id::Port, "port", Global, NUMBER, Works),
    row(
        Id::ProxyProtocol,
        "proxy protocol",
        Global,
        Bool(false),
        Later,
    ),
    row(
        Id::ProxyProtocolHosts,
        "proxy protocol hosts",
        Global,
        TEXT,
        Inert("it only matters with proxy protocol = yes"),
    ),
    row(
        Id::SocketOptions,
        "socket options",
        Global,
        TEXT,
        Inert("the daemon sets TCP_NODELAY and SO_KEEPALIVE itself"),
    ),
    limit(Id::TotalConnections, "total connections", Global),
    limit(Id::TotalHandshakes, "total handshakes", Global),
    row(Id::AuthDigest, "auth digest", Module, TEXT, Works),
    row(Id::AuthUsers, "auth users", Module, TEXT, Works),
    row(Id::Charset, "charset", Module, TEXT, Later),
    row(Id::Comment, "comment", Module, TEXT, Works),
    row(
        Id::DontCompress,
        "dont compress",
        Module,
        TEXT,
        Inert("it does not change what is transferred"),
    ),
    row(Id::EarlyExec, "early exec", Module, TEXT, Later),
    row(Id::Exclude, "exclude", Module, TEXT, Works),
    row(Id::ExcludeFrom, "exclude from", Module, TEXT, Works),
    row(Id::FakeSuper, "fake super", Module, Bool(false), Later),
    row(Id::Filter, "filter", Module, TEXT, Works),
    row(
        Id::ForwardLookup,
        "forward lookup",
        Module,
        Bool(true),
        Works,
    ),
    row(Id::Gid, "gid", Module, TEXT, Works),
    row(Id::HostsAllow, "hosts allow", Module, TEXT, Works),
    row(Id::HostsDeny, "hosts deny", Module, TEXT, Works),
    limit(Id::IdleTimeout, "idle timeout", Module),
    row(
        Id::IgnoreErrors,
        "ignore errors",
        Module,
        Bool(false),
        Later,
    ),
    row(
        Id::IgnoreNonreadable,
        "ignore nonreadable",
        Module,
        Bool(false),
        Later,
    ),
    row(Id::Include, "include", Module, TEXT, Works),
    row(Id::IncludeFrom, "include from", Module, TEXT, Works),
    row(Id::IncomingChmod, "incoming chmod", Module, TEXT, Later),
    row(
        Id::InsecureLinks,
        "insecure links",
        Module,
        Bool(false),
        Later,
    ),
    row(Id::List, "list", Module, Bool(true), WorksOrCloses),
    row(Id::LockFile, "lock file", Module, TEXT, Works),
    row(Id::LogFile, "log file", Module, TEXT, Works),
    row(Id::LogFormat, "log format", Module, TEXT, Works),
    row(
        Id::MaxConnections,
        "max connections",
        Module,
        NUMBER,
        WorksOrCloses,
    ),
    row(
        Id::MaxMemory,
        "max memory",
        Global,
        Kind::Size,
        WorksOrCloses,
    ),
    row(
        Id::MaxSessionMemory,
        "max session memory",
        Module,
        Kind::Size,
        WorksOrCloses,
    ),
    row(
        Id::MaxVerbosity,
        "max verbosity",
        Module,
        Kind::Number(1),
        Works,
    ),
    row(Id::MungeSymlinks, "munge symlinks", Module, Tristate, Works),
    row(Id::NameConverter, "name converter", Module, TEXT, Later),
    row(Id::NumericIds, "numeric ids", Module, Tristate, Works),
    row(Id::OpenNoatime, "open noatime", Module, Tristate, Later),
    row(Id::OutgoingChmod, "outgoing chmod", Module, TEXT, Later),
    row(Id::Path, "path", Module, Path, Works),
    row(Id::PostXferExec, "post-xfer exec", Module, TEXT, Later),
    row(Id::PreXferExec, "pre-xfer exec", Module, TEXT, Later),
    row(Id::ReadOnly, "read only", Module, Bool(true), WorksOrCloses),
    row(Id::RefuseOptions, "refuse options", Module, TEXT, Works),
    row(
        Id::ReverseLookup,
        "reverse lookup",
        Module,
        Bool(true),
        Works,
    ),
    row(Id::SecretsFile, "secrets file", Module, TEXT, Works),
    row(
        Id::StrictModes,
        "strict modes",
        Module,
        Bool(true),
        WorksOrCloses,
    ),
    row(Id::SyslogFacility, "syslog facility", Module, TEXT, Works),
    row(Id::SyslogTag, "syslog tag", Module, TEXT, Works),
    row(Id::TempDir, "temp dir", Module, Path, Later),
    row(Id::Timeout, "timeout", Module, NUMBER, Works),
    row(
        Id::TransferLogging,
        "transfer logging",
        Module,
        Bool(false),
        Works,
    ),
    row(Id::Uid, "uid", Module, TEXT, Works),
    row(Id::UseChroot, "use chroot", Module, Tristate, WorksOrCloses),
    row(
        Id::WriteOnly,
        "write only",
        Module,
        Bool(false),
        WorksOrCloses,
    ),
];

/// The parameter of that name: case and white space do not count (04-daemon 4.3).
pub(crate) fn find(name: &[u8]) -> Option<&'static Spec> {
    TABLE
        .iter()
        .find(|spec| loosely_equal(spec.name.as_bytes(), name))
}

/// The comparison of parameter names, and of section names while a file is read (04-daemon 4.3).
pub(crate) fn loosely_equal(a: &[u8], b: &[u8]) -> bool {
    let squeeze = |s: &'_ [u8]| -> Vec<u8> {
        s.iter()
            .filter(|b| !b.is_ascii_whitespace() && **b != 0x0b)
            .map(u8::to_ascii_lowercase)
            .collect()
    };
    squeeze(a) == squeeze(b)
}

/// A value as it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Tristate(Option<bool>),
    Number(Number),
    Size(u64),
    Text(Text),
}

impl Value {
    /// The value is the one that switches a feature off, so that we need not have it.
    pub(crate) fn is_off(&self) -> bool {
        match self {
            Self::Bool(on) => !on,
            Self::Tristate(on) => on.is_none(),
            Self::Number(n) => *n == 0,
            Self::Size(bytes) => *bytes == 0,
            Self::Text(text) => text.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_at_their_number_and_names_are_unique() {
        for (i, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.id as usize, i, "{}", spec.name);
            assert_eq!(find(spec.name.as_bytes()).map(|s| s.id), Some(spec.id));
        }
    }

    #[test]
    fn names_are_compared_loosely() {
        for (name, id) in [
            ("MaxVerbosity", Some(Id::MaxVerbosity)),
            ("P A T H", Some(Id::Path)),
            ("pre-xfer exec", Some(Id::PreXferExec)),
            ("prexfer exec", None),
            ("read_only", None),
            ("name", None),
        ] {
            assert_eq!(find(name.as_bytes()).map(|s| s.id), id, "{name}");
        }
    }
}
