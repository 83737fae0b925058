//! The names of a batch, sorted into the sessions that they need.

use std::collections::HashSet;

use rsync_engine::filter::Chain;
use rsync_engine::fs::Stat;
use rsync_engine::send::{PickedAction, PickedName};

use super::abilities::Check;
use crate::path::{self, PathBytes};
use crate::push::{Batch, EntryKind};

/// Files up to this size are compared by their sum, which reads them once more, also for a change of attributes only.
const SMALL: u64 = 1 << 20;

/// The names of a batch by the session that they need, in the order in which these run. Deletions go last in theirs. `differs` says of
/// a large file whether the target cannot have its content yet.
pub(super) fn sort(
    batch: &Batch,
    deletes: bool,
    protected: &Chain,
    differs: impl Fn(&PathBytes, &Stat) -> bool,
) -> Vec<(Check, Vec<PickedName>)> {
    let picked = |path: &PathBytes, action| PickedName {
        path: path.to_vec(),
        action,
    };
    let (mut content, mut attributes, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    let (mut changed, mut doubtful) = (Vec::new(), Vec::new());
    for entry in &batch.entries {
        match entry.kind {
            // Parents come with the names below them.
            EntryKind::Parent => {}
            // A receiver that is given names asks no rules of ours.
            EntryKind::Delete if protected.check(&entry.path, false).is_excluded() => {}
            EntryKind::Delete => gone.push(picked(&entry.path, PickedAction::Delete)),
            EntryKind::Attr | EntryKind::Content => {
                let large = entry.stat.filter(is_large);
                let session = match large {
                    None => &mut content,
                    Some(_) if entry.kind == EntryKind::Attr => &mut attributes,
                    // All names of a file go in one session, or they are several at the target.
                    Some(stat) if stat.nlink == 1 && differs(&entry.path, &stat) => &mut changed,
                    Some(_) => &mut doubtful,
                };
                session.push(picked(&entry.path, PickedAction::Send));
            }
        }
    }
    if deletes {
        // A replaced directory must go in the session of its replacement, so all deletions go there.
        content.append(&mut gone);
    }
    vec![
        (Check::Sum, content),
        (Check::Quick, attributes),
        (Check::Off, changed),
        (Check::Sum, doubtful),
    ]
}

/// Whether reading it twice is worth avoiding.
pub(super) fn is_large(stat: &Stat) -> bool {
    stat.is_file() && stat.size > SMALL
}

/// The names of a session that deletes by filter rules.
pub(super) struct ByRules {
    /// What to send.
    pub(super) names: Vec<PickedName>,
    /// The directories in which something goes.
    pub(super) content: HashSet<Vec<u8>>,
    /// What goes, and what protects everything else.
    pub(super) rules: Vec<Vec<u8>>,
}

/// Named deletion by filter rules (03-transfer 8.6). What is no directory (`is_directory`) may replace one, so that one's content is not
/// protected.
pub(super) fn by_rules(names: Vec<PickedName>, is_directory: impl Fn(&[u8]) -> bool) -> ByRules {
    let (gone, mut kept): (Vec<_>, Vec<_>) = names
        .into_iter()
        .partition(|name| name.action == PickedAction::Delete);
    let mut content = HashSet::new();
    let known: HashSet<Vec<u8>> = kept.iter().map(|name| name.path.clone()).collect();
    let (mut rules, mut listed) = (Vec::new(), HashSet::from([Vec::new()]));
    for name in &gone {
        rules.push([&b"+ /"[..], &literal(&name.path)].concat());
        let parent = path::parent(&name.path).to_vec();
        if content.insert(parent.clone()) && !known.contains(&parent) {
            kept.push(PickedName {
                path: parent,
                action: PickedAction::Send,
            });
        }
    }
    for path in kept.iter().map(|name| &name.path) {
        let mut at = if is_directory(path) {
            path
        } else {
            path::parent(path)
        };
        while !at.is_empty() {
            listed.insert(at.to_vec());
            at = path::parent(at);
        }
    }
    let mut listed: Vec<_> = listed.into_iter().collect();
    listed.sort();
    for dir in listed {
        let mut rule = b"- /".to_vec();
        if !dir.is_empty() {
            rule.extend(escaped(&dir));
            rule.push(b'/');
        }
        rule.push(b'*');
        rules.push(rule);
    }
    ByRules {
        names: kept,
        content,
        rules,
    }
}

/// A path as a pattern that matches just it: a backslash only counts beside a wildcard.
fn literal(path: &[u8]) -> Vec<u8> {
    if path.iter().any(|byte| b"*?[".contains(byte)) {
        escaped(path)
    } else {
        path.to_vec()
    }
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
    use super::*;

    fn name(path: &[u8], action: PickedAction) -> PickedName {
        PickedName {
            path: path.to_vec(),
            action,
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
        let protected = syncline::Filters::default().receiver_chain();
        let sessions = sort(&batch, true, &protected, |path, _| **path != b"other"[..]);
        let sessions: Vec<_> = sessions
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(check, names)| (check, names.into_iter().map(|name| name.path).collect()))
            .collect::<Vec<(Check, Vec<Vec<u8>>)>>();
        let of = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
        assert_eq!(
            sessions,
            [
                (Check::Sum, of(&["small"])),
                (Check::Off, of(&["single"])),
                (Check::Sum, of(&["linked", "other"])),
            ]
        );
    }

    #[test]
    fn rules_name_what_goes_and_protect_the_rest() {
        let names = vec![
            name(b"a/b/new", PickedAction::Send),
            name(b"a/x*y", PickedAction::Delete),
            name(b"top", PickedAction::Delete),
            name(b"o[d]d/back\\slash", PickedAction::Delete),
        ];
        let ByRules {
            names: kept,
            content,
            rules,
        } = by_rules(names, |path| path != b"a/b/new");
        let texts: Vec<String> = rules
            .iter()
            .map(|rule| String::from_utf8_lossy(rule).into_owned())
            .collect();
        assert_eq!(
            texts,
            [
                "+ /a/x\\*y",
                "+ /top",
                "+ /o\\[d]d/back\\\\slash",
                "- /*",
                "- /a/*",
                "- /a/b/*",
                "- /o\\[d]d/*",
            ]
        );
        let content: std::collections::BTreeSet<_> = content.into_iter().collect();
        assert_eq!(
            content.into_iter().collect::<Vec<_>>(),
            [b"".to_vec(), b"a".to_vec(), b"o[d]d".to_vec()]
        );
        let kept: Vec<_> = kept.into_iter().map(|name| name.path).collect();
        assert_eq!(
            kept,
            [
                b"a/b/new".to_vec(),
                b"a".to_vec(),
                b"".to_vec(),
                b"o[d]d".to_vec()
            ]
        );
    }
}
