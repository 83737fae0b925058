//! What a client asked for: the paths behind the `.` (04-daemon 11.1).
//!
//! Nothing here is ever an option, and no path leads above the module.

use rsync_engine::fs::{FileKind, Links, ListBuf, RelPath, Tree};
use rsync_proto::limits::ARGUMENTS;

use crate::wildcard;

/// The visible names of a module's directories: what the daemon's filter hides is not there.
pub trait ModuleNames {
    /// Calls `each` with the names in a directory of the module and whether each is itself a directory. The
    /// path is relative and clean; empty is the module's root. A directory that cannot be read has no names.
    fn names(&mut self, directory: &[u8], each: &mut dyn FnMut(&[u8], bool));
}

/// The names of a module's tree.
pub struct TreeNames<'a> {
    tree: &'a Tree,
    hidden: &'a dyn Fn(&[u8], bool) -> bool,
    buffer: ListBuf,
}

impl<'a> TreeNames<'a> {
    /// `hidden` says whether the module's filter excludes a path, and whether that is a directory.
    #[must_use]
    pub fn new(tree: &'a Tree, hidden: &'a dyn Fn(&[u8], bool) -> bool) -> Self {
        Self {
            tree,
            hidden,
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
    fn names(&mut self, directory: &[u8], each: &mut dyn FnMut(&[u8], bool)) {
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
            if !(self.hidden)(&full, is_directory) {
                each(entry.name, is_directory);
            }
        }
    }
}

/// More paths than a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request means more than {ARGUMENTS} paths")]
pub struct TooManyPaths;

/// The paths of a request, relative to the module: `.` is its root, a slash at the end stays. Wildcards are
/// expanded against `names`; what matches nothing stays as it is. `split`: the client did not use secluded
/// arguments, so one argument may hold several paths, each with the module's name in front.
///
/// # Errors
///
/// [`TooManyPaths`].
pub fn paths(
    arguments: &[Vec<u8>],
    module: &[u8],
    split: bool,
    names: &mut dyn ModuleNames,
) -> Result<Vec<Vec<u8>>, TooManyPaths> {
    let mut out = Vec::new();
    for argument in arguments {
        let mut rest = strip_module(argument, module);
        loop {
            let (path, next) = if split {
                split_once(rest, module)
            } else {
                (rest, None)
            };
            if !path.is_empty() {
                expand(path, names, &mut out)?;
            }
            match next {
                Some(next) => rest = next,
                None => break,
            }
        }
    }
    Ok(out)
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
    out: &mut Vec<Vec<u8>>,
) -> Result<(), TooManyPaths> {
    let (parts, slash) = clean(path);
    let mut found: Vec<Vec<u8>> = vec![Vec::new()];
    for (i, part) in parts.iter().enumerate() {
        if wildcard::is_pattern(part) {
            let last = i + 1 == parts.len() && !slash;
            let mut matching = Vec::new();
            for directory in &found {
                let clean_directory = without_dots(directory);
                names.names(&clean_directory, &mut |name, is_directory| {
                    // One too many is enough to know.
                    if (last || is_directory)
                        && matching.len() <= ARGUMENTS
                        && wildcard::matches(part, name)
                    {
                        matching.push(join(directory, name));
                    }
                });
            }
            found = matching;
        } else {
            for path in &mut found {
                *path = join(path, part);
            }
        }
        if found.len() > ARGUMENTS {
            return Err(TooManyPaths);
        }
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
        if out.len() == ARGUMENTS {
            return Err(TooManyPaths);
        }
        out.push(path);
    }
    Ok(())
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
        fn names(&mut self, directory: &[u8], each: &mut dyn FnMut(&[u8], bool)) {
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
                each(name.as_bytes(), is_directory);
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
            Err(TooManyPaths)
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
                &mut TreeNames::new(&tree, &hidden),
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
