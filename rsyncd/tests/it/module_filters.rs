//! The filter of a module against the real daemon: random rules in every parameter that takes some, and what stock
//! clients then see, get and may change.
//!
//! `FILTER_DRAWS=500` asks for more draws, `FILTER_SEED=N` begins with another one; a failure names its seed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsyncd::limits::Limits;
use rsyncd::serve::EngineRunner;
use testkit::{DaemonConf, Exit, Module, Random, Rsync, Server};

use crate::harness::{Daemon, directory, is_root, write_config};

const PROTOCOLS: [&str; 4] = ["29", "30", "31", "32"];

const DIRECTORIES: [&str; 7] = [
    "sub", "sub/deep", "sub/priv", "p.d", "p.d/deep", "priv", "priv/sub",
];
const FILES: [&str; 8] = ["a", "b", "c.o", "d.c", "e.o", "keep", "sub1", "x.tmp"];
const PATTERNS: [&str; 32] = [
    "a",
    "*.o",
    "*.c",
    "keep",
    "sub",
    "/sub",
    "sub/",
    "/sub/",
    "deep",
    "deep/",
    "/p.d/",
    "priv/***",
    "/priv/**",
    "sub/*",
    "sub/**",
    "/sub/*.o",
    "**/e.o",
    "**.tmp",
    "*/a",
    "/*/b",
    "/**/deep",
    "s?b",
    "[a-c]*",
    "*",
    "deep/a",
    "/sub/deep/***",
    "p.d/*",
    "e.o/",
    ".f",
    "sub*",
    "/a",
    "[!a]",
];
/// rsync cuts as many bytes as the module's path has off the name of a file of rules and leaves the file out if the
/// rules before it hide the rest (07-filters 13).
const FILES_ARE_SEEN: &str = "+ *file-of-rules-*";
/// Rules with a pattern: `{}` is where it goes.
const RULES: [&str; 20] = [
    "- {}",
    "- {}",
    "-p {}",
    "+ {}",
    "+ {}",
    "-_{}",
    "exclude {}",
    "include {}",
    "-s {}",
    "-r {}",
    "+r {}",
    "-! {}",
    "-/ {}",
    "H {}",
    "S {}",
    "P {}",
    "R {}",
    "protect_{}",
    "exclude,r {}",
    "+! {}",
];
/// The same for a file whose rules may not name a side.
const SIDELESS: [&str; 8] = [
    "- {}",
    "- {}",
    "+ {}",
    "+ {}",
    "-! {}",
    "-/ {}",
    "exclude {}",
    "!",
];
const DIR_MERGES: [&str; 16] = [
    ": .f",
    ": .f",
    "dir-merge .f",
    ":n .f",
    ":e .f",
    ": /.f",
    ":- .g",
    ":+ .g",
    ":-n .g",
    "dir-merge,- .g",
    ":w- .g",
    ":C .g",
    ":s .h",
    ":r .h",
    ":sr .h",
    ":/ .h",
];

/// One module: what it holds and what its parameters say.
struct Draw {
    seed: u64,
    random: Random,
    parameters: Vec<(&'static str, String)>,
    /// A rule means something else to rsync where the transfer begins below the module's top.
    top_only: bool,
    /// Every file of rules with its content, for messages.
    files: String,
}

impl Draw {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Random::new(seed),
            parameters: Vec::new(),
            top_only: false,
            files: String::new(),
        }
    }

    /// Writes a file of rules and gives its path.
    fn file(&mut self, path: &Path, text: &str) -> String {
        fs::write(path, text).expect("write");
        let path = path.display().to_string();
        let _ = writeln!(self.files, "{path}: {text:?}");
        path
    }

    fn pattern(&mut self) -> &'static str {
        let found: &&str = self.random.pick(&PATTERNS[..]);
        found
    }

    fn rule(&mut self, forms: &[&str]) -> String {
        let pattern = self.pattern();
        let rule = self.random.pick(forms).replace("{}", pattern);
        // It means the names below the directory, too; rsync looks for those from the root of the transfer.
        self.top_only |= rule[1..].starts_with('!') && rule.ends_with('/');
        rule
    }

    fn rules(&mut self, forms: &[&str], most: u64) -> String {
        (0..=self.random.below(most)).fold(String::new(), |mut text, _| {
            let _ = writeln!(text, "{}", self.rule(forms));
            text
        })
    }

    /// Builds the tree that the module begins with.
    fn build(&mut self, root: &Path) {
        for dir in [""].iter().chain(&DIRECTORIES) {
            let dir = root.join(dir);
            fs::create_dir_all(&dir).expect("mkdir");
            for name in FILES {
                if !self.random.one_in(3) {
                    fs::write(dir.join(name), name).expect("write");
                }
            }
            if self.random.one_in(2) {
                let mut rules = self.rules(&RULES, 3);
                if self.random.one_in(6) {
                    rules.insert_str(0, "!\n");
                }
                if self.random.one_in(6) {
                    rules += *self.random.pick(&[": .g2\n", ":- .g\n", ":n .f\n"]);
                }
                self.file(&dir.join(".f"), &rules);
            }
            if self.random.one_in(2) {
                let patterns: String = (0..=self.random.below(2))
                    .map(|_| self.pattern().to_owned() + "\n")
                    .collect();
                self.file(&dir.join(".g"), &patterns);
            }
            if self.random.one_in(2) {
                let rules = self.rules(&SIDELESS, 3);
                self.file(&dir.join(".h"), &rules);
            }
        }
    }

    /// Builds what is pushed: other content, some names more and some less.
    fn build_source(&mut self, root: &Path, flat: bool) {
        // One below the other: rsync tests the second of two directories by the files of the first one.
        let chains = [
            ["", "sub", "sub/deep"],
            ["", "p.d", "p.d/deep"],
            ["", "new", "new/priv"],
        ];
        for dir in *self.random.pick(&chains) {
            if !dir.is_empty() && flat {
                continue;
            }
            let dir = root.join(dir);
            fs::create_dir_all(&dir).expect("mkdir");
            for name in FILES {
                if !self.random.one_in(3) {
                    fs::write(dir.join(name), "another content").expect("write");
                }
            }
        }
        if self.random.one_in(3) {
            fs::write(root.join(".f"), "- a\n").expect("write");
        }
    }

    /// Decides on the parameters; files of rules go to `dir`.
    fn configure(&mut self, dir: &Path) {
        let mut filter = vec![FILES_ARE_SEEN.to_owned()];
        for number in 0..=self.random.below(3) {
            filter.push(match self.random.below(8) {
                0..=2 => (*self.random.pick(&DIR_MERGES)).to_owned(),
                3 => {
                    self.top_only = true;
                    let text = self.rules(&RULES, 2) + *self.random.pick(&["", ": .f\n"]);
                    let path =
                        self.file(&dir.join(format!("merged-file-of-rules-{number}")), &text);
                    let forms = [". {}", "merge {}", ".e {}"];
                    self.random.pick(&forms).replace("{}", &path)
                }
                4 => {
                    self.top_only = true;
                    let text = format!("{}\n{}\n", self.pattern(), self.pattern());
                    let path =
                        self.file(&dir.join(format!("merged-file-of-rules-{number}")), &text);
                    let forms = [".- {}", "merge,+ {}", ".w- {}", ".-r {}"];
                    self.random.pick(&forms).replace("{}", &path)
                }
                5 if self.random.one_in(4) => {
                    let clear = format!("! {FILES_ARE_SEEN}");
                    (*self.random.pick(&[clear.as_str(), "-C", "+C"])).to_owned()
                }
                _ => self.rule(&RULES),
            });
        }
        if self.random.one_in(6) {
            filter.truncate(1);
        }
        self.parameters.push(("filter", filter.join(" ")));
        for (name, from) in [("include", "include from"), ("exclude", "exclude from")] {
            if self.random.one_in(3) {
                let patterns = self.old_style_list();
                self.parameters.push((name, patterns.join(" ")));
            }
            if self.random.one_in(4) {
                let patterns = self.old_style_list().join("\n");
                let text = format!("# a comment\n{patterns}\n");
                let path = self.file(&dir.join(format!("{name}-file-of-rules-0")), &text);
                self.parameters.push((from, path));
            }
        }
    }

    fn old_style_list(&mut self) -> Vec<String> {
        (0..=self.random.below(2))
            .map(|_| self.old_style())
            .collect()
    }

    fn old_style(&mut self) -> String {
        let pattern = self.pattern();
        match self.random.below(8) {
            0 => format!("- {pattern}"),
            1 => format!("+ {pattern}"),
            _ => pattern.to_owned(),
        }
    }
}

/// The two daemons and where their modules are.
struct Daemons<'a> {
    rsync: &'a Rsync,
    stock: testkit::Daemon,
    ours: Daemon,
}

impl<'a> Daemons<'a> {
    fn start(rsync: &'a Rsync) -> Self {
        Self {
            rsync,
            stock: testkit::Daemon::start(&Server::Stock(rsync), DaemonConf::new()),
            ours: Daemon::start(directory(), "", Arc::new(EngineRunner), Limits::default()),
        }
    }

    /// Gives both the module `m` with the same parameters.
    fn configure(&self, theirs: &Path, ours: &Path, parameters: &[(&str, String)]) {
        let conf = |path: &Path| {
            let module = Module::new("m", path);
            let set = |module: Module, (name, value): &(&str, String)| module.set(name, value);
            DaemonConf::new()
                .global("reverse lookup", "no")
                .module(parameters.iter().fold(module, set))
        };
        self.stock.configure(&conf(theirs));
        let parameters = parameters
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                let _ = writeln!(text, "{name} = {value}");
                text
            });
        write_config(
            &self.ours.dir,
            &format!(
                "[m]\npath = {}\nread only = no\nmunge symlinks = no\nuid = root\ngid = root\n{parameters}",
                ours.display()
            ),
        );
    }

    /// Runs the stock client against both; `URL` in an argument is the daemon's, `AT` a directory of each.
    fn both(&self, arguments: &[&str], theirs: &Path, ours: &Path) -> [Exit; 2] {
        let run = |address: std::net::SocketAddr, at: &Path| {
            let url = format!("rsync://{address}");
            let at = at.display().to_string();
            let arguments = arguments
                .iter()
                .map(|a| a.replace("URL", &url).replace("AT", &at));
            self.rsync.client().args(arguments).run()
        };
        [run(self.stock.addr(), theirs), run(self.ours.address, ours)]
    }
}

/// Names and contents of all files of a tree.
fn content(root: &Path) -> BTreeSet<(PathBuf, Option<Vec<u8>>)> {
    let mut found = BTreeSet::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.expect("entry").path();
            let name = path.strip_prefix(root).expect("below").to_owned();
            if path.is_dir() {
                found.insert((name, None));
                todo.push(path);
            } else {
                found.insert((name, fs::read(&path).ok()));
            }
        }
    }
    found
}

/// What a client printed, line by line, without the words in which an argument is missing.
fn lines(exit: &Exit) -> BTreeSet<String> {
    let said = exit.out() + &exit.err();
    let lines = said.lines().filter(|line| !line.starts_with("rsync"));
    lines.map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status();
    assert!(status.expect("cp runs").success());
}

/// Lists, pulls and pushes with one draw, and says where the daemons differ.
fn compare(daemons: &Daemons<'_>, seed: u64) -> Result<(), String> {
    let dir = testkit::temp_dir();
    let at = |name: &str| dir.path().join(name);
    let mut draw = Draw::new(seed);
    draw.build(&at("theirs"));
    let protocol = *draw.random.pick(&PROTOCOLS);
    let deletion = *draw.random.pick(&[
        "--delete",
        "--delete",
        "--delete-before",
        "--delete-after",
        "-q",
    ]);
    // A pass over all directories of the list: rsync deletes below hidden ones, we do not (07-filters 13).
    let flat = match deletion {
        "--delete" => protocol == "29",
        "--delete-before" | "--delete-after" => true,
        _ => false,
    };
    draw.build_source(&at("source"), flat);
    draw.configure(dir.path());
    copy(&at("theirs"), &at("ours"));
    daemons.configure(&at("theirs"), &at("ours"), &draw.parameters);

    let protocol = format!("--protocol={protocol}");
    let (source, below) = (
        format!("{}/", at("source").display()),
        format!("{}/", draw.random.pick(&DIRECTORIES)),
    );
    // rsync anchors what a merged file holds at the root of the transfer, we do so at that of the module.
    let below = if draw.top_only { "" } else { &below };
    let subdirectory = format!("URL/m/{below}");
    let (to_theirs, to_ours) = (at("to-theirs"), at("to-ours"));
    // rsync tests the directories above an argument of `-R` in incremental lists only (07-filters 8).
    let relative = if protocol.ends_with("29") {
        "-rI"
    } else {
        "-rIR"
    };
    let runs: [&[&str]; 5] = [
        &["-r", &protocol, "URL/m/"],
        &["-r", &protocol, &subdirectory],
        &["-r", &protocol, "URL/m/", "AT/"],
        &[relative, &protocol, &subdirectory, "AT/"],
        &["-ri", &protocol, deletion, &source, "URL/m/"],
    ];
    for arguments in runs {
        let exits = daemons.both(arguments, &to_theirs, &to_ours);
        let differ = |what: &str, theirs: String, ours: String| {
            let (parameters, files) = (&draw.parameters, &draw.files);
            Err(format!(
                "{what} of rsync {arguments:?} with {parameters:#?}\n{files}only stock: {theirs}\nonly ours: {ours}\n\
                 stock {}\nours {}\nstock log: {}\nreplay with FILTER_SEED={} FILTER_DRAWS=1",
                exits[0],
                exits[1],
                daemons
                    .stock
                    .log()
                    .lines()
                    .rev()
                    .take(5)
                    .collect::<Vec<_>>()
                    .join("\n"),
                draw.seed
            ))
        };
        // Its receiver process knows nothing of the files that its generator has read.
        if exits[0]
            .err()
            .contains("ERROR: rejecting file transfer request for daemon excluded file")
        {
            return Ok(());
        }
        let said = exits.each_ref().map(lines);
        // Both end at once where a file of rules is wrong; in which words is not our matter here.
        let fatal = exits
            .iter()
            .all(|exit| !matches!(exit.code(), Some(0 | 23)));
        if exits[0].code() != exits[1].code() && !fatal {
            return differ(
                "exit codes",
                format!("{:?}", exits[0].code()),
                format!("{:?}", exits[1].code()),
            );
        }
        if said[0] != said[1] && !fatal {
            return differ(
                "lines",
                format!("{:#?}", said[0].difference(&said[1]).collect::<Vec<_>>()),
                format!("{:#?}", said[1].difference(&said[0]).collect::<Vec<_>>()),
            );
        }
        for (theirs, ours) in [(&to_theirs, &to_ours), (&at("theirs"), &at("ours"))] {
            let (theirs, ours) = (content(theirs), content(ours));
            if theirs != ours {
                return differ(
                    "trees",
                    format!(
                        "{:?}",
                        theirs
                            .difference(&ours)
                            .map(|(name, _)| name)
                            .collect::<Vec<_>>()
                    ),
                    format!(
                        "{:?}",
                        ours.difference(&theirs)
                            .map(|(name, _)| name)
                            .collect::<Vec<_>>()
                    ),
                );
            }
        }
    }
    Ok(())
}

#[test]
fn random_module_filters_match_rsync() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        return;
    }
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (first, draws) = (number("FILTER_SEED", 1), number("FILTER_DRAWS", 30));
    let daemons = Daemons::start(&rsync);
    let mut failures = Vec::new();
    for seed in first..first + draws {
        failures.extend(compare(&daemons, seed).err());
        if failures.len() == 3 {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn per_directory_files_of_a_module_count_at_every_protocol() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        return;
    }
    let daemons = Daemons::start(&rsync);
    let rules = "- secret\n- *.o\n";
    for (filter, file, text, below) in [
        (": .rsync-filter", ".rsync-filter", rules, true),
        ("dir-merge .rsync-filter", ".rsync-filter", rules, true),
        (": /.rsync-filter", ".rsync-filter", rules, true),
        (":n .rsync-filter", ".rsync-filter", rules, false),
        (":- .hidden", ".hidden", "secret\n*.o\n", true),
        (":C", ".cvsignore", "secret *.o\n", false),
    ] {
        for protocol in PROTOCOLS {
            let dir = testkit::temp_dir();
            let at = |name: &str| dir.path().join(name);
            for tree in ["theirs", "source"] {
                fs::create_dir_all(at(tree).join("sub")).expect("mkdir");
                fs::write(at(tree).join("open"), tree).expect("write");
            }
            for name in ["secret", "a.o", "sub/secret", "sub/a.o", "sub/open"] {
                fs::write(at("theirs").join(name), name).expect("write");
            }
            fs::write(at("theirs").join(file), text).expect("write");
            copy(&at("theirs"), &at("ours"));
            let parameters = [("filter", filter.to_owned())];
            daemons.configure(&at("theirs"), &at("ours"), &parameters);
            let option = format!("--protocol={protocol}");
            let source = format!("{}/", at("source").display());
            for arguments in [
                &["-r", &option, "URL/m/"][..],
                &["-r", &option, "URL/m/", "AT/"],
                &["-ri", "--delete", &option, &source, "URL/m/"],
            ] {
                let exits = daemons.both(arguments, &at("to-theirs"), &at("to-ours"));
                let what = format!("{filter} {arguments:?}: {} {}", exits[0], exits[1]);
                assert_eq!(exits[0].code(), exits[1].code(), "{what}");
                assert_eq!(lines(&exits[0]), lines(&exits[1]), "{what}");
            }
            let got = |name: &str| at("to-ours").join(name).exists();
            let kept = |name: &str| at("ours").join(name).exists();
            assert!(got("open") && got("sub/open"), "{filter} {protocol}");
            assert!(!got("secret") && !got("a.o"), "{filter} {protocol}");
            assert_eq!(got("sub/secret"), !below, "{filter} {protocol}");
            assert!(kept("secret") && kept("a.o"), "{filter} {protocol}");
            assert_eq!(kept("sub/secret"), below, "{filter} {protocol}");
            assert!(!kept("sub/open") && !kept(file), "{filter} {protocol}");
            assert_eq!(
                content(&at("theirs")),
                content(&at("ours")),
                "{filter} {protocol}"
            );
        }
    }
}

/// What a module's own files hide is safe from `--delete-excluded`, unlike with rsync: it is not for clients to
/// switch off.
#[test]
fn no_option_of_a_client_takes_the_protection_away() {
    let rsync = testkit::require_rsync!();
    if !is_root() {
        return;
    }
    for option in [
        "--delete-excluded",
        "--delete-before",
        "--delete-after",
        "--delete-delay",
    ] {
        let daemon = Daemon::start(
            directory(),
            "[m]\npath = DIR/mod\nread only = no\nuid = root\ngid = root\nfilter = : .f\n",
            Arc::new(EngineRunner),
            Limits::default(),
        );
        let module = daemon.dir.path().join("mod");
        fs::create_dir(module.join("gone")).expect("mkdir");
        for (name, text) in [
            (".f", "- secret\n"),
            ("secret", ""),
            ("gone/secret", ""),
            ("gone/a", ""),
        ] {
            fs::write(module.join(name), text).expect("write");
        }
        let source = testkit::temp_dir();
        let source = format!("{}/", source.path().display());
        let push = daemon.rsync(&rsync, &["-r", "--delete", option, &source, "URL/m/"]);
        assert!(module.join("secret").exists(), "{option}: {push}");
        assert!(module.join("gone/secret").exists(), "{option}: {push}");
        assert!(!module.join("gone/a").exists(), "{option}: {push}");
    }
}
