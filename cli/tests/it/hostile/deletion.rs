//! What a daemon may have deleted at a pulling client: what the client asked for whole, whatever the list says
//! (05-security N-5).

use testkit::hostile::{DIR, Entry, FLIST_EOF, HostileDaemon, Options};
use testkit::{Program, Rsync, TreeSpec};

use super::{files, transfer};
use crate::setup::binary;

/// What is there before the client runs.
const BEFORE: [&str; 6] = ["a/b/c", "a/k", "d/sub/y", "d/x", "keep", "other/f"];

/// A request, what the daemon lists for it, and what is gone then.
struct Row {
    options: &'static [&'static str],
    /// Below the module.
    paths: &'static [&'static str],
    /// Names that the daemon lists as directories with all their contents; one that begins with `-` as missing.
    listed: &'static [&'static str],
    gone: &'static [&'static str],
    /// The stock client deletes this, too.
    stock_alone: &'static [&'static str],
    code: i32,
}

const NOTHING: &[&str] = &[];

const fn row(
    options: &'static [&'static str],
    paths: &'static [&'static str],
    listed: &'static [&'static str],
    gone: &'static [&'static str],
) -> Row {
    Row {
        options,
        paths,
        listed,
        gone,
        stock_alone: NOTHING,
        code: 0,
    }
}

const fn stricter(row: Row, stock_alone: &'static [&'static str]) -> Row {
    Row { stock_alone, ..row }
}

const R: &[&str] = &["-r", "--delete"];
const RR: &[&str] = &["-rR", "--delete"];
const D: &[&str] = &["-d", "--delete"];
const IN_D: &[&str] = &["d/sub/y", "d/x"];

const ROWS: &[Row] = &[
    // The root is listed whole where an argument names contents.
    row(R, &[""], &["."], &BEFORE),
    row(R, &["d/"], &["."], &BEFORE),
    row(R, &["d/."], &["."], &BEFORE),
    row(R, &["d", "other/"], &["."], &BEFORE),
    row(R, &["d"], &["."], NOTHING),
    row(R, &["d", "other"], &["."], NOTHING),
    row(R, &["d/e.txt"], &["."], NOTHING),
    row(R, &["d*"], &["."], NOTHING),
    stricter(row(R, &["*"], &["."], NOTHING), &BEFORE),
    row(R, &["d"], &[".", "d"], IN_D),
    // Every time of deletion, and without -r.
    row(&["-r", "--delete-before"], &["d"], &["."], NOTHING),
    row(&["-r", "--delete-after"], &["d"], &["."], NOTHING),
    row(&["-r", "--delete-delay"], &["d"], &["."], NOTHING),
    row(&["-r", "--delete-excluded"], &["d"], &["."], NOTHING),
    row(&["-r", "--no-r", "-d", "--delete"], &["d"], &["."], NOTHING),
    // With -R what lies above an argument is never whole.
    row(RR, &["d"], &["."], NOTHING),
    row(RR, &["d/"], &["."], NOTHING),
    row(RR, &["/d"], &["/."], NOTHING),
    row(RR, &[""], &["."], &BEFORE),
    row(RR, &["a/b"], &[".", "a", "a/b"], &["a/b/c"]),
    row(RR, &["a/*/c"], &[".", "a", "a/b"], NOTHING),
    row(RR, &["a/./b"], &[".", "b"], NOTHING),
    row(
        &["-rR", "--no-implied-dirs", "--delete"],
        &["a/b"],
        &[".", "a"],
        NOTHING,
    ),
    // With -d only what an argument names with a slash is listed with its contents.
    row(D, &["d"], &["."], NOTHING),
    stricter(row(D, &["d"], &[".", "d"], NOTHING), IN_D),
    stricter(
        row(
            D,
            &["other/"],
            &[".", "d"],
            &["a/b/c", "a/k", "keep", "other/f"],
        ),
        IN_D,
    ),
    // What is missing at the sender is an argument.
    row(
        &["-r", "--delete-missing-args"],
        &["keep"],
        &["-keep"],
        &["keep"],
    ),
    Row {
        code: 4,
        ..stricter(
            row(
                &["-r", "--delete-missing-args"],
                &[""],
                &[".", "-keep"],
                NOTHING,
            ),
            &["keep"],
        )
    },
];

impl Row {
    /// What is gone after a run, and the exit code.
    fn play(&self, client: Program, protocol: u32, incremental: bool) -> (Vec<String>, i32) {
        let listed = self.listed;
        let options = Options {
            compat: incremental.into(),
            ..Options::default()
        };
        let daemon = HostileDaemon::with(protocol, options, move |session| {
            for name in listed {
                let entry = match name.strip_prefix('-') {
                    Some(missing) => Entry::new(missing, 0),
                    None => Entry::new(name, DIR).top(),
                };
                session.out.entry(&entry);
            }
            session.end_list()?;
            if incremental {
                session.out.index(FLIST_EOF);
            }
            session.finish()
        });
        let dir = testkit::temp_dir();
        let tree = BEFORE
            .iter()
            .fold(TreeSpec::new(), |tree, name| tree.file(*name, "x"));
        tree.build(dir.path());
        let paths: Vec<_> = self.paths.iter().map(|path| format!("m/{path}")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let exit = transfer(client, daemon, protocol, self.options, &paths, dir.path());
        let left = files(dir.path());
        let gone = BEFORE
            .iter()
            .filter(|name| !left.iter().any(|file| file == *name));
        let gone = gone.map(|name| (*name).to_owned()).collect();
        (gone, exit.code().expect("it ends by itself"))
    }

    /// Whether a client offers incremental recursion with these options, and the names fit in its first list.
    fn may_be_incremental(&self) -> bool {
        let flat = [
            "-d",
            "--delete-before",
            "--delete-after",
            "--delete-missing-args",
        ];
        !self.options.iter().any(|option| flat.contains(option))
            && !self.listed.iter().any(|name| name.contains('/'))
            && self.listed.len() == 1
    }
}

fn plays(protocol: u32) {
    let stock = Rsync::all().into_iter().next();
    for (row, number) in ROWS.iter().zip(0..) {
        let Row {
            options,
            paths,
            listed,
            ..
        } = row;
        let story = format!("{options:?} {paths:?}, listed {listed:?}, protocol {protocol}");
        let (gone, code) = row.play(Program::new(binary()), protocol, false);
        assert_eq!(gone, row.gone, "{story}");
        assert_eq!(code, row.code, "{story}");
        if protocol >= 30 && row.may_be_incremental() {
            let (gone, code) = row.play(Program::new(binary()), protocol, true);
            assert_eq!(gone, row.gone, "incremental: {story}");
            assert_eq!(code, row.code, "incremental: {story}");
        }
        // The stock client takes its time: each row at one protocol.
        let Some(stock) = stock.as_ref().filter(|_| number % 4 == protocol % 4) else {
            continue;
        };
        let (gone, _) = row.play(stock.client(), protocol, false);
        let mut expected = [row.gone, row.stock_alone].concat();
        expected.sort_unstable();
        assert_eq!(gone, expected, "stock: {story}");
    }
    if stock.is_none() {
        testkit::skipped("no stock client to compare with");
    }
}

#[test]
fn deletions_at_29() {
    plays(29);
}

#[test]
fn deletions_at_30() {
    plays(30);
}

#[test]
fn deletions_at_31() {
    plays(31);
}

#[test]
fn deletions_at_32() {
    plays(32);
}
