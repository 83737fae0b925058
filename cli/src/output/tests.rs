//! The samples of testkit/vectors/cli: what was captured must come out of the plain values.

use std::time::Duration;

use jiff::tz::TimeZone;
use rsync_proto::item::ItemFlags;

use super::format::Context;
use super::*;
use crate::escape::Escaper;
use crate::flags::parse;
use crate::hiargs::HiArgs;
use crate::testing::{Block, blocks};

/// 2023/11/14 22:13:20, the time of the captured trees.
const T0: i64 = 1_700_000_000;

fn vector(name: &str) -> String {
    std::fs::read_to_string(format!(
        "{}/../testkit/vectors/cli/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap()
}

fn entry(name: &str, mode: u32, size: u64, flags: u16) -> Entry<'_> {
    Entry {
        flags: ItemFlags(flags),
        mode,
        size,
        mtime: T0,
        deleted: false,
        ..Entry::deleted(name.as_bytes(), false, true)
    }
}

type TestReport = Report<Vec<u8>, Vec<u8>>;

fn report(words: &[Vec<u8>]) -> TestReport {
    let args = HiArgs::new(parse(words).unwrap()).unwrap();
    Report::new(
        args.output,
        Escaper::utf8(),
        TimeZone::UTC,
        Vec::new(),
        Vec::new(),
    )
}

fn words(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn printed(report: TestReport) -> String {
    // The samples show a carriage return as "\r".
    String::from_utf8(report.into_outputs().0)
        .unwrap()
        .replace('\r', "\\r")
}

fn sample<'a>(blocks: &'a [Block<'a>], command: &str) -> &'a Block<'a> {
    blocks
        .iter()
        .find(|block| block.command == command)
        .unwrap_or_else(|| panic!("no sample {command}"))
}

/// `-ai` and `-aii` of a new tree, with a hard link and deletions.
#[test]
fn itemized_runs() {
    let text = vector("itemize.txt");
    let blocks = blocks(&text);
    let new_tree: &[(&str, u32, u16)] = &[
        (".", 0o040_755, 0x6000),
        ("a", 0o100_644, 0xa000),
        ("b", 0o100_644, 0xa000),
        ("l", 0o120_777, 0x6002),
        ("d", 0o040_755, 0x6000),
        ("d/c", 0o100_644, 0xa000),
    ];
    let run = |options: &str, flags: Option<u16>| {
        let mut report = report(&words(&[options, "src/", "dst/"]));
        for (name, mode, new) in new_tree {
            let target = (*name == "l").then_some(&b"a"[..]);
            let item = entry(name, *mode, 1, flags.unwrap_or(*new));
            report
                .item(&Entry {
                    link_target: target,
                    ..item
                })
                .unwrap();
        }
        printed(report)
    };
    let expected = sample(&blocks, "-ai src/ dst/").stdout[1..].join("\n");
    assert_eq!(run("-ai", None), expected + "\n");
    assert_eq!(
        run("-aii", Some(0)),
        sample(&blocks, "-aii src/ dst/").stdout.join("\n") + "\n"
    );
    assert_eq!(run("-ai", Some(0)), "");

    let mut report = report(&words(&["-aiH", "--delete", "src/", "dst/"]));
    report.deleted(b"od/x", false, true).unwrap();
    report.deleted(b"od", true, true).unwrap();
    report
        .item(&Entry {
            xname: Some(b"d/a3"),
            ..entry("a2", 0o100_644, 1, 0x7000)
        })
        .unwrap();
    assert_eq!(
        printed(report),
        "*deleting   od/x\n*deleting   od/\nhf+++++++++ a2 => d/a3\n"
    );
}

/// `-v`: header, names, deletions, odd characters, notes of the peer.
#[test]
fn verbose_runs() {
    let text = vector("basic.txt");
    let blocks = blocks(&text);
    let mut report = report(&words(&["-av", "--delete", "src/", "dst/"]));
    report
        .header(Header {
            sending: true,
            incremental: true,
        })
        .unwrap();
    for (name, is_dir) in [("od/x", false), ("od", true), ("old", false)] {
        report.deleted(name.as_bytes(), is_dir, true).unwrap();
    }
    let tree: &[(&str, u32, u16)] = &[
        (".", 0o040_755, 0x0008),
        ("a.txt", 0o100_644, 0xa000),
        ("b.bin", 0o100_644, 0x800c),
        // Attributes of a file alone have no line.
        ("unseen", 0o100_644, 0x0018),
        ("link", 0o120_777, 0x6002),
        ("d", 0o040_755, 0x6000),
        ("d/c.txt", 0o100_644, 0xa000),
        ("d/e", 0o040_755, 0x6000),
        ("d/e/f", 0o100_644, 0xa000),
        ("empty", 0o040_755, 0x6000),
        ("same", 0o040_755, 0x0000),
    ];
    for (name, mode, flags) in tree {
        let target = (*name == "link").then_some(&b"a.txt"[..]);
        report
            .item(&Entry {
                link_target: target,
                ..entry(name, *mode, 1, *flags)
            })
            .unwrap();
    }
    report
        .summary(&Stats {
            sent: 200_434,
            received: 139,
            total_size: 200_020,
            elapsed: Duration::from_millis(1200),
            ..Stats::default()
        })
        .unwrap();
    let expected = &sample(&blocks, "-av --delete src/ dst/").stdout;
    assert_eq!(printed(report), expected.join("\n") + "\n");
}

#[test]
fn uptodate_header_and_quiet() {
    let mut vv = report(&words(&["-rvv", "--no-i-r", "h::m", "dst"]));
    vv.header(Header {
        sending: false,
        incremental: false,
    })
    .unwrap();
    vv.list_complete(2).unwrap();
    vv.item(&Entry {
        sending: false,
        ..entry("f", 0o100_644, 1, 0)
    })
    .unwrap();
    vv.item(&Entry {
        sending: false,
        ..entry("d", 0o040_755, 1, 0)
    })
    .unwrap();
    // At the sender this text comes from the peer.
    vv.item(&entry("g", 0o100_644, 1, 0)).unwrap();
    assert_eq!(printed(vv), "receiving file list ... done\nf is uptodate\n");

    let mut quiet = report(&words(&["-avq", "src", "dst"]));
    quiet.info(b"created directory dst").unwrap();
    quiet.item(&entry("f", 0o100_644, 1, 0xa000)).unwrap();
    quiet.error(b"file has vanished: \"\x07\"\n").unwrap();
    quiet.summary(&Stats::default()).unwrap();
    assert_eq!(
        quiet.into_outputs(),
        (Vec::new(), b"file has vanished: \"\\#007\"\n".to_vec())
    );
}

#[test]
fn progress_between_names() {
    let text = vector("progress.txt");
    let blocks = blocks(&text);
    let block = sample(&blocks, "-a --progress --no-i-r src/ dst/");
    let start = std::time::Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut report = report(&words(&["-a", "--progress", "--no-i-r", "src/", "dst/"]));
    report
        .header(Header {
            sending: true,
            incremental: false,
        })
        .unwrap();
    report.list_complete(10).unwrap();
    report.info(b"created directory dst").unwrap();
    report.item(&entry(".", 0o040_755, 0, 0x6000)).unwrap();
    report.item(&entry("a.txt", 0o100_644, 6, 0xa000)).unwrap();
    let counts = |transferred, to_check| Counts {
        transferred,
        to_check,
        entries: 10,
        incomplete: false,
    };
    report.progress(6, 6, at(0)).unwrap();
    report.progress_done(6, counts(1, 8), at(0)).unwrap();
    report
        .item(&entry("b.bin", 0o100_644, 1_234_567, 0xa000))
        .unwrap();
    // The clock starts with the first report of a file: 32 KiB in 1 ms cannot be seen here.
    report.progress(0, 1_234_567, at(0)).unwrap();
    report
        .progress_done(1_234_567, counts(2, 7), at(1))
        .unwrap();
    let shown = printed(report);
    let expected = block.stdout[..8].join("\n") + "\n";
    let without_running = |text: &str| {
        let line = text
            .lines()
            .last()
            .unwrap()
            .rsplit("\\r")
            .next()
            .unwrap()
            .to_owned();
        (
            text.lines().take(7).map(str::to_owned).collect::<Vec<_>>(),
            line,
        )
    };
    assert_eq!(without_running(&shown), without_running(&expected));
}

#[test]
fn an_open_progress_line_is_ended() {
    let now = std::time::Instant::now();
    let mut report = report(&words(&["-a", "--progress", "src", "dst"]));
    report.progress(1, 2, now).unwrap();
    report.info(b"note").unwrap();
    assert_eq!(
        printed(report),
        "\\r              1  50%    0.00kB/s    0:00:00  \nnote\n"
    );
}

/// Every `--stats` sample: the values are read from the plain digits of one sample, the others must follow.
#[test]
fn statistics() {
    let text = vector("stats.txt");
    let blocks = blocks(&text);
    let counts = |files, dirs, links, specials| TypeCounts {
        files,
        dirs,
        links,
        specials,
        devices: 0,
    };
    let fresh = Stats {
        entries: counts(4, 4, 1, 1),
        created: counts(4, 4, 1, 1),
        deleted: Some(TypeCounts::default()),
        transferred: 4,
        total_size: 1_234_587,
        transferred_size: 1_234_582,
        literal: 1_234_582,
        list_generation: Duration::from_millis(1),
        sent: 1_235_266,
        received: 117,
        ..Stats::default()
    };
    let again = Stats {
        created: TypeCounts::default(),
        transferred: 0,
        transferred_size: 0,
        literal: 0,
        sent: 198,
        received: 15,
        ..fresh
    };
    let mut checked = 0;
    let mut check = |command: &str, stats: Stats| {
        let block = sample(&blocks, command);
        let mut report = report(&block.words);
        report.summary(&stats).unwrap();
        let start = block
            .stdout
            .iter()
            .position(|line| line.is_empty())
            .unwrap();
        assert_eq!(
            printed(report),
            block.stdout[start..].join("\n") + "\n",
            "{command}"
        );
        checked += 1;
    };
    let deleted = TypeCounts {
        files: 1,
        dirs: 1,
        links: 1,
        ..TypeCounts::default()
    };
    check(
        "-a --stats --delete src/ dst/",
        Stats {
            created: counts(3, 3, 1, 1),
            deleted: Some(deleted),
            received: 144,
            ..fresh
        },
    );
    check("-a --stats src/ dst/", fresh);
    check("-av --stats src/ dst/", again);
    check(
        "-avn --stats src/ dst9/",
        Stats {
            literal: 0,
            sent: 232,
            received: 76,
            ..fresh
        },
    );
    check("-a --stats --no-whole-file src/ dst/", fresh);
    check("-a --stats --no-h src/ dst/", fresh);
    check("-a --stats -h src/ dst/", fresh);
    check("-a --stats -hh src/ dst/", fresh);
    check(
        "-avh src/ dst/",
        Stats {
            received: 143,
            ..fresh
        },
    );
    check(
        "-av --no-h src/ dst/",
        Stats {
            received: 143,
            ..fresh
        },
    );
    check(
        "-a --stats --protocol=30 src/ dst/",
        Stats {
            deleted: None,
            sent: 1_235_267,
            received: 116,
            ..fresh
        },
    );
    check(
        "-a --stats src/ rsync://host/mod/",
        Stats {
            created: counts(4, 3, 1, 1),
            sent: 1_235_267,
            received: 114,
            ..fresh
        },
    );
    check(
        "-a --stats rsync://host/mod/ dst/",
        Stats {
            total_size: 1_234_602,
            list_size: 180,
            sent: 125,
            received: 1_235_262,
            ..fresh
        },
    );
    assert_eq!(checked, 13);
}

/// The listings, in each number style.
#[test]
fn listings() {
    let text = vector("list.txt");
    let blocks = blocks(&text);
    let tree: &[(&str, u32, u64, i64)] = &[
        (".", 0o040_755, 4096, T0),
        ("a.txt", 0o100_640, 6, T0),
        ("b.bin", 0o100_644, 1_234_567, T0),
        ("fifo", 0o010_644, 0, T0),
        ("future", 0o100_644, 0, 5_000_000_000),
        ("link", 0o120_777, 5, T0),
        ("null", 0o020_644, 259, T0),
        ("old", 0o100_644, 0, -1),
        ("sgid", 0o102_644, 0, T0),
        ("suid", 0o104_755, 0, T0),
        ("d", 0o040_755, 4096, T0),
        ("empty", 0o041_777, 4096, T0),
    ];
    for command in ["src/", "-l src/", "--no-h src/", "-lh src/", "-hh src/"] {
        let block = sample(&blocks, command);
        let mut report = report(&block.words);
        for (name, mode, size, mtime) in tree {
            let target = (*name == "link").then_some(&b"a.txt"[..]);
            report
                .listed(&Entry {
                    mtime: *mtime,
                    link_target: target,
                    ..entry(name, *mode, *size, 0)
                })
                .unwrap();
        }
        assert_eq!(printed(report), block.stdout.join("\n") + "\n", "{command}");
    }
    let mut report = report(&words(&["src"]));
    report.listed(&entry("nope", 0, 0, 0)).unwrap();
    assert_eq!(
        printed(report),
        "*missing                                      nope\n"
    );
}

/// The `--out-format` samples.
#[test]
fn formats() {
    let text = vector("format.txt");
    let blocks = blocks(&text);
    let md5 = [
        ("a.txt", "9f9f90dbe3e5ee1218c86b8839db1995"),
        ("big", "b5b79a8efe770de02cb42403ab662d09"),
        ("d/c", "9df62e693988eb4e1e1444ece0578579"),
    ];
    let xxh = [
        ("a.txt", "890c8a5c5ad2a8a2edba9e94785346a3"),
        ("big", "e271ba30700744f69f9f0d8a593a2088"),
        ("d/c", "be20ca004cc2993a396345e0d52df013"),
    ];
    let tree: &[(&str, &str, u32, u64, u16, u64)] = &[
        (".", "src/.", 0o040_755, 4096, 0x6000, 0),
        ("a.txt", "src/a.txt", 0o100_640, 6, 0xa000, 49),
        ("big", "src/big", 0o100_644, 123_456, 0xa000, 123_511),
        ("l", "src/l", 0o120_777, 5, 0x6002, 0),
        ("d", "src/d", 0o040_755, 4096, 0x6000, 0),
        ("d/c", "src/d/c", 0o100_644, 3, 0xa000, 46),
    ];
    let mut checked = 0;
    for block in &blocks {
        let Some(format) = block
            .words
            .iter()
            .find_map(|word| word.strip_prefix(b"--out-format="))
        else {
            continue;
        };
        if block.words[0] != b"-a" && block.words[0] != b"-ac"
            || !block.command.ends_with("src/ dst/")
            || block.stdout.len() < 6
        {
            continue;
        }
        // The quoting of the sample with widths is not a shell's.
        let format = if format.starts_with(b"%10l") {
            &b"%10l|%-10l|%'l|%''10l|%'''l %5n|%-8n|%20n"[..]
        } else {
            format
        };
        if format.is_empty() {
            continue;
        }
        let format = Format::parse(format);
        let mut lines = Vec::new();
        for (name, long_name, mode, size, flags, moved) in tree {
            let names = if block.command.contains("--cc=md5") {
                &md5
            } else {
                &xxh
            };
            let entry = Entry {
                long_name: Some(long_name.as_bytes()),
                link_target: (*name == "l").then_some(b"a.txt"),
                moved: *moved,
                sums: if *moved > 0 { 16 } else { 0 },
                checksum: names.iter().find(|(of, _)| of == name).map(|(_, sum)| *sum),
                checksum_width: 32,
                ..entry(name, *mode, *size, *flags)
            };
            let zone = TimeZone::UTC;
            let context = Context {
                local: true,
                times: true,
                owner: true,
                group: true,
                zone: &zone,
            };
            lines.push(String::from_utf8(format.line(&entry, context)).unwrap());
        }
        let expected: Vec<&str> = block
            .stdout
            .iter()
            .copied()
            .filter(|line| !line.starts_with("created") && !line.starts_with("del"))
            .collect();
        assert_eq!(lines, expected, "{}", block.command);
        checked += 1;
    }
    assert_eq!(checked, 25);
}

/// Deletions follow the format only if it has `%i` or `%o`; `%b` and its like make a line late.
#[test]
fn formats_in_a_run() {
    let deletion = |words_of: &[&str]| {
        let mut report = report(&words(words_of));
        report.deleted(b"old", false, true).unwrap();
        printed(report)
    };
    assert_eq!(
        deletion(&["-a", "--delete", "--out-format=%o %n", "s", "d"]),
        "del. old\n"
    );
    assert_eq!(
        deletion(&["-a", "--delete", "--out-format=%n", "s", "d"]),
        "deleting old\n"
    );
    assert_eq!(
        deletion(&["-a", "--delete", "--out-format=", "s", "d"]),
        "deleting old\n"
    );
    assert_eq!(deletion(&["-a", "--delete", "s", "d"]), "");

    let late = |words_of: &[&str]| {
        let mut report = report(&words(words_of));
        let item = entry("f", 0o100_644, 3, 0xa000);
        report.item(&item).unwrap();
        report.info(b"--").unwrap();
        report.transferred(&Entry { moved: 46, ..item }).unwrap();
        printed(report)
    };
    assert_eq!(late(&["-a", "--out-format=%n %b", "s", "d"]), "--\nf 46\n");
    assert_eq!(
        late(&["-a", "--progress", "--out-format=%n %b", "s", "d"]),
        "f\n--\nf 46\n"
    );
    assert_eq!(late(&["-a", "--out-format=%n %l", "s", "d"]), "f 3\n--\n");
}
