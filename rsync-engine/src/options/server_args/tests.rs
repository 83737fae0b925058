//! Golden: what rsync 3.5.0 sent for 512 + 21 command lines; property: reading back what was written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::options::{ChecksumChoice, FilterText};

fn bytes(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn lines(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/../testkit/vectors/cli/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The client's side of the captures, as far as the server can see it. `Err` names what is out of scope.
fn client_options(words: &[String]) -> Result<(TransferOptions, Vec<Vec<u8>>), String> {
    let mut options = TransferOptions::default();
    let list: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
    let mut parsed = Words::new(&list);
    let mut operands = Vec::new();
    while let Some(word) = parsed.next_word().map_err(|error| error.to_string())? {
        match word {
            Word::Operand(path) => operands.push(path.to_vec()),
            // Options of the client alone, which the server must not see.
            Word::Short(b'h' | b'8' | b'4' | b'6')
            | Word::Long(b"no-h" | b"no-motd" | b"trust-sender" | b"blocking-io") => {}
            Word::Long(b"port" | b"outbuf" | b"contimeout" | b"rsync-path") => {
                parsed.value().unwrap();
            }
            Word::Long(b"out-format") => {
                let format = parsed.value().unwrap();
                options.log_format = match format {
                    _ if contains(format, b"%i") => Some(b"%i".to_vec()),
                    _ if contains(format, b"%o") => Some(b"%o".to_vec()),
                    _ => (options.verbose == 0).then(|| b"X".to_vec()),
                };
            }
            word => match grammar::apply(&mut options, word, &mut parsed) {
                Ok(true) => {}
                Ok(false) => return Err(text(parsed.current())),
                Err(OptionError::Unsupported { name }) => return Err(name),
                Err(error) => panic!("{words:?}: {error}"),
            },
        }
    }
    if options.list_only.is_on() && !options.recursive {
        options.dirs = true;
    }
    Ok((options, operands))
}

#[test]
fn captured_server_args() {
    let mut reproduced = 0;
    let mut skipped = BTreeMap::<String, usize>::new();
    for line in lines("server-args.jsonl") {
        let words = strings(&line["options"]);
        if line.get("paths").is_some() {
            // These rows are about quoting for a remote shell.
            *skipped
                .entry("(remote shell quoting)".to_owned())
                .or_default() += 1;
            continue;
        }
        // A second -H has no meaning of its own, protocol 28 is below ours, and --no-msgs2stderr asks for
        // what a daemon connection does anyway.
        if let Some(word) = words
            .iter()
            .find(|word| matches!(word.as_str(), "-HH" | "--protocol=28" | "--no-msgs2stderr"))
        {
            *skipped.entry(word.clone()).or_default() += 1;
            continue;
        }
        let (options, _) = match client_options(&words) {
            Ok(parsed) => parsed,
            Err(name) => {
                *skipped.entry(name).or_default() += 1;
                continue;
            }
        };
        let direction = if line["direction"] == "push" {
            Direction::Push
        } else {
            Direction::Pull
        };
        let args = to_server_args(
            &options,
            direction,
            options.protocol.unwrap_or(32),
            &bytes(&["path/"]),
        );
        let shown: Vec<String> = args.iter().map(|arg| text(arg)).collect();
        assert_eq!(
            shown,
            strings(&line["argv"])[1..],
            "{words:?} {direction:?}"
        );
        let read = from_server_args(&args);
        let removes = direction == Direction::Pull && options.remove_source_files;
        assert_eq!(read.is_err(), removes, "{args:?}: {read:?}");
        reproduced += 1;
    }
    assert_eq!(
        (reproduced, skipped.values().sum::<usize>()),
        (224, 288),
        "out of scope: {skipped:?}"
    );
}

#[test]
fn captured_daemon_args() {
    let mut reproduced = 0;
    let mut skipped = Vec::new();
    for line in lines("daemon-args.jsonl") {
        let command = strings(&line["command"]);
        let (mut options, operands) = match client_options(&command[1..]) {
            Ok(parsed) => parsed,
            Err(name) => {
                skipped.push(name);
                continue;
            }
        };
        let module = line["module_line"].as_str().unwrap().trim_end();
        let remote = |operand: &[u8]| {
            let operand = text(operand);
            match operand.strip_prefix("rsync://") {
                Some(rest) => rest.split_once('/').map(|(_, path)| path.to_owned()),
                None => operand.split_once("::").map(|(_, path)| path.to_owned()),
            }
        };
        let (last, sources) = operands.split_last().unwrap();
        let (direction, paths) = match remote(last) {
            Some(path) if !sources.is_empty() => (Direction::Push, vec![path]),
            Some(path) => {
                options.list_only = ListOnly::Implied;
                options.dirs = true;
                (Direction::Pull, vec![path])
            }
            None => (
                Direction::Pull,
                sources
                    .iter()
                    .map(|source| remote(source).unwrap())
                    .collect(),
            ),
        };
        let paths: Vec<Vec<u8>> = paths
            .iter()
            .map(|path| daemon_path_arg(module.as_bytes(), path.as_bytes()))
            .collect();
        let args = to_server_args(&options, direction, options.protocol.unwrap_or(32), &paths);
        let shown: Vec<String> = args.iter().map(|arg| text(arg)).collect();
        assert_eq!(shown, strings(&line["args"]), "{command:?}");
        reproduced += 1;
    }
    assert_eq!(
        (reproduced, skipped.len()),
        (14, 7),
        "out of scope: {skipped:?}"
    );
}

/// Vectors as older and newer stock clients send them (01-session 7.3 to 7.10).
#[test]
fn accepted_forms() {
    let request = |words: &[&str]| from_server_args(&bytes(words)).unwrap();

    let pull = request(&[
        "--server",
        "--sender",
        "-vlogDtpre.iLsf",
        ".",
        "mod/a",
        "-b",
    ]);
    assert!(pull.sender && pull.has_capability(b'f') && !pull.has_capability(b'x'));
    assert_eq!(pull.paths, bytes(&["mod/a", "-b"]));
    assert_eq!(
        pull.options,
        TransferOptions {
            verbose: 1,
            ..TransferOptions::archive()
        }
    );

    let old = request(&[
        "--server",
        "-logDtpr",
        "--timeout",
        "60",
        "--max-size",
        "1.5k",
        "-B",
        "700",
        ".",
        "mod/",
    ]);
    assert_eq!(old.capabilities, None);
    assert_eq!(
        (old.options.max_size, old.options.block_size),
        (Some(1536), Some(700))
    );

    let separate = request(&[
        "-r", "--server", "-e", "30.1iLs", "--no-r", "-d", "--del", "-@-1", ".", "m/",
    ]);
    assert_eq!(separate.capabilities.as_deref(), Some(&b"1iLs"[..]));
    assert_eq!(
        (separate.options.delete, separate.options.modify_window),
        (Delete::During, Some(-1))
    );

    let none = request(&[
        "--server",
        "-e",
        "ssh",
        "--no-msgs2stderr",
        "--log-format=%i%I",
        ".",
        "m/",
    ]);
    assert_eq!(none.capabilities, None);
    assert_eq!(
        (none.options.itemize, none.options.log_format.as_deref()),
        (2, Some(&b"%i%I"[..]))
    );

    let mut secluded = request(&["--server", "-sltre.iLsfxCIvu"]);
    assert!(secluded.secluded && secluded.paths.is_empty());
    secluded
        .add_secluded(&bytes(&["rsync", "--checksum-seed=12345", ".", "mod/a b/"]))
        .unwrap();
    assert_eq!(secluded.paths, bytes(&["mod/a b/"]));
    assert!(secluded.options.links && secluded.options.checksum_seed == Some(12345));
}

#[test]
fn refusals() {
    let error = |words: &[&str]| from_server_args(&bytes(words)).unwrap_err().to_string();
    let cases: &[(&[&str], &str)] = &[
        (
            &["--server", "-ze.iLs", ".", "m/"],
            "--compress: not supported yet",
        ),
        (&["--server", "-A", ".", "m/"], "--acls: not supported yet"),
        (
            &[
                "--server",
                "--sender",
                "-r",
                "--remove-source-files",
                ".",
                "m/",
            ],
            "--remove-source-files: not supported yet",
        ),
        (
            &["--server", "-r", "--inplace", ".", "m/"],
            "--inplace: not supported yet",
        ),
        (
            &["--server", "--backup-dir", "x", ".", "m/"],
            "--backup-dir: not supported yet",
        ),
        (
            &["--server", "--compress-choice=zstd", ".", "m/"],
            "--compress-choice: not supported yet",
        ),
        (
            &["--server", "--port=3", ".", "m/"],
            "--port: not supported yet",
        ),
        (
            &["--server", "--exclude-from=/etc/shadow", ".", "m/"],
            "--filter: not supported yet",
        ),
        (
            &["--server", "--use-qsort", ".", "m/"],
            "--use-qsort: unknown option",
        ),
        (&["--server", "-rYv", ".", "m/"], "-rYv: unknown option"),
        (
            &["--server", "--recurs", ".", "m/"],
            "--recurs: unknown option",
        ),
        (
            &["--server", "--no-archive", ".", "m/"],
            "--no-archive: unknown option",
        ),
        (&["--server", "stray", ".", "m/"], "stray: unknown option"),
        (
            &["--server", "--config=x", ".", "m/"],
            "--config: not allowed from a client",
        ),
        (
            &["--server", "--log-file=x", ".", "m/"],
            "--log-file: not allowed from a client",
        ),
        (
            &["--server", "--timeout=x", ".", "m/"],
            "--timeout=x: invalid numeric value",
        ),
        (&["--server", "--timeout"], "--timeout: missing argument"),
        (
            &["--server", "--checksum-choice=md6", ".", "m/"],
            "unknown checksum name: md6",
        ),
        (
            &["--server", "--delete", ".", "m/"],
            "--delete does not work without --recursive (-r) or --dirs (-d).",
        ),
        (
            &[
                "--server",
                "-r",
                "--delete-before",
                "--delete-after",
                ".",
                "m/",
            ],
            "You may not combine multiple --delete-WHEN options.",
        ),
        (
            &["-r", ".", "m/"],
            "not a server argument vector: \"--server\" is missing",
        ),
        (
            &["--server", "-r"],
            "not a server argument vector: \".\" is missing",
        ),
    ];
    for (words, expected) in cases {
        assert_eq!(error(words), *expected, "{words:?}");
    }
}

prop_compose! {
    fn switches()(bits in any::<u64>(), v in 0u8..12, x in 0u8..3, itemize in 0u8..3) -> TransferOptions {
        let on = |bit: u32| bits >> bit & 1 == 1;
        TransferOptions {
            recursive: on(0), dirs: on(1), relative: on(2), implied_dirs: on(3), links: on(4), perms: on(5),
            executability: on(6), times: on(7), omit_dir_times: on(8), omit_link_times: on(9), owner: on(10),
            group: on(11), devices: on(12), specials: on(13), hard_links: on(14), numeric_ids: on(15),
            update: on(16), existing: on(17), ignore_existing: on(18), ignore_times: on(19), size_only: on(20),
            checksum: on(21), partial: on(22), delete_missing_args: on(23), ignore_missing_args: on(24),
            force: on(25), ignore_errors: on(26), dry_run: on(27), inc_recursive: on(28),
            remove_source_files: on(29), stats: on(30), progress: on(31), quiet: on(32),
            list_only: if on(33) { ListOnly::Requested } else { ListOnly::Off },
            one_file_system: x, verbose: v, itemize,
            filter_texts: if on(34) { vec![FilterText::Exclude(b"*.o".to_vec())] } else { Vec::new() },
            ..TransferOptions::default()
        }
    }
}

prop_compose! {
    fn any_options()(
        switches in switches(),
        delete in prop::sample::select(vec![
            Delete::Off, Delete::Default, Delete::Before, Delete::During, Delete::Delay, Delete::After,
        ]),
        delete_excluded in any::<bool>(),
        numbers in (any::<Option<i32>>(), any::<Option<i32>>(), prop::option::of(0u64..1 << 31), any::<Option<bool>>()),
        sizes in (prop::option::of(0u64..1 << 62), prop::option::of(0u64..1 << 62), prop::option::of(1u32..=131_072)),
        timeout in prop::option::of(1u64..100_000),
        bwlimit in prop::option::of(1u64..1 << 31),
        sums in (0usize..9, 0usize..9),
    ) -> TransferOptions {
        let names = ChecksumChoice::NAMES;
        let choice = format!("{},{}", names[sums.0], names[sums.1]);
        TransferOptions {
            delete,
            delete_excluded: delete_excluded && delete != Delete::Off,
            dirs: switches.dirs || (!switches.recursive && delete != Delete::Off),
            modify_window: numbers.0,
            checksum_seed: numbers.1,
            max_delete: numbers.2,
            whole_file: numbers.3,
            max_size: sizes.0,
            min_size: sizes.1,
            block_size: sizes.2,
            timeout: timeout.map(std::time::Duration::from_secs),
            bwlimit: bwlimit.map(|kib| kib * 1024),
            checksum_choice: ChecksumChoice::parse(choice.as_bytes()).unwrap(),
            ..switches
        }
    }
}

proptest! {
    /// What the server understands is what the client meant: telling it again gives the same words.
    #[test]
    fn written_arguments_read_back(
        options in any_options(),
        pull in any::<bool>(),
        protocol in 29u32..=32,
        paths in prop::collection::vec(prop::collection::vec(1u8..=255, 1..12), 1..3),
    ) {
        let direction = if pull { Direction::Pull } else { Direction::Push };
        // A server that sends does not remove its files.
        let mut options = options;
        options.remove_source_files &= !pull;
        let args = to_server_args(&options, direction, protocol, &paths);
        let request = from_server_args(&args).unwrap();
        prop_assert_eq!(request.sender, pull);
        prop_assert_eq!(&request.paths, &paths);
        prop_assert_eq!(request.capabilities.is_some(), protocol >= 30);
        prop_assert_eq!(request.options.recursive, options.recursive);
        prop_assert_eq!(request.options.list_only, options.list_only);
        if !pull {
            prop_assert_eq!(request.options.delete, options.delete);
            prop_assert_eq!(request.options.max_delete, options.max_delete);
            prop_assert_eq!(request.options.modify_window, options.modify_window);
        }
        let mut again = request.options.clone();
        again.inc_recursive = options.inc_recursive;
        if pull {
            // The client deletes; only its capability string tells.
            again.delete = options.delete;
        }
        prop_assert_eq!(to_server_args(&again, direction, protocol, &paths), args);
    }

    /// Nothing a client sends makes the parser panic.
    #[test]
    fn arbitrary_arguments(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..8)) {
        let mut vector = vec![b"--server".to_vec()];
        vector.extend(args.clone());
        if let Ok(mut request) = from_server_args(&vector) {
            let _ = request.add_secluded(&args);
        }
    }
}
