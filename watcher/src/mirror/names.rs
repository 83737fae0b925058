//! The names of a batch, sorted into the sessions that they need.

use std::collections::{BTreeSet, HashSet};

use rsync_engine::filter::Chain;
use rsync_engine::fs::Stat;
use rsync_engine::send::{PickedAction, PickedName};

use super::abilities::Check;
use crate::path::{self, PathBytes};
use crate::push::{Batch, EntryKind};

/// Files up to this size are compared by their sum, which reads them once more, also for a change of attributes only.
const SMALL: u64 = 1 << 20;
/// Deletions by rules in one session at most: a receiver bounds the rules it takes, and asks them all for each name.
const BY_RULES: usize = 5_000;
/// The longest pattern of a rule (07-filters 15).
const PATTERN: usize = 4_095;

/// What one session is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What it lists.
    pub(super) names: Vec<PickedName>,
    /// What the rules of the session delete.
    pub(super) by_rules: Vec<Gone>,
    /// What decides about content.
    pub(super) check: Check,
}

/// A name that is gone, and what the user's rules let a receiver delete under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) path: Vec<u8>,
    /// What is no directory.
    pub(super) file: bool,
    pub(super) directory: bool,
}

impl Part {
    pub(super) fn new(names: Vec<PickedName>, check: Check) -> Self {
        Self {
            names,
            by_rules: Vec::new(),
            check,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.by_rules.is_empty()
    }

    /// Whether the target has to read a large file.
    pub(super) fn has_large(&self, batch: &Batch) -> bool {
        self.to_send().any(|path| {
            let stat = batch.entry(path).and_then(|entry| entry.stat);
            stat.is_some_and(|stat| is_large(&stat))
        })
    }

    /// Whether something in it is deleted by name.
    pub(super) fn deletes_by_name(&self) -> bool {
        self.names.iter().any(is_deletion)
    }

    /// The same for a receiver that deletes nothing by name.
    pub(super) fn by_rules_alone(self) -> Vec<Self> {
        let (gone, names): (Vec<_>, _) = self.names.into_iter().partition(is_deletion);
        let by_rules = gone.into_iter().map(|name| Gone {
            path: name.path,
            file: true,
            directory: true,
        });
        let by_rules: Vec<_> = by_rules.chain(self.by_rules).collect();
        let mut parts = vec![Self::new(names, self.check)];
        parts.extend(parts_by_rules(&by_rules));
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// What it sends.
    pub(super) fn to_send(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().filter(|name| !is_deletion(name));
        names.map(|name| &name.path[..])
    }

    /// What it deletes.
    pub(super) fn to_delete(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.names.iter().filter(|name| is_deletion(name));
        let by_rules = self.by_rules.iter().map(|gone| &gone.path[..]);
        names.map(|name| &name.path[..]).chain(by_rules)
    }

    /// All that it is about.
    pub(super) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.to_send().chain(self.to_delete())
    }
}

/// The names of a batch by the session that they need, in the order in which these run. Deletions go last in theirs. `differs` says of
/// a large file whether the target cannot have its content yet.
///
/// `protected` are the user's rules at the receiver. It asks them about an entry of mode 0 as about a file, whatever has the name there
/// (03-transfer 8.5). Where they say something else of a directory, the session's own rules say what goes: then the receiver looks
/// at what it has.
pub(super) fn sort(
    batch: &Batch,
    deletes: bool,
    protected: &Chain,
    differs: impl Fn(&PathBytes, &Stat) -> bool,
) -> Vec<Part> {
    let (mut content, mut attributes, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut doubtful) = (Vec::new(), Vec::new());
    let (mut by_rules, mut parents) = (Vec::new(), BTreeSet::new());
    for entry in &batch.entries {
        let path = &entry.path;
        match entry.kind {
            // Parents come with the names below them.
            EntryKind::Parent => {}
            EntryKind::Delete if !deletes => {}
            EntryKind::Delete => {
                let allows = |is_dir| !protected.check(path, is_dir).is_excluded();
                match (allows(false), allows(true)) {
                    (true, true) => gone.push(picked(path, PickedAction::Delete)),
                    // It stays, but its directory has another time.
                    (false, false) => drop(parents.insert(path::parent(path))),
                    (file, directory) => by_rules.push(Gone {
                        path: path.to_vec(),
                        file,
                        directory,
                    }),
                }
            }
            EntryKind::Attr | EntryKind::Content => {
                let large = entry.stat.filter(is_large);
                let session = match large {
                    None => &mut content,
                    Some(_) if entry.kind == EntryKind::Attr => &mut attributes,
                    // All names of a file go in one session, or they are several at the target.
                    Some(stat) if stat.nlink == 1 && differs(path, &stat) => &mut changed,
                    Some(_) => &mut doubtful,
                };
                session.push(picked(path, PickedAction::Send));
            }
        }
    }
    for name in &content {
        parents.remove(&name.path[..]);
    }
    content.extend(
        parents
            .into_iter()
            .map(|path| picked(path, PickedAction::Send)),
    );
    // One session has both: an exchange less.
    content.append(&mut gone);
    let mut parts = vec![
        Part::new(content, Check::Sum),
        Part::new(attributes, Check::Quick),
    ];
    parts.extend(parts_by_rules(&by_rules));
    parts.extend([
        Part::new(changed, Check::Off),
        Part::new(doubtful, Check::Sum),
    ]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether reading it twice is worth avoiding.
pub(super) fn is_large(stat: &Stat) -> bool {
    stat.is_file() && stat.size > SMALL
}

fn parts_by_rules(gone: &[Gone]) -> impl Iterator<Item = Part> {
    gone.chunks(BY_RULES).map(|chunk| Part {
        by_rules: chunk.to_vec(),
        ..Part::new(Vec::new(), Check::Sum)
    })
}

fn is_deletion(name: &PickedName) -> bool {
    name.action == PickedAction::Delete
}

fn picked(path: &[u8], action: PickedAction) -> PickedName {
    PickedName {
        path: path.to_vec(),
        action,
    }
}

/// What goes on the wire of a session that deletes by rules.
pub(super) struct ByRules {
    /// What to list.
    pub(super) names: Vec<PickedName>,
    /// The directories in which something goes.
    pub(super) content: HashSet<Vec<u8>>,
    /// What goes, and what protects everything else in these directories. They come before the user's rules, which are asked about
    /// all that lies in a directory that goes.
    pub(super) rules: Vec<Vec<u8>>,
    /// What it leaves out, as a receiver would drop the rules for it, which are too long, and with them what they protect.
    pub(super) unable: Vec<PathBytes>,
}

/// Deletion by filter rules (03-transfer 8.6). `all`: the receiver may take every listed directory for one in which names that are not
/// listed go, as below protocol 30 (8.2). What is no directory (`is_directory`) may replace one, so that one's content is not protected.
pub(super) fn by_rules(part: &Part, all: bool, is_directory: impl Fn(&[u8]) -> bool) -> ByRules {
    let (mut names, mut unable) = (part.names.clone(), Vec::new());
    if all {
        names.retain(|name| {
            let directory = is_directory(&name.path);
            let dir = if directory {
                &name.path[..]
            } else {
                path::parent(&name.path)
            };
            let fits = everything_in(dir).len() <= PATTERN;
            if !fits {
                unable.push(name.path.as_slice().into());
            }
            fits
        });
    }
    let mut content = HashSet::new();
    let mut rules = Vec::new();
    for gone in &part.by_rules {
        let parent = path::parent(&gone.path);
        let mut this = literal(&gone.path);
        if this.len() >= PATTERN || everything_in(parent).len() > PATTERN {
            unable.push(gone.path.as_slice().into());
            continue;
        }
        match (gone.file, gone.directory) {
            (false, false) => continue,
            (true, true) => rules.push(rule(b'+', &this)),
            (true, false) => {
                let this_directory = [&this[..], b"/"].concat();
                rules.extend([rule(b'-', &this_directory), rule(b'+', &this)]);
            }
            (false, true) => {
                this.push(b'/');
                rules.push(rule(b'+', &this));
            }
        }
        content.insert(parent.to_vec());
    }
    let known: HashSet<&[u8]> = names.iter().map(|name| &name.path[..]).collect();
    let parents = content.iter().filter(|dir| !known.contains(&dir[..]));
    let parents: Vec<_> = parents.map(|dir| picked(dir, PickedAction::Send)).collect();
    names.extend(parents);
    let mut closed: BTreeSet<Vec<u8>> = content.iter().cloned().collect();
    if all {
        closed.extend(listed(&names, is_directory));
        let named = names.iter().filter(|name| is_deletion(name));
        rules.extend(named.map(|name| rule(b'+', &literal(&name.path))));
    }
    rules.extend(closed.iter().map(|dir| rule(b'-', &everything_in(dir))));
    ByRules {
        names,
        content,
        rules,
        unable,
    }
}

/// All directories of a list: those named, and those above the names.
fn listed(names: &[PickedName], is_directory: impl Fn(&[u8]) -> bool) -> HashSet<Vec<u8>> {
    let mut listed = HashSet::from([Vec::new()]);
    for path in names.iter().map(|name| &name.path) {
        let own = is_directory(path).then_some(&path[..]);
        for dir in own.into_iter().chain(path::ancestors(path)) {
            if !listed.contains(dir) {
                listed.insert(dir.to_vec());
            }
        }
    }
    listed
}

fn rule(sign: u8, pattern: &[u8]) -> Vec<u8> {
    [&[sign, b' '], pattern].concat()
}

/// A pattern for all names in a directory.
fn everything_in(dir: &[u8]) -> Vec<u8> {
    let mut pattern = b"/".to_vec();
    if !dir.is_empty() {
        pattern.extend(escaped(dir));
        pattern.push(b'/');
    }
    pattern.push(b'*');
    pattern
}

/// A path as an anchored pattern that matches just it: a backslash only counts beside a wildcard.
fn literal(path: &[u8]) -> Vec<u8> {
    let mut pattern = b"/".to_vec();
    if path.iter().any(|byte| b"*?[".contains(byte)) {
        pattern.extend(escaped(path));
    } else {
        pattern.extend_from_slice(path);
    }
    pattern
}

fn escaped(path: &[u8]) -> Vec<u8> {
    path.iter()
        .flat_map(|&byte| {
            if b"*?[\\".contains(&byte) {
                vec![b'\\', byte]
            } else {
                vec![byte]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use syncline::Filters;

    use super::*;

    fn texts(rules: &[Vec<u8>]) -> Vec<String> {
        let texts = rules.iter().map(|rule| String::from_utf8_lossy(rule));
        texts.map(|text| text.into_owned()).collect()
    }

    fn gone(path: &[u8], file: bool, directory: bool) -> Gone {
        Gone {
            path: path.to_vec(),
            file,
            directory,
        }
    }

    #[test]
    fn the_names_of_a_large_file_go_in_one_session() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["linked", "single", "small"] {
            let size = if name == "small" { SMALL } else { SMALL + 1 };
            std::fs::File::create(at(name))
                .unwrap()
                .set_len(size)
                .unwrap();
        }
        std::fs::hard_link(at("linked"), at("other")).unwrap();
        let root = rsync_engine::fs::Tree::open(dir.path()).unwrap();
        let entries = ["linked", "other", "single", "small"].map(|name| crate::push::BatchEntry {
            path: name.as_bytes().into(),
            kind: EntryKind::Content,
            stat: root
                .root()
                .stat(rsync_engine::fs::Name::new(name.as_bytes()).unwrap())
                .ok(),
        });
        let batch = Batch {
            root,
            entries: entries.to_vec(),
            renames: Vec::new(),
        };
        let protected = Filters::default().receiver_chain();
        let parts = sort(&batch, true, &protected, |path, _| **path != b"other"[..]);
        let of = |names: &[&str], check| {
            let names = names
                .iter()
                .map(|name| picked(name.as_bytes(), PickedAction::Send));
            Part::new(names.collect(), check)
        };
        assert_eq!(
            parts,
            [
                of(&["small"], Check::Sum),
                of(&["single"], Check::Off),
                of(&["linked", "other"], Check::Sum),
            ]
        );
    }

    #[test]
    fn rules_name_what_goes_and_protect_the_rest() {
        let part = Part {
            by_rules: vec![
                gone(b"a/x*y", true, true),
                gone(b"top", false, true),
                gone(b"o[d]d/back\\slash", true, false),
            ],
            ..Part::new(vec![picked(b"a/b/new", PickedAction::Send)], Check::Sum)
        };
        let some = by_rules(&part, false, |path| path != b"a/b/new");
        let goes = [
            "+ /a/x\\*y",
            "+ /top/",
            "- /o\\[d]d/back\\\\slash/",
            "+ /o\\[d]d/back\\\\slash",
        ];
        let protects = ["- /*", "- /a/*", "- /o\\[d]d/*"];
        assert_eq!(texts(&some.rules), [&goes[..], &protects].concat());
        let dirs = [&b""[..], b"a", b"o[d]d"].map(<[u8]>::to_vec);
        assert_eq!(some.content, HashSet::from(dirs.clone()));
        let listed: BTreeSet<_> = some.names.into_iter().map(|name| name.path).collect();
        assert_eq!(
            listed,
            dirs.into_iter().chain([b"a/b/new".to_vec()]).collect()
        );
        // Below protocol 30 every listed directory needs its rule.
        let all = by_rules(&part, true, |path| path != b"a/b/new");
        let protects = ["- /*", "- /a/*", "- /a/b/*", "- /o\\[d]d/*"];
        assert_eq!(texts(&all.rules), [&goes[..], &protects].concat());
        assert!(some.unable.is_empty() && all.unable.is_empty());
    }

    /// A receiver drops a rule that is too long. Then it would delete what the rule protects.
    #[test]
    fn nothing_depends_on_a_rule_that_is_too_long() {
        let long = [&[b'd'; 250][..], b"/"].concat().repeat(16);
        let path = [&long, &[b'x'; 200][..]].concat();
        let part = Part {
            by_rules: vec![gone(&[&long, &b"*"[..]].concat(), true, true)],
            ..Part::new(Vec::new(), Check::Sum)
        };
        assert!(by_rules(&part, false, |_| false).unable.is_empty());
        let stars = [&b"[".repeat(200)[..], b"/"].concat().repeat(16);
        let unfit = [&stars, &b"x"[..]].concat();
        let part = Part {
            by_rules: vec![gone(&unfit, true, true)],
            ..Part::new(
                vec![
                    picked(&unfit, PickedAction::Send),
                    picked(&path[..4_000], PickedAction::Send),
                ],
                Check::Sum,
            )
        };
        let built = by_rules(&part, true, |_| false);
        assert_eq!(built.unable.len(), 2);
        assert!(built.content.is_empty());
        assert_eq!(built.names.len(), 1);
    }

    #[test]
    fn what_the_rules_say_decides_how_a_name_goes() {
        let options = rsync_engine::options::TransferOptions {
            filter_texts: ["P logs/", "- *.o", "-!r */", "+ *"]
                .map(|text| rsync_engine::options::FilterText::Rule(text.into()))
                .to_vec(),
            ..Default::default()
        };
        let mut none = |_: &[u8]| Err(std::io::ErrorKind::NotFound.into());
        let filters = Filters::new(&options, &mut none).unwrap();
        let delete = |path: &str| crate::push::BatchEntry {
            path: path.as_bytes().into(),
            kind: EntryKind::Delete,
            stat: None,
        };
        let tree = tempfile::tempdir().unwrap();
        let batch = Batch {
            root: rsync_engine::fs::Tree::open(tree.path()).unwrap(),
            entries: ["a.o", "dir", "logs"].map(delete).to_vec(),
            renames: Vec::new(),
        };
        let same = |_: &PathBytes, _: &Stat| false;
        let parts = sort(&batch, true, &filters.receiver_chain(), same);
        let by_rules: Vec<_> = parts.iter().flat_map(|part| &part.by_rules).collect();
        assert_eq!(by_rules, [&gone(b"dir", false, true)]);
        // Nothing of "a.o" and "logs" goes, but what they were in changed.
        let named: Vec<_> = parts.iter().flat_map(|part| &part.names).collect();
        assert_eq!(named, [&picked(b"", PickedAction::Send)]);
        assert!(sort(&batch, false, &filters.receiver_chain(), same).is_empty());
        let parts = sort(&batch, true, &Filters::default().receiver_chain(), same);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].names.len(), 3);
    }
}
