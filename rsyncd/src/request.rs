//! What a client asked for: the paths behind the `.` (04-daemon 11.1).
//!
//! Nothing here is ever an option, and no path leads above the module.

use std::ops::ControlFlow;

use rsync_engine::fs::{FileKind, Links, ListBuf, RelPath, Tree};
use rsync_proto::limits::ARGUMENTS;

use crate::limits::{DIRECTORY_WORK, NAME_WORK, PATH_BYTES, WILDCARD_WORK};
use crate::wildcard;

/// The visible names of a module's directories: what the daemon's filter hides is not there.
pub trait ModuleNames {
    /// Calls `each` with the names in a directory of the module and whether each is itself a directory, until it
    /// breaks. The path is relative and clean; empty is the module's root. A directory that cannot be read has no names.
    fn names(&mut self, directory: &[u8], each: &mut dyn FnMut(&[u8], bool) -> ControlFlow<()>);

    /// Whether the paths are still wanted; asked now and then.
    fn go_on(&mut self) -> bool {
        true
    }
}

/// The names of a module's tree.
pub struct TreeNames<'a> {
    tree: &'a Tree,
    hidden: &'a dyn Fn(&[u8], bool) -> bool,
    wanted: &'a dyn Fn() -> bool,
    buffer: ListBuf,
}

impl<'a> TreeNames<'a> {
    /// `hidden` says whether the module's filter excludes a path, given whether that is a directory; `wanted`, whether
    /// anybody still waits for the paths.
    #[must_use]
    pub fn new(
        tree: &'a Tree,
        hidden: &'a dyn Fn(&[u8], bool) -> bool,
        wanted: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            tree,
            hidden,
            wanted,
            buffer: ListBuf::default(),
        }
    }
}

impl std::fmt::Debug for TreeNames<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeNames")
            .field("tree", self.tree)
            .finish_non_exhaustive()
    }
}

impl ModuleNames for TreeNames<'_> {
    fn names(&mut self, directory: &[u8], each: &mut dyn FnMut(&[u8], bool) -> ControlFlow<()>) {
        let Ok(path) = RelPath::new(directory) else {
            return;
        };
        let Ok(dir) = self.tree.open_list(path, Links::Beneath) else {
            return;
        };
        let Ok(mut listing) = dir.list(&mut self.buffer) else {
            return;
        };
        while let Some(Ok(entry)) = listing.next() {
            let full = join(directory, entry.name);
            let is_directory = match entry.kind {
                Some(FileKind::Directory) => true,
                Some(FileKind::Symlink) | None => RelPath::new(&full).is_ok_and(|path| {
                    self.tree
                        .stat(path, Links::Beneath)
                        .is_ok_and(|s| s.is_dir())
                }),
                Some(_) => false,
            };
            if !(self.hidden)(&full, is_directory) && each(entry.name, is_directory).is_break() {
                return;
            }
        }
    }

    fn go_on(&mut self) -> bool {
        (self.wanted)()
    }
}

/// Why a request has no paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    /// More than a client may ask for.
    #[error(
        "the request means more than {ARGUMENTS} paths, or more than {PATH_BYTES} bytes of them"
    )]
    TooMany,
    /// Too many names to compare with, or too long patterns.
    #[error("the wildcards of the request cost too much: ask for fewer at a time")]
    TooMuchWork,
    /// [`ModuleNames::go_on`] said no.
    #[error("the paths of the request are not wanted any more")]
    Unwanted,
}

/// The work that the wildcards of one request may still cost.
#[derive(Debug)]
struct Budget {
    left: u64,
    /// Work left at which the names are asked whether to go on.
    ask_at: u64,
}

impl Budget {
    fn spend(&mut self, work: u64) -> Result<(), PathsError> {
        let left = self.left.checked_sub(work);
        self.left = left.ok_or(PathsError::TooMuchWork)?;
        Ok(())
    }

    /// Whether it is time to ask again.
    fn asks(&mut self) -> bool {
        let asks = self.left <= self.ask_at;
        if asks {
            self.ask_at = self.left.saturating_sub(ASK_EVERY);
        }
        asks
    }
}

/// Paths, not too many.
#[derive(Debug, Default)]
struct Found {
    paths: Vec<Vec<u8>>,
    bytes: usize,
}

impl Found {
    fn push(&mut self, path: Vec<u8>) -> Result<(), PathsError> {
        self.bytes += path.len();
        if self.paths.len() == ARGUMENTS || self.bytes > PATH_BYTES {
            return Err(PathsError::TooMany);
        }
        self.paths.push(path);
        Ok(())
    }
}

/// Work between two questions whether the paths are still wanted: some milliseconds.
const ASK_EVERY: u64 = 1 << 20;

/// The paths of a request, relative to the module: `.` is its root, a slash at the end stays. Wildcards are
/// expanded against `names`; what matches nothing stays as it is. `split`: the client did not use secluded
/// arguments, so one argument may hold several paths, each with the module's name in front.
///
/// # Errors
/// [`PathsError`].
pub fn paths(
    arguments: &[Vec<u8>],
    module: &[u8],
    split: bool,
    names: &mut dyn ModuleNames,
) -> Result<Vec<Vec<u8>>, PathsError> {
    let mut out = Found::default();
    let mut budget = Budget {
        left: WILDCARD_WORK,
        ask_at: WILDCARD_WORK,
    };
    for argument in arguments {
        let mut rest = strip_module(argument, module);
        loop {
            let (path, next) = if split {
                split_once(rest, module)
            } else {
                (rest, None)
            };
            if !path.is_empty() {
                expand(path, names, &mut budget, &mut out)?;
            }
            match next {
                Some(next) => rest = next,
                None => break,
            }
        }
    }
    Ok(out.paths)
}

/// The request as the log shows it: the raw arguments.
#[must_use]
pub fn logged(arguments: &[Vec<u8>]) -> Vec<u8> {
    let mut text = arguments.join(&b' ');
    text.truncate(crate::limits::LOGGED_REQUEST);
    text
}

/// Takes the module's name off the front, if a slash or nothing follows it.
fn strip_module<'a>(path: &'a [u8], module: &[u8]) -> &'a [u8] {
    match path.strip_prefix(module) {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => rest,
        _ => path,
    }
}

/// Splits before the first ` MODULE/`; the second part starts at the slash.
fn split_once<'a>(path: &'a [u8], module: &[u8]) -> (&'a [u8], Option<&'a [u8]>) {
    let separator = [b" ", module, b"/"].concat();
    match path.windows(separator.len()).position(|w| w == separator) {
        Some(at) => (&path[..at], Some(&path[at + separator.len() - 1..])),
        None => (path, None),
    }
}

/// Drops leading slashes and resolves `..` without leaving the root. `.` components stay: they mean something
/// with `--relative`.
fn clean(path: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/').filter(|p| !p.is_empty()) {
        if part == b".." {
            while parts.last() == Some(&&b"."[..]) {
                parts.pop();
            }
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    (parts, path.ends_with(b"/"))
}

fn expand(
    path: &[u8],
    names: &mut dyn ModuleNames,
    budget: &mut Budget,
    out: &mut Found,
) -> Result<(), PathsError> {
    let (parts, slash) = clean(path);
    let mut found = vec![Vec::new()];
    for (i, part) in parts.iter().enumerate() {
        let mut next = Found::default();
        let pattern = wildcard::is_pattern(part);
        let last = i + 1 == parts.len() && !slash;
        for directory in &found {
            if pattern {
                budget.spend(DIRECTORY_WORK)?;
                if budget.asks() && !names.go_on() {
                    return Err(PathsError::Unwanted);
                }
                matching_names(part, last, directory, names, budget, &mut next)?;
            } else {
                budget.spend((directory.len() + part.len()) as u64)?;
                next.push(join(directory, part))?;
            }
        }
        found = next.paths;
    }
    if found.is_empty() {
        found = vec![parts.join(&b'/')];
    }
    for mut path in found {
        if path.is_empty() {
            path.push(b'.');
        } else if slash {
            path.push(b'/');
        }
        out.push(path)?;
    }
    Ok(())
}

/// Adds the paths in a directory whose names match; directories only, unless it is the `last` part of a path.
fn matching_names(
    pattern: &[u8],
    last: bool,
    directory: &[u8],
    names: &mut dyn ModuleNames,
    budget: &mut Budget,
    matching: &mut Found,
) -> Result<(), PathsError> {
    let mut done = Ok(());
    names.names(&without_dots(directory), &mut |name, is_directory| {
        let mut work = NAME_WORK;
        let mut added = Ok(());
        if (last || is_directory) && wildcard::matches_counting(pattern, name, &mut work) {
            work += directory.len() as u64;
            added = matching.push(join(directory, name));
        }
        done = added.and_then(|()| budget.spend(work));
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    done
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        name.to_vec()
    } else {
        [directory, b"/", name].concat()
    }
}

fn without_dots(path: &[u8]) -> Vec<u8> {
    path.split(|&b| b == b'/')
        .filter(|p| *p != b".")
        .collect::<Vec<_>>()
        .join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The module of vectors/daemon/request_args.json.
    struct Files(Vec<String>);

    impl ModuleNames for Files {
        fn names(
            &mut self,
            directory: &[u8],
            each: &mut dyn FnMut(&[u8], bool) -> ControlFlow<()>,
        ) {
            let mut names: Vec<(String, bool)> = Vec::new();
            let prefix = match directory {
                b"" => String::new(),
                other => format!("{}/", String::from_utf8_lossy(other)),
            };
            for rest in self.0.iter().filter_map(|f| f.strip_prefix(&prefix)) {
                let (name, is_directory) = rest
                    .split_once('/')
                    .map_or((rest, false), |(d, _)| (d, true));
                if !name.ends_with(".bak") {
                    names.push((name.to_owned(), is_directory));
                }
            }
            names.sort();
            names.dedup();
            for (name, is_directory) in names {
                if each(name.as_bytes(), is_directory).is_break() {
                    return;
                }
            }
        }
    }

    #[test]
    fn vectors() {
        let text = std::fs::read_to_string(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../testkit/vectors/daemon/request_args.json"
        ))
        .expect("vector");
        let vector: serde_json::Value = serde_json::from_str(&text).expect("json");
        let texts = |list: &serde_json::Value| -> Vec<String> {
            list.as_array()
                .expect("list")
                .iter()
                .map(|v| v.as_str().expect("text").to_owned())
                .collect()
        };
        let mut files = Files(texts(&vector["files"]));
        let mut evaluated = 0;
        for case in vector["cases"].as_array().expect("cases") {
            let module = case["module"].as_str().expect("module");
            let arguments: Vec<Vec<u8>> = texts(&case["args_after_dot"])
                .into_iter()
                .map(String::into_bytes)
                .collect();
            let mut expected: Vec<String> = texts(&case["resulting_args"]);
            if module == "c" {
                // In a chroot rsync keeps the slash in front. Ours are relative everywhere.
                expected = expected
                    .iter()
                    .map(|p| {
                        if p == "/" {
                            "."
                        } else {
                            p.trim_start_matches('/')
                        }
                        .to_owned()
                    })
                    .collect();
            }
            if arguments[0].starts_with(format!("{module}m/").as_bytes()) {
                // Ours differs on purpose: the name ends at a slash (04-daemon 22, row 8).
                expected = vec![String::from_utf8(arguments[0].clone()).expect("text")];
            }
            let found = paths(&arguments, module.as_bytes(), true, &mut files).expect("few");
            let found: Vec<String> = found
                .into_iter()
                .map(|p| String::from_utf8(p).expect("text"))
                .collect();
            assert_eq!(found, expected, "{case:#}");
            let log = case["log"][0].as_str().expect("log");
            let request = String::from_utf8(logged(&arguments)).expect("text");
            assert_eq!(
                log,
                format!("rsync on {request} from UNDETERMINED (127.0.0.1)")
            );
            evaluated += 1;
        }
        assert_eq!(evaluated, 78);
    }

    #[test]
    fn what_rsync_does_with_less_usual_paths() {
        let mut files = Files(vec![
            "a/x*y".into(),
            "a/xzy".into(),
            "a/b/c".into(),
            "top".into(),
        ]);
        for (argument, split, expected) in [
            ("m/a/x\\*y", true, vec!["a/x*y"]),
            ("m/a/x*y", true, vec!["a/x*y", "a/xzy"]),
            // Seen with a 3.5.0 daemon: without a match the backslashes stay.
            ("m/none\\*y/", true, vec!["none\\*y/"]),
            ("m/p\\q/", true, vec!["p\\q/"]),
            ("m/*/", true, vec!["a/"]),
            ("m/../..", true, vec!["."]),
            ("m/./a/./../top", true, vec!["./top"]),
            ("m/a m/b", false, vec!["a m/b"]),
            ("--sender", true, vec!["--sender"]),
        ] {
            let found = paths(&[argument.into()], b"m", split, &mut files).expect("few");
            let found: Vec<_> = found
                .iter()
                .map(|p| String::from_utf8_lossy(p).into_owned())
                .collect();
            assert_eq!(found, expected, "{argument}");
        }
        let many = Files((0..=ARGUMENTS).map(|i| format!("f{i}")).collect::<Vec<_>>());
        assert_eq!(
            paths(&[b"m/*".to_vec()], b"m", true, &mut { many }),
            Err(PathsError::TooMany)
        );
    }

    #[test]
    fn names_of_a_real_tree() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("sub/deep")).expect("mkdir");
        for name in [
            "a.txt",
            "b.txt",
            "hid.bak",
            "sub/x.txt",
            "sub/deep/y.txt",
            "sub/deep/.dot",
        ] {
            std::fs::write(dir.path().join(name), "").expect("write");
        }
        std::os::unix::fs::symlink("sub", dir.path().join("link")).expect("symlink");
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).expect("symlink");
        let tree = Tree::open(dir.path()).expect("tree");
        let hidden = |path: &[u8], _: bool| path.ends_with(b".bak");
        for (argument, expected) in [
            ("m/*.txt", vec!["a.txt", "b.txt"]),
            ("m/hid*", vec!["hid*"]),
            ("m/*/x.txt", vec!["link/x.txt", "sub/x.txt"]),
            (
                "m/*/*/*",
                vec![
                    "link/deep/.dot",
                    "link/deep/y.txt",
                    "sub/deep/.dot",
                    "sub/deep/y.txt",
                ],
            ),
        ] {
            let found = paths(
                &[argument.into()],
                b"m",
                true,
                &mut TreeNames::new(&tree, &hidden, &|| true),
            )
            .expect("few");
            let mut found: Vec<_> = found
                .iter()
                .map(|p| String::from_utf8_lossy(p).into_owned())
                .collect();
            found.sort();
            assert_eq!(found, expected, "{argument}");
        }
    }

    /// A large directory, and a client that leaves after so many questions.
    struct Large {
        names: Vec<String>,
        read: u64,
        patience: u64,
    }

    impl Large {
        fn new(patience: u64) -> Self {
            Self {
                names: (0..20_000).map(|number| format!("file{number}")).collect(),
                read: 0,
                patience,
            }
        }

        fn paths(&mut self, count: usize, pattern: &str) -> Result<Vec<Vec<u8>>, PathsError> {
            paths(&vec![pattern.as_bytes().to_vec(); count], b"m", true, self)
        }
    }

    impl ModuleNames for Large {
        fn names(&mut self, _: &[u8], each: &mut dyn FnMut(&[u8], bool) -> ControlFlow<()>) {
            for name in &self.names {
                self.read += 1;
                if each(name.as_bytes(), false).is_break() {
                    return;
                }
            }
        }

        fn go_on(&mut self) -> bool {
            self.patience = self.patience.saturating_sub(1);
            self.patience > 0
        }
    }

    #[test]
    fn wildcards_that_match_nothing_cost_a_bounded_amount() {
        let mut honest = Large::new(u64::MAX);
        let found = honest.paths(20, "m/*.dat").expect("cheap");
        assert_eq!((found.len(), honest.read), (20, 400_000));
        let mut greedy = Large::new(u64::MAX);
        let costly = "m/*f*i*l*e*0*1*2*3*4*5*6*7*8*9*x";
        assert_eq!(greedy.paths(3000, costly), Err(PathsError::TooMuchWork));
        assert!(greedy.read < WILDCARD_WORK / NAME_WORK, "{}", greedy.read);
        let mut gone = Large::new(3);
        assert_eq!(gone.paths(3000, "m/[ab]*x"), Err(PathsError::Unwanted));
        assert!(gone.read < 100_000, "{}", gone.read);
    }

    #[test]
    fn paths_take_a_bounded_amount_of_memory() {
        let mut files = Files((0..10_000).map(|i| format!("dir{i}/x")).collect());
        let long = format!("m/*/{}", "a".repeat(4000));
        assert_eq!(
            paths(&[long.into_bytes()], b"m", true, &mut files),
            Err(PathsError::TooMany)
        );
    }

    proptest::proptest! {
        #[test]
        fn no_path_leads_out(path in "[a./* m]{0,30}") {
            let mut files = Files(vec!["a/m".into(), "m/..a".into()]);
            for path in paths(&[path.into_bytes()], b"m", true, &mut files).expect("few") {
                let text = String::from_utf8(path).expect("text");
                proptest::prop_assert!(!text.starts_with('/') && !text.is_empty());
                proptest::prop_assert!(text.split('/').all(|part| part != ".."), "{}", text);
            }
        }
    }
}
