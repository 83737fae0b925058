//! The cases of testkit/vectors/security/planted_links.json as far as they are about files alone:
//! what a session does for each of them, in calls of this module.

use super::operator::{Trust, open_dir};
use super::*;

/// Tries what the case's session would do; says whether that got anywhere.
type Case = (&'static str, fn(&Site) -> Result<()>);

const CASES: &[Case] = &[
    ("P2 d->out, push -r d/f", |site| {
        site.link("d", site.out(""));
        // Without -K a link in the place of a directory is replaced.
        assert!(site.root().stat(n("d")).unwrap().is_symlink());
        site.root().unlink(n("d"))?;
        site.root().mkdir(n("d"), 0o755)?;
        receive(&site.root().open_dir(n("d"))?, "f")
    }),
    ("P2 -K", |site| {
        site.link("d", site.out(""));
        receive(&site.tree.open_dir(p("d"), Links::Beneath)?, "f")
    }),
    ("P2 -K in-tree link", |site| {
        site.dirs("real");
        site.link("d", "real");
        receive(&site.tree.open_dir(p("d"), Links::Beneath)?, "f")
    }),
    ("P4 -R a/b/f a->out", |site| {
        site.link("a", site.out(""));
        site.root().unlink(n("a"))?;
        receive(&site.tree.make_dirs(p("a/b"), Links::Refuse, 0o755)?.0, "f")
    }),
    ("P4 dest arg w/a/ a->out", |site| {
        site.link("a", site.out(""));
        site.tree.subtree(p("a"), Links::Beneath).map(drop)
    }),
    ("P4 mkpath w/a/new/", |site| {
        site.link("a", site.out(""));
        site.tree
            .make_dirs(p("a/new"), Links::Beneath, 0o755)
            .map(drop)
    }),
    ("P7 -b --backup-dir=.bk", |site| {
        site.link(".bk", site.out(""));
        site.file("f", b"old");
        let backup = site.tree.open_dir(p(".bk"), Links::Refuse)?;
        site.root().rename(n("f"), &backup, n("f"))
    }),
    ("P7 -b --temp-dir=.bk", |site| {
        site.link(".bk", site.out(""));
        let temps = site.tree.open_dir(p(".bk"), Links::Refuse)?;
        temps
            .create_temp(n("f"), 0o644, TempPlace::TempDir)
            .map(drop)
    }),
    ("P9 --copy-dest=/base base/d->out", |site| {
        site.dirs("base");
        site.link("base/d", site.out(""));
        let base = site.tree.subtree(p("base"), Links::Beneath)?;
        let dir = base.open_dir(p("d"), Links::Refuse)?;
        dir.open_read(n("secret"), Atime::Update).map(drop)
    }),
    ("P12 pull -rL", pull_through_links),
    ("P12 pull -rk", pull_through_links),
    ("P12 pull --copy-unsafe-links", pull_through_links),
    ("P12 pull w/l/", |site| {
        site.link("l", site.out(""));
        site.tree.open_list(p("l"), Links::Beneath).map(drop)
    }),
    ("P12 pull w/l/secret", |site| {
        site.link("l", site.out(""));
        let (dir, name) = site
            .tree
            .open_parent(p("l/secret"), Links::Beneath)?
            .unwrap();
        dir.stat(name).map(drop)
    }),
    ("P12 in-tree link pull w/l/", |site| {
        site.dirs("real");
        site.file("real/x", b"x");
        site.link("l", "real");
        let mut buf = ListBuf::default();
        let dir = site.tree.open_list(p("l"), Links::Beneath)?;
        assert_eq!(dir.list(&mut buf)?.next().unwrap()?.name, b"x");
        Ok(())
    }),
    ("P14 foreign link module", |site| {
        site.link("module", site.out(""));
        if is_root() {
            std::os::unix::fs::lchown(site.at("module"), Some(801), None).unwrap();
            return open_dir(&site.at("module"), Trust::OwnLinks).map(drop);
        }
        eprintln!("SKIPPED for lack of root: P14 foreign link module");
        Err(Errno::LOOP)
    }),
    ("P14 root link module", |site| {
        site.link("module", site.out(""));
        open_dir(&site.at("module"), Trust::OwnLinks).map(drop)
    }),
    ("P15 inner pull -L", |site| {
        site.dirs("inner");
        site.dirs("sib");
        site.link("inner/l", "../sib");
        site.tree
            .subtree(p("inner"), Links::Refuse)?
            .open_list(p("l"), Links::Beneath)
            .map(drop)
    }),
    ("P15 inner push -K", |site| {
        site.dirs("inner");
        site.dirs("sib");
        site.link("inner/d", "../sib");
        receive(
            &site
                .tree
                .subtree(p("inner"), Links::Refuse)?
                .open_dir(p("d"), Links::Beneath)?,
            "f",
        )
    }),
    ("P17 magic", |site| {
        site.link("l", format!("/proc/self/root{}", site.out("").display()));
        site.tree.open_list(p("l"), Links::Beneath).map(drop)
    }),
    ("P19 files-from", |site| {
        site.dirs("d");
        for text in ["../out/secret", "d/../../out/secret"] {
            assert_eq!(
                RelPathBuf::resolve(RelPath::ROOT, text.as_bytes()),
                Err(PathError::Parent)
            );
        }
        let path = RelPathBuf::resolve(RelPath::ROOT, b"/out/secret")?;
        site.tree.stat(path.as_path(), Links::Beneath).map(drop)
    }),
];

/// Cases that are decided above this module: an option's place in a session, or the client's own
/// files (tests/operator.rs).
const ELSEWHERE: &[&str] = &["P7 -b --partial-dir=.bk", "P7 --delay-updates .~tmp~"];

fn receive(dir: &Dir, name: &str) -> Result<()> {
    let mut temp = dir.create_temp(n(name), 0o644, TempPlace::Beside)?;
    temp.file().write_at(b"data", 0)?;
    temp.publish(dir, n(name))
}

fn pull_through_links(site: &Site) -> Result<()> {
    site.link("l", site.out(""));
    site.link("lf", site.out("secret"));
    let file = site.tree.open_read(p("lf"), Links::Beneath, Atime::Update);
    assert_eq!(file.err(), Some(Errno::XDEV));
    site.tree.open_list(p("l"), Links::Beneath).map(drop)
}

#[test]
fn outcomes_agree_with_rsync_3_5_0() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../testkit/vectors/security/planted_links.json"
    );
    let vectors: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let mut found = 0;
    for vector in vectors["cases"].as_array().unwrap() {
        let name = vector["case"].as_str().unwrap();
        if name.starts_with("client:") || ELSEWHERE.contains(&name) {
            continue;
        }
        let (_, run) = CASES
            .iter()
            .find(|(case, _)| *case == name)
            .unwrap_or_else(|| panic!("no case {name}"));
        let result = &vector["results"]["3.5.0"];
        assert_eq!(result["outside"], "INTACT");
        // These two succeed there by doing without the planted directory.
        let refused = result["exit"] != 0 || name.starts_with("P9");
        both(|site| {
            let outcome = run(site);
            assert_eq!(outcome.is_err(), refused, "{name}: {outcome:?}");
        });
        found += 1;
    }
    assert_eq!(found, CASES.len());
}
