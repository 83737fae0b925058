//! The sending side: the paths of a pull, and what the module hides of them.

use rsync_engine::filter::{Chain, Role, RuleList};
use rsync_engine::fs::{Dir, Links, NameService, RelPath, RelPathBuf, Tree};
use rsync_engine::options::ServerRequest;
use rsync_engine::rules::SelectionRules;
use rsync_engine::send::{Argument, Selection, Send, Source, SourcePath, Unopened};
use rsync_engine::{Error, IO_GENERAL, Outcome, TextKind};
use rsync_proto::PeerText;
use rsync_proto::mux::Message;

use super::{Ready, client_waits, disconnected, give_up, own_files, paths, rule_files, session};
use crate::session::{Regime, SessionRequest};

pub(super) fn send(
    mut ready: Ready,
    request: &SessionRequest,
    asked: ServerRequest,
    rules: &RuleList,
    module: Chain,
) -> Result<Outcome, Error> {
    let paths = match paths(request, &asked, &module, &ready.input) {
        Ok(paths) => paths,
        Err(error) => return Err(give_up(ready, request, error)),
    };
    let mut arguments = Vec::new();
    let mut unopened = Vec::new();
    let mut hidden = Vec::new();
    let relative = asked.options.relative;
    for path in &paths {
        if !client_waits(request, &ready.input) {
            return Err(disconnected(&ready.input));
        }
        // In a chroot rsync's paths start with a slash, which makes a "/./" of a "./" (02-file-list 14.3).
        let path = match path.strip_prefix(b"./") {
            Some(rest) if relative && request.regime == Regime::Chroot => rest,
            _ => path,
        };
        let Some(asked) = Asked::new(path, relative) else {
            continue;
        };
        let whole = asked.whole();
        let is_dir = asked.split.contents || is_directory(&request.root, &whole);
        if module.excludes_path(&whole, is_dir) {
            hidden.push(whole);
            continue;
        }
        match asked.open(&request.root) {
            Ok(argument) => arguments.push(argument),
            Err(directory) => unopened.push(directory),
        }
    }
    // Each argument brings its own.
    let session = session(&ready, request, asked.options, Vec::new());
    for path in hidden {
        // What is excluded does not exist.
        session.trouble.io_error(IO_GENERAL);
        let name = PeerText(&request.module.name);
        let path = PeerText(&path);
        let text = format!(
            "rsync: [sender] link_stat \"{path}\" (in {name}) failed: No such file or directory (2)"
        );
        request.log.warn(&text);
        ready.out.message(&Message::Text {
            kind: TextKind::ErrorXfer,
            text: PeerText(format!("{text}\n").as_bytes()),
        })?;
    }
    let names: Box<dyn NameService> = match request.numeric_ids {
        true => Box::new(Nameless),
        false => Box::new(request.names.clone()),
    };
    let files = rule_files(request, &module, Some(&ready.clock));
    let own_files = own_files(request, Some(&ready.clock));
    let what = Send {
        source: match unopened.is_empty() {
            true => Source::Arguments(arguments),
            false => Source::Partial {
                arguments,
                unopened,
            },
        },
        selection: Box::new(Visible {
            rules: SelectionRules::new(Chain::new(rules, Role::Sender), files)
                .counted_in(&request.budget),
            module: SelectionRules::new(module, own_files).counted_in(&request.budget),
        }),
        names,
        munge_links: request.munge_symlinks,
    };
    rsync_engine::send(session, ready.input, ready.out, what)
}

/// One path of a pull, split as a client would split it (06-client 1.4).
struct Asked<'a> {
    split: SourcePath<'a>,
    /// The directory to change into, as a path in the module.
    directory: RelPathBuf,
    relative: bool,
}

impl<'a> Asked<'a> {
    /// `None` for what cannot be a path in the module.
    fn new(path: &'a [u8], relative: bool) -> Option<Self> {
        let split = SourcePath::split(path, relative).ok()?;
        let directory = RelPathBuf::resolve(RelPath::ROOT, split.directory).ok()?;
        RelPath::new(split.name.strip_prefix(b"./").unwrap_or(&split.name)).ok()?;
        Some(Self {
            split,
            directory,
            relative,
        })
    }

    /// The path in the module.
    fn whole(&self) -> Vec<u8> {
        let name = &self.split.name;
        join(
            self.directory.as_path().as_bytes(),
            name.strip_prefix(b"./").unwrap_or(name),
        )
    }

    /// Opens the directory. As in rsync, a directory that may not be searched counts as one that cannot be opened. What
    /// does not exist in it is the engine's to report.
    fn open(self, module: &Tree) -> Result<Argument, Unopened> {
        let mut shown = self.whole();
        if shown.is_empty() {
            shown.push(b'.');
        } else if self.split.contents {
            shown.push(b'/');
        }
        let directory = self.directory.as_path();
        let tree = module.subtree(directory, Links::Beneath);
        let tree = tree.and_then(|tree| tree.root().check_search().map(|()| tree));
        let place = directory.as_bytes().to_vec();
        match tree {
            Ok(tree) => Ok(Argument {
                tree,
                links: match self.relative {
                    true => Links::Beneath,
                    false => Links::Refuse,
                },
                name: self.split.name,
                implied: self.split.implied,
                contents: self.split.contents,
                shown,
                absolute: place.clone(),
                place,
            }),
            Err(errno) => Err(Unopened { path: place, errno }),
        }
    }
}

/// A name below a directory; `.` is the directory itself.
fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match (directory, name) {
        (b"", b".") => Vec::new(),
        (b"", name) => name.to_vec(),
        (directory, b".") => directory.to_vec(),
        (directory, name) => [directory, b"/", name].concat(),
    }
}

fn is_directory(tree: &Tree, path: &[u8]) -> bool {
    let path = RelPath::new(path);
    path.is_ok_and(|path| {
        tree.stat(path, Links::Beneath)
            .is_ok_and(|stat| stat.is_dir())
    })
}

/// The client's rules, and in front of them the module's.
struct Visible {
    rules: SelectionRules,
    module: SelectionRules,
}

impl Selection for Visible {
    fn add_root(&mut self, absolute: &[u8]) {
        self.rules.add_root(absolute);
        self.module.add_root(absolute);
    }

    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir, tree: &Tree) {
        self.rules.enter(root, path, dir, tree);
        self.module.enter(root, path, dir, tree);
    }

    fn hides(&mut self, root: u16, path: RelPath<'_>, is_dir: bool) -> bool {
        self.module.hides_path(root, path, is_dir) || self.rules.hides(root, path, is_dir)
    }

    fn take_fault(&mut self) -> Option<Error> {
        self.module.take_fault().or_else(|| self.rules.take_fault())
    }

    fn take_notices(&mut self) -> Vec<String> {
        let mut notices = self.module.take_notices();
        notices.append(&mut self.rules.take_notices());
        notices
    }
}

/// `numeric ids`: no name goes out, though the client may expect a list of names.
struct Nameless;

impl NameService for Nameless {
    fn user_name(&mut self, _: u32) -> Option<&[u8]> {
        None
    }
    fn group_name(&mut self, _: u32) -> Option<&[u8]> {
        None
    }
    fn user_id(&mut self, _: &[u8]) -> Option<u32> {
        None
    }
    fn group_id(&mut self, _: &[u8]) -> Option<u32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use rsync_engine::fs::Errno;

    use super::*;

    #[test]
    fn paths_are_split_as_a_client_would() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("mkdir");
        let module = Tree::open(dir.path()).expect("tree");
        for (path, relative, place, name, shown) in [
            (".", false, "", ".", "."),
            ("a", false, "", "a", "a"),
            ("a/", false, "a", ".", "a/"),
            ("a/b", false, "a", "b", "a/b"),
            ("a/b/.", false, "a/b", ".", "a/b/"),
            ("./a/./b", false, "a", "b", "a/b"),
            ("a/b", true, "", "a/b", "a/b"),
            ("a/./b", true, "a", "b", "a/b"),
            ("./a/b/", true, "", "./a/b", "a/b/"),
            ("a/none", false, "a", "none", "a/none"),
        ] {
            let asked = Asked::new(path.as_bytes(), relative).expect("a path");
            let argument = asked.open(&module).expect("a directory");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                [
                    text(&argument.place),
                    text(&argument.name),
                    text(&argument.shown)
                ],
                [place, name, shown],
                "{path} {relative}"
            );
        }
        for path in ["none/b", "none/"] {
            let unopened = Asked::new(path.as_bytes(), false)
                .expect("a path")
                .open(&module);
            let unopened = unopened.expect_err("there is none");
            assert_eq!(
                (&unopened.path[..], unopened.errno),
                (&b"none"[..], Errno::NOENT)
            );
        }
    }
}
