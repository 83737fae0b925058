//! The captured whole-tree cases, evaluated on trees in memory: what is sent and what is deleted, locally, as a
//! pull and as a push.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rsync_proto::Protocol;
use serde_json::Value;

use super::command::{Command, Delete};
use super::vector;
use crate::filter::{
    Chain, CvsSources, FilterError, ModuleParameters, Place, Role, RuleList, clamp_name,
    files_from_names, module_rules,
};

/// Cases that are about more than filters.
const NOT_ABOUT_FILTERS: [(&str, &str); 3] = [
    ("force-delete-room", "a file takes the place of a directory"),
    ("delete-missing-args", "names that are not there"),
    (
        "no-option-skips-dirs",
        "directories are not sent without -r or -d",
    ),
];

/// Ways to run a case whose outcome rests on checks elsewhere.
const OTHER_CHECKS: [(&str, &str); 3] = [
    ("files-from-dotdot", "pull"),
    ("implied-dirs-not-filtered", "pull"),
    ("implied-dirs-anchored-not-filtered", "pull"),
];

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Dir,
    File(Vec<u8>),
    Link(String),
}

/// Nodes by path below the case's directory, which has the absolute path `/case`.
#[derive(Clone, Debug, Default)]
struct Tree(BTreeMap<String, Node>);

impl Tree {
    fn add(&mut self, prefix: &str, entries: &Value) {
        for entry in entries.as_array().unwrap() {
            let path = format!("{prefix}{}", entry["p"].as_str().unwrap());
            let node = match entry["t"].as_str().unwrap() {
                "d" => Node::Dir,
                "l" => Node::Link(entry["l"].as_str().unwrap().to_owned()),
                _ => Node::File(entry["c"].as_str().unwrap().as_bytes().to_vec()),
            };
            for (at, _) in path.match_indices('/') {
                self.0.insert(path[..at].to_owned(), Node::Dir);
            }
            self.0.insert(path, node);
        }
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        match self.0.get(path)? {
            Node::File(content) => Some(content.clone()),
            _ => None,
        }
    }

    fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || self.0.get(path) == Some(&Node::Dir)
    }

    /// Paths directly below a directory.
    fn children(&self, dir: &str) -> Vec<String> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let below = self.0.keys().filter(|path| {
            path.strip_prefix(&prefix)
                .is_some_and(|rest| !rest.contains('/'))
        });
        below.cloned().collect()
    }

    /// Reads a merge file for a process whose names are relative to `root`.
    fn merge_file(&self, root: &str, place: Place<'_>, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let dir = match place {
            Place::Transfer(rel) => below(root, &text(rel)),
            Place::Outside(absolute) => match text(absolute).strip_prefix("/case") {
                Some(rest) => rest.trim_start_matches('/').to_owned(),
                None => return Ok(None),
            },
        };
        Ok(self.file(&below(&dir, &text(name))))
    }
}

fn below(dir: &str, name: &str) -> String {
    if dir.is_empty() || name.is_empty() {
        format!("{dir}{name}")
    } else {
        format!("{dir}/{name}")
    }
}

fn absolute(root: &str) -> String {
    below("/case", root)
}

/// What a scan gave.
#[derive(Debug, Default)]
struct Sent {
    /// Names; directories with a slash, the root as `./`.
    names: BTreeSet<String>,
    /// Directories whose contents were sent; the root is empty.
    content: BTreeSet<String>,
    /// What the names stand for, without slashes.
    nodes: BTreeMap<String, Node>,
}

struct Sender<'a> {
    tree: &'a Tree,
    chain: Chain,
    module: Option<Chain>,
    copy_links: bool,
    recursive: bool,
    root: String,
    sent: Sent,
}

impl Sender<'_> {
    /// Sends one argument: the directory names are relative to, the name (empty for the contents of that
    /// directory) and whether its contents were asked for.
    fn argument(
        &mut self,
        root: &str,
        name: &str,
        contents: bool,
        implied: bool,
    ) -> Result<(), FilterError> {
        if root != self.root || self.sent.names.is_empty() {
            self.root = root.to_owned();
            self.chain.set_root(absolute(root).as_bytes());
        }
        if name.is_empty() {
            self.sent.names.insert("./".to_owned());
            return self.directory("");
        }
        for (at, _) in name.match_indices('/').filter(|_| implied) {
            self.sent.names.insert(format!("{}/", &name[..at]));
        }
        if let Some((parent, _)) = name.rsplit_once('/') {
            let (tree, root) = (self.tree, self.root.clone());
            self.chain
                .enter_dir(parent.as_bytes(), &mut |place: Place<'_>, file: &[u8]| {
                    tree.merge_file(&root, place, file)
                })?;
        }
        self.name(name, contents)
    }

    fn name(&mut self, name: &str, contents: bool) -> Result<(), FilterError> {
        let mut path = below(&self.root, name);
        if let (true, Some(Node::Link(target))) = (self.copy_links, self.tree.0.get(&path)) {
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
            path = below(dir, target);
        }
        let is_dir = self.tree.is_dir(&path);
        let hidden = |module: &Chain| module.excludes_path(path.as_bytes(), is_dir);
        if !self.tree.0.contains_key(&path)
            || self.chain.check(name.as_bytes(), is_dir).is_excluded()
            || self.module.as_ref().is_some_and(hidden)
        {
            return Ok(());
        }
        self.sent
            .nodes
            .insert(name.to_owned(), self.tree.0[&path].clone());
        self.sent.names.insert(if is_dir {
            format!("{name}/")
        } else {
            name.to_owned()
        });
        if is_dir && (contents || self.recursive) {
            self.directory(name)
        } else {
            Ok(())
        }
    }

    fn directory(&mut self, name: &str) -> Result<(), FilterError> {
        self.sent.content.insert(name.to_owned());
        let mut dir = below(&self.root, name);
        if let Some(Node::Link(target)) = self.tree.0.get(&dir) {
            dir = below(&self.root, target);
        }
        for child in self.tree.children(&dir) {
            let (tree, root) = (self.tree, self.root.clone());
            self.chain
                .enter_dir(name.as_bytes(), &mut |place: Place<'_>, file: &[u8]| {
                    tree.merge_file(&root, place, file)
                })?;
            let base = child.rsplit('/').next().unwrap();
            self.name(&below(name, base), false)?;
        }
        Ok(())
    }
}

/// The receiver's drop of directories without files (07-filters 14.1).
fn prune(sent: &mut Sent, chain: &Chain) {
    let names = sent.names.clone();
    let keeps = |dir: &str| {
        dir == "./"
            || names.iter().any(|name| {
                let protected = name.ends_with('/')
                    && chain
                        .check(name.trim_end_matches('/').as_bytes(), true)
                        .is_excluded();
                name.starts_with(dir) && (!name.ends_with('/') || protected)
            })
    };
    sent.names
        .retain(|name| !name.ends_with('/') || keeps(name));
    let names = &sent.names;
    sent.content
        .retain(|dir| names.contains(&format!("{}/", if dir.is_empty() { "." } else { dir })));
}

struct Receiver<'a> {
    tree: &'a Tree,
    chain: Chain,
    module: Option<Chain>,
    deleted: BTreeSet<String>,
}

impl Receiver<'_> {
    fn enter(&mut self, dir: &str) -> Result<(), FilterError> {
        let tree = self.tree;
        self.chain
            .enter_dir(dir.as_bytes(), &mut |place: Place<'_>, file: &[u8]| {
                tree.merge_file("dst", place, file)
            })
    }

    fn hidden(&self, name: &str, is_dir: bool) -> bool {
        self.module
            .as_ref()
            .is_some_and(|module| module.excludes_path(below("dst", name).as_bytes(), is_dir))
    }

    fn delete_extraneous(&mut self, sent: &Sent) -> Result<(), FilterError> {
        for dir in &sent.content {
            for path in self.tree.children(&below("dst", dir)) {
                let name = path.strip_prefix("dst/").unwrap();
                let is_dir = self.tree.is_dir(&path);
                if sent.names.contains(name) || sent.names.contains(&format!("{name}/")) {
                    continue;
                }
                self.enter(dir)?;
                if !self.chain.check(name.as_bytes(), is_dir).is_excluded()
                    && !self.hidden(name, is_dir)
                {
                    self.remove(name, is_dir)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a name; false if something of it stays.
    fn remove(&mut self, name: &str, is_dir: bool) -> Result<bool, FilterError> {
        let mut empty = true;
        if is_dir {
            for path in self.tree.children(&below("dst", name)) {
                let child = path.strip_prefix("dst/").unwrap();
                let child_is_dir = self.tree.is_dir(&path);
                self.enter(name)?;
                let kept = self
                    .chain
                    .check_removing(child.as_bytes(), child_is_dir)
                    .is_excluded()
                    || self.hidden(child, child_is_dir);
                empty &= !kept && self.remove(child, child_is_dir)?;
            }
        }
        if empty {
            self.deleted.insert(if is_dir {
                format!("{name}/")
            } else {
                name.to_owned()
            });
        }
        Ok(empty)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Local,
    Pull,
    Push,
}

struct Outcome {
    sent: BTreeSet<String>,
    deleted: BTreeSet<String>,
    final_dst: BTreeSet<String>,
}

struct Case<'a> {
    value: &'a Value,
    command: Command,
    tree: Tree,
    module: Option<RuleList>,
}

impl<'a> Case<'a> {
    fn new(value: &'a Value) -> Self {
        let args = strings(&value["args"]);
        let mut command = Command::parse(&args).unwrap_or_else(|| panic!("{args:?}"));
        let mut tree = Tree::default();
        for (prefix, key) in [("src/", "src"), ("dst/", "dst"), ("", "files")] {
            tree.add(prefix, &value[key]);
        }
        tree.0.insert("src".to_owned(), Node::Dir);
        tree.0.insert("dst".to_owned(), Node::Dir);
        let home = value["env"]["HOME"]
            .as_str()
            .and_then(|home| home.strip_prefix("@CASE@/"));
        command.settings.cvs.home = home.and_then(|home| tree.file(&format!("{home}/.cvsignore")));
        command.settings.cvs.environment = value["env"]["CVSIGNORE"]
            .as_str()
            .map(|text| text.as_bytes().to_vec());
        let daemon = &value["daemon"];
        let parameter = |name: &str| daemon[name].as_str().unwrap_or_default();
        let module = daemon.as_object().filter(|map| !map.is_empty()).map(|map| {
            let known = ["filter", "include", "exclude"];
            assert!(
                map.keys().all(|key| known.contains(&key.as_str())),
                "{map:?}"
            );
            let parameters = ModuleParameters {
                filter: parameter("filter").as_bytes(),
                include: parameter("include").as_bytes(),
                exclude: parameter("exclude").as_bytes(),
                ..ModuleParameters::default()
            };
            module_rules(
                &parameters,
                CvsSources::default(),
                Protocol::MAX,
                &mut super::no_files,
            )
            .unwrap()
        });
        Self {
            value,
            command,
            tree,
            module,
        }
    }

    fn run(&self, mode: Mode) -> Result<Outcome, FilterError> {
        let (command, tree) = (&self.command, &self.tree);
        let stdin = self.value["stdin"]
            .as_str()
            .map(|text| text.as_bytes().to_vec());
        let mut read = Command::reader(|name| {
            if name == b"-" {
                stdin.clone()
            } else {
                tree.file(std::str::from_utf8(name).unwrap())
            }
        });
        let protocol = Protocol::V32;
        let role = if mode == Mode::Pull {
            Role::Receiver
        } else {
            Role::Sender
        };
        let client = command.list(protocol, role, &mut read)?;
        let server = (mode != Mode::Local).then(|| command.server_list(&client, protocol, role));
        let server = server.as_ref().unwrap_or(&client);
        let (sending, receiving) = if mode == Mode::Pull {
            (server, &client)
        } else {
            (&client, server)
        };
        let module = |wanted: Mode| {
            let list = self.module.as_ref().filter(|_| mode == wanted);
            list.map(|list| Chain::new(list, Role::Receiver))
        };

        let mut sent = self.send(Chain::new(sending, Role::Sender), module(Mode::Pull))?;
        let mut chain = Chain::new(receiving, Role::Receiver);
        chain.set_root(b"/case/dst");
        if command.prune {
            prune(&mut sent, &chain);
        }
        let hidden_at_receiver = module(Mode::Push);
        if let Some(module) = &hidden_at_receiver {
            sent.names.retain(|name| {
                let path = below("dst", name.trim_end_matches('/'));
                name == "./" || !module.excludes_path(path.as_bytes(), name.ends_with('/'))
            });
        }

        let mut after = tree.clone();
        for name in sent.names.iter().filter(|name| *name != "./") {
            let path = below("dst", name.trim_end_matches('/'));
            let node = sent
                .nodes
                .get(name.trim_end_matches('/'))
                .unwrap_or(&Node::Dir);
            after.0.insert(path, node.clone());
        }
        let seen = if command.delete == Some(Delete::After) {
            &after
        } else {
            tree
        };
        let mut receiver = Receiver {
            tree: seen,
            chain,
            module: hidden_at_receiver,
            deleted: BTreeSet::new(),
        };
        if command.delete.is_some() {
            receiver.delete_extraneous(&sent)?;
        }
        let deleted = receiver.deleted;
        let final_dst = after.0.iter().filter_map(|(path, node)| {
            let name = path.strip_prefix("dst/")?;
            Some(if *node == Node::Dir {
                format!("{name}/")
            } else {
                name.to_owned()
            })
        });
        let final_dst = final_dst.filter(|name| !deleted.contains(name)).collect();
        Ok(Outcome {
            sent: sent.names,
            deleted,
            final_dst,
        })
    }

    fn send(&self, chain: Chain, module: Option<Chain>) -> Result<Sent, FilterError> {
        let command = &self.command;
        let mut sender = Sender {
            tree: &self.tree,
            chain,
            module,
            copy_links: command.copy_links,
            recursive: command.recursive,
            root: String::new(),
            sent: Sent::default(),
        };
        for argument in strings(&self.value["src_args"]) {
            if let Some(list) = &command.files_from {
                let bytes = self.tree.file(list).unwrap();
                for name in files_from_names(&bytes, command.settings.from0, true) {
                    let name = String::from_utf8(clamp_name(name)).unwrap();
                    let plain = name.trim_end_matches('/');
                    if command.relative {
                        sender.argument(
                            argument.trim_end_matches('/'),
                            plain,
                            name.ends_with('/'),
                            true,
                        )?;
                    } else {
                        let (dir, base) = plain.rsplit_once('/').unwrap_or(("", plain));
                        sender.argument(
                            &below(argument.trim_end_matches('/'), dir),
                            base,
                            name.ends_with('/'),
                            false,
                        )?;
                    }
                }
                continue;
            }
            let contents = argument.ends_with('/');
            let plain = argument.trim_end_matches('/');
            match (
                command.relative,
                plain.split_once("/./"),
                plain.rsplit_once('/'),
            ) {
                (true, Some((root, name)), _) => sender.argument(root, name, contents, true)?,
                (true, None, _) => sender.argument("", plain, contents, true)?,
                (false, _, _) if contents => sender.argument(plain, "", true, false)?,
                (false, _, Some((root, name))) => sender.argument(root, name, false, false)?,
                (false, _, None) => sender.argument("", plain, false, false)?,
            }
        }
        Ok(sender.sent)
    }
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}

fn set(value: &Value) -> BTreeSet<String> {
    strings(value).into_iter().collect()
}

/// Symbolic links are listed as `NAME>TARGET`.
fn without_targets(names: BTreeSet<String>) -> BTreeSet<String> {
    names
        .into_iter()
        .map(|name| name.split('>').next().unwrap().to_owned())
        .collect()
}

#[test]
fn whole_trees() {
    let data: Value = serde_json::from_str(&vector("trees.json")).unwrap();
    let (mut lists, mut runs, mut faults) = (0, 0, 0);
    for value in data["cases"].as_array().unwrap() {
        let name = value["name"].as_str().unwrap();
        if NOT_ABOUT_FILTERS.iter().any(|(other, _)| *other == name) {
            continue;
        }
        let case = Case::new(value);
        for (modes, expected) in value["expect"].as_object().unwrap() {
            let fault = expected["stderr"][0].as_str().unwrap_or_default();
            for mode in modes.split('+') {
                if OTHER_CHECKS.contains(&(name, mode)) {
                    continue;
                }
                let mode = match mode {
                    "local" => Mode::Local,
                    "pull" => Mode::Pull,
                    "push" => Mode::Push,
                    other => panic!("{other}"),
                };
                let outcome = match case.run(mode) {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        let text = error.to_string().replace("/case/", "@CASE@/");
                        assert_eq!(text, fault.trim_start_matches("rsync: [client] "), "{name}");
                        assert_eq!(expected["rc"], i64::from(error.exit_code()), "{name}");
                        faults += 1;
                        continue;
                    }
                };
                let rc = expected["rc"].as_i64().unwrap();
                assert!(
                    [0, 23, 24].contains(&rc),
                    "{name} {mode:?} should fail: {fault}"
                );
                assert_eq!(
                    outcome.deleted,
                    set(&expected["deleted"]),
                    "{name} {mode:?}: deleted"
                );
                if case.module.is_none() {
                    // Backups lie about.
                    if !case.command.backup {
                        assert_eq!(
                            outcome.final_dst,
                            without_targets(set(&expected["final_dst"])),
                            "{name} {mode:?}: result"
                        );
                    }
                    if mode == Mode::Local {
                        assert_eq!(outcome.sent, set(&value["file_list"]), "{name}: file list");
                        lists += 1;
                    }
                } else if value["dst"].as_array().unwrap().is_empty() {
                    let mut sent = outcome.sent;
                    sent.remove("./");
                    assert_eq!(sent, set(&expected["transferred"]), "{name} {mode:?}: sent");
                }
                runs += 1;
            }
        }
    }
    // A case that is no longer looked at must not go unnoticed.
    assert_eq!((lists, runs, faults), (121, 370, 12));
}
