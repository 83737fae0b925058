//! The sending side: the paths of a pull, and what the module hides of them.

use rsync_engine::filter::{Chain, Role, RuleList};
use rsync_engine::fs::{Dir, Links, NameService, RelPath, RelPathBuf, Tree};
use rsync_engine::options::ServerRequest;
use rsync_engine::rules::SelectionRules;
use rsync_engine::send::{Argument, Selection, Send, Source};
use rsync_engine::{Error, IO_GENERAL, Outcome, TextKind};
use rsync_proto::PeerText;
use rsync_proto::mux::Message;

use super::{Ready, client_waits, disconnected, give_up, paths, rule_files, session};
use crate::session::SessionRequest;

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
    let mut hidden = Vec::new();
    for path in &paths {
        if !client_waits(request, &ready.input) {
            return Err(disconnected(&ready.input));
        }
        let Some(argument) = argument(&request.root, path, asked.options.relative) else {
            continue;
        };
        let whole = join(&argument.place, &argument.name);
        let is_dir = argument.contents || is_directory(&request.root, &whole);
        if module.excludes_path(&whole, is_dir) {
            hidden.push(whole);
        } else {
            arguments.push(argument);
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
    let what = Send {
        source: Source::Arguments(arguments),
        selection: Box::new(Visible {
            rules: SelectionRules::new(Chain::new(rules, Role::Sender), files),
            module,
            prefixes: Vec::new(),
        }),
        names,
        munge_links: request.munge_symlinks,
    };
    rsync_engine::send(session, ready.input, ready.out, what)
}

/// One path of a pull, split as a client would split it (06-client 1.4); its place is a path in the
/// module. What does not exist is the engine's to report.
fn argument(module: &Tree, path: &[u8], relative: bool) -> Option<Argument> {
    let contents = path.ends_with(b"/") || path == b"." || path.ends_with(b"/.");
    let (base, rest) = match path.windows(3).position(|window| window == b"/./") {
        Some(at) if relative => (&path[..at], &path[at + 3..]),
        _ => (&b""[..], path),
    };
    let base = RelPathBuf::resolve(RelPath::ROOT, base).ok()?;
    let rest = RelPathBuf::resolve(RelPath::ROOT, rest).ok()?;
    let whole = rest.as_path();
    let (top, name) = match whole.split() {
        _ if relative => (base.as_path(), whole.as_bytes()),
        Some((parent, name)) if !contents => (parent, name.as_bytes()),
        _ => (whole, &b""[..]),
    };
    let implied = relative && !name.is_empty();
    let name = if name.is_empty() { b"." } else { name };
    let links = if relative {
        Links::Beneath
    } else {
        Links::Refuse
    };
    let shown = path.to_vec();
    match module.subtree(top, Links::Beneath) {
        Ok(tree) => {
            let name = name.to_vec();
            let prefix = top.as_bytes().to_vec();
            Some(Argument {
                tree,
                links,
                name,
                implied,
                contents,
                shown,
                absolute: prefix.clone(),
                place: prefix,
            })
        }
        // The path from the module's root fails in the same way, and the sender says so.
        Err(_) => Some(Argument {
            tree: module.clone(),
            links: Links::Beneath,
            name: top.as_bytes().to_vec(),
            implied: false,
            contents: true,
            shown: [top.as_bytes(), b"/"].concat(),
            absolute: Vec::new(),
            place: Vec::new(),
        }),
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

/// The client's rules, and in front of them the module's, which know names by their path in the module.
struct Visible {
    rules: SelectionRules,
    module: Chain,
    /// By argument.
    prefixes: Vec<Vec<u8>>,
}

impl Selection for Visible {
    fn add_root(&mut self, absolute: &[u8]) {
        self.rules.add_root(absolute);
        self.prefixes.push(absolute.to_vec());
    }

    fn enter(&mut self, root: u16, path: RelPath<'_>, dir: &Dir, tree: &Tree) {
        self.rules.enter(root, path, dir, tree);
    }

    fn hides(&mut self, root: u16, path: RelPath<'_>, is_dir: bool) -> bool {
        let prefix = self.prefixes.get(usize::from(root));
        let prefix = prefix.map_or(&b""[..], Vec::as_slice);
        (!self.module.is_empty()
            && self
                .module
                .excludes_path(&join(prefix, path.as_bytes()), is_dir))
            || self.rules.hides(root, path, is_dir)
    }

    fn take_fault(&mut self) -> Option<Error> {
        self.rules.take_fault()
    }

    fn take_notices(&mut self) -> Vec<String> {
        self.rules.take_notices()
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
    use super::*;

    #[test]
    fn paths_are_split_as_a_client_would() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("mkdir");
        let tree = Tree::open(dir.path()).expect("tree");
        for (path, relative, prefix, name, contents) in [
            (".", false, "", ".", true),
            ("a", false, "", "a", false),
            ("a/", false, "a", ".", true),
            ("a/b", false, "a", "b", false),
            ("a/b/.", false, "a/b", ".", true),
            ("a/b", true, "", "a/b", false),
            ("a/./b", true, "a", "b", false),
            ("none/b", false, "", "none", true),
            ("none/", false, "", "none", true),
        ] {
            let argument = argument(&tree, path.as_bytes(), relative).expect("argument");
            let found = (
                String::from_utf8(argument.place).expect("text"),
                String::from_utf8(argument.name).expect("text"),
            );
            assert_eq!(
                found,
                (prefix.to_owned(), name.to_owned()),
                "{path} {relative}"
            );
            assert_eq!(argument.contents, contents, "{path}");
        }
    }
}
