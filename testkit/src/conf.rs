//! rsyncd.conf by declaration.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A daemon's configuration; what concerns its own files (port, log, lock, secrets) is added when it starts.
#[derive(Debug, Clone, Default)]
pub struct DaemonConf {
    globals: Parameters,
    modules: Vec<Module>,
}

impl DaemonConf {
    /// Without modules yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One module set up as users do it: see [`Module::as_users_do`].
    #[must_use]
    pub fn as_users_do(module: &str, path: impl AsRef<Path>) -> Self {
        Self::new().module(Module::as_users_do(module, path))
    }

    /// Sets a global parameter.
    #[must_use]
    pub fn global(mut self, name: &str, value: impl ToString) -> Self {
        self.globals.set(name, value.to_string());
        self
    }

    /// Adds a module.
    #[must_use]
    pub fn module(mut self, module: Module) -> Self {
        self.modules.push(module);
        self
    }

    /// The file's text, with secrets files where `secrets` says for each module.
    pub(crate) fn text(
        &self,
        own: &[(&str, String)],
        secrets: impl Fn(&Module) -> PathBuf,
    ) -> String {
        let mut text = String::new();
        let mut globals = self.globals.clone();
        for (name, value) in own {
            globals.set_default(name, value.clone());
        }
        globals.write(&mut text, "");
        for module in &self.modules {
            let _ = writeln!(text, "[{}]", module.name);
            let mut parameters = module.parameters.clone();
            if !module.users.is_empty() {
                parameters.set_default("secrets file", secrets(module).display().to_string());
            }
            parameters.write(&mut text, "    ");
        }
        text
    }

    pub(crate) fn modules(&self) -> &[Module] {
        &self.modules
    }
}

/// One module of a daemon.
#[derive(Debug, Clone)]
pub struct Module {
    name: String,
    parameters: Parameters,
    users: Vec<(String, String)>,
}

impl Module {
    /// A module that may be written, without chroot and without munging of symlinks (so that trees can be compared);
    /// where we are root, with root's identity (so that owners can be compared too).
    #[must_use]
    pub fn new(name: &str, path: impl AsRef<Path>) -> Self {
        let module = Self {
            name: name.to_owned(),
            parameters: Parameters::default(),
            users: Vec::new(),
        }
        .set("path", path.as_ref().display())
        .set("read only", "no")
        .set("use chroot", "no")
        .set("munge symlinks", "no");
        // A daemon that is not root must not have these at all: setgroups fails (04-daemon 3.1).
        match crate::is_root() {
            true => module.identity("root", "root"),
            false => module,
        }
    }

    /// A module as the usual recipes have it (04-daemon 3.1): besides what [`Module::new`] sets a user `alice` with
    /// the password `wonderland` in a secrets file of mode 600, hosts allowed, a limit of connections and a time-out.
    #[must_use]
    pub fn as_users_do(name: &str, path: impl AsRef<Path>) -> Self {
        Self::new(name, path)
            .user("alice", "wonderland")
            .set("hosts allow", "127.0.0.1 ::1")
            .set("max connections", 200)
            .set("timeout", 300)
    }

    /// Sets any parameter, in place of an earlier value.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.set(name, value.to_string());
        self
    }

    /// Only reading.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.set("read only", "yes")
    }

    /// Only writing.
    #[must_use]
    pub fn write_only(self) -> Self {
        self.set("write only", "yes")
    }

    /// Not in the list of modules.
    #[must_use]
    pub fn unlisted(self) -> Self {
        self.set("list", "no")
    }

    /// Requires a password, `user`'s being `password`; may be repeated for further users.
    #[must_use]
    pub fn user(mut self, user: &str, password: &str) -> Self {
        self.users.push((user.to_owned(), password.to_owned()));
        let names: Vec<_> = self.users.iter().map(|(user, _)| user.as_str()).collect();
        let names = names.join(", ");
        self.set("auth users", names)
    }

    /// The identity that its sessions take on; needs root.
    #[must_use]
    pub fn identity(self, uid: &str, gid: &str) -> Self {
        self.set("uid", uid).set("gid", gid)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The lines of its secrets file.
    pub(crate) fn secrets(&self) -> String {
        self.users
            .iter()
            .fold(String::new(), |mut text, (user, password)| {
                let _ = writeln!(text, "{user}:{password}");
                text
            })
    }
}

/// Parameters in the order in which they were set first.
#[derive(Debug, Clone, Default)]
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn set_default(&mut self, name: &str, value: String) {
        if self.0.iter().all(|(known, _)| known != name) {
            self.0.push((name.to_owned(), value));
        }
    }

    fn write(&self, text: &mut String, indent: &str) {
        for (name, value) in &self.0 {
            let _ = writeln!(text, "{indent}{name} = {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_was_declared() {
        let conf = DaemonConf::new()
            .global("motd file", "/motd")
            .global("log file", "/mine")
            .module(
                Module::new("a", "/srv/a")
                    .identity("u", "g")
                    .read_only()
                    .unlisted(),
            )
            .module(
                Module::new("b", "/srv/b")
                    .identity("u", "g")
                    .user("x", "1")
                    .user("y", "2")
                    .set("timeout", 5),
            );
        let own = [
            ("port", "873".to_owned()),
            ("log file", "/default".to_owned()),
        ];
        let text = conf.text(&own, |module| {
            PathBuf::from(format!("/secrets.{}", module.name()))
        });
        assert_eq!(
            text,
            "motd file = /motd\n\
             log file = /mine\n\
             port = 873\n\
             [a]\n    path = /srv/a\n    read only = yes\n    use chroot = no\n    munge symlinks = no\n    uid = u\n    gid = g\n    \
             list = no\n\
             [b]\n    path = /srv/b\n    read only = no\n    use chroot = no\n    munge symlinks = no\n    uid = u\n    gid = g\n    \
             auth users = x, y\n    timeout = 5\n    secrets file = /secrets.b\n"
        );
        assert_eq!(conf.modules()[1].secrets(), "x:1\ny:2\n");
    }
}
