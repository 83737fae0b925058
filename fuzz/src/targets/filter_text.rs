//! Filter rules in text form: options, merge files, what is sent to the peer, and the answers about names
//! (07-filters 2, 3, 7, 8, 11).

use std::cell::Cell;
use std::io;

use rsync_engine::filter::{Chain, CvsSources, Place, Role, RuleList, RuleSettings, SentRules, Verdict};
use rsync_engine::options::FilterText;
use rsync_proto::Protocol;

use crate::header::Header;
use crate::vectors;

/// Header: settings. Then, divided by NUL: rules, each behind a byte that tells the option; a NUL more; the files
/// that rules name, by turns.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let choices = header.byte();
    let parts: Vec<&[u8]> = header.rest().split(|&byte| byte == 0).collect();
    let rules = parts.iter().take_while(|part| !part.is_empty());
    let texts: Vec<FilterText> = rules.map(|part| option(part)).collect();
    let files = parts.get(texts.len() + 1..).unwrap_or_default();
    let settings = RuleSettings {
        delete_excluded: choices & 1 != 0,
        from0: choices & 2 != 0,
        cvs: CvsSources::default(),
    };

    // Files that name files: a few dozen are enough to show what there is to show.
    let opened = Cell::new(0_usize);
    let open = |name: &[u8]| {
        opened.set(opened.get() + 1);
        let turn = name.len().checked_rem(files.len()).filter(|_| opened.get() <= 64);
        turn.map(|turn| files[turn].to_vec())
    };
    let mut read = |name: &[u8]| open(name).ok_or_else(|| io::ErrorKind::NotFound.into());
    let list = match RuleList::from_options(&texts, settings.clone(), &mut read) {
        Ok(list) => list,
        Err(error) => return one_line(&error.to_string()),
    };
    for role in [Role::Sender, Role::Receiver] {
        for protocol in Protocol::ALL {
            sent_and_understood(&list, &settings, protocol, role);
        }
        asked(Chain::new(&list, role), &open);
    }
    let sent = SentRules::new(&list);
    for name in NAMES {
        let _ = sent.reject(name.as_bytes(), false);
    }
}

fn option(part: &[u8]) -> FilterText {
    let (kind, text) = part.split_first().map_or((0, part), |(&kind, text)| (kind, text));
    let text = text.to_vec();
    match kind {
        b'-' => FilterText::Exclude(text),
        b'+' => FilterText::Include(text),
        b'<' => FilterText::ExcludeFrom(text),
        b'>' => FilterText::IncludeFrom(text),
        _ => FilterText::Rule(text),
    }
}

fn one_line(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{text:?}");
}

/// A peer understands every rule that we send, and would pass it on in the same words.
fn sent_and_understood(list: &RuleList, settings: &RuleSettings, protocol: Protocol, role: Role) {
    let Ok(texts) = list.wire_rules(protocol, role) else {
        return;
    };
    for text in &texts {
        assert!(!text.contains(&0), "{}", text.escape_ascii());
    }
    let fits = |text: &&Vec<u8>| text.len() <= rsync_engine::filter::MAX_RULE;
    let fitting: Vec<&Vec<u8>> = texts.iter().filter(fits).collect();
    let received = RuleList::from_wire(&fitting, settings.clone());
    let received = received.unwrap_or_else(|error| panic!("{error}"));
    let peer = if role == Role::Sender { Role::Receiver } else { Role::Sender };
    asked(Chain::new(&received, peer), &|_| None);
}

/// The same question gets the same answer, also after the directories were left and entered again.
fn asked(mut chain: Chain, open: &dyn Fn(&[u8]) -> Option<Vec<u8>>) {
    chain.set_root(b"/home/me");
    let mut answers = Vec::new();
    for round in 0..2 {
        for directory in ["", "a", "a/b", "foo"] {
            // Only the first round reads: a file that changes may change the answers.
            let mut read = |_: Place<'_>, name: &[u8]| Ok(open(name).filter(|_| round == 0));
            if chain.enter_dir(directory.as_bytes(), &mut read).is_err() {
                return;
            }
            if round == 1 && chain.has_dir_merge() {
                continue;
            }
            for name in NAMES {
                let path = if directory.is_empty() { (*name).to_owned() } else { format!("{directory}/{name}") };
                let path = path.as_bytes();
                for is_dir in [false, true] {
                    let verdict = chain.check(path, is_dir);
                    let decides = chain.deciding_rule(path, is_dir).is_some();
                    assert_eq!(decides, verdict != Verdict::Unmatched);
                    let removing = chain.check_removing(path, is_dir);
                    answers.push((verdict, removing, chain.excludes_path(path, is_dir)));
                }
            }
        }
        chain.leave_all();
    }
    if !chain.has_dir_merge() {
        let (first, second) = answers.split_at(answers.len() / 2);
        assert_eq!(first, second);
    }
    chain.take_notices().iter().for_each(|notice| one_line(&notice.to_string()));
}

const NAMES: [&str; 10] = ["a", "b", "foo", "x.o", "x.c", ".rules", "core", "CVS", "s p", "caf\u{e9}"];

/// The rules of the captured trees, with their files, and those of the wire captures.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let trees = vectors::json("filters/trees.json");
    for case in trees["cases"].as_array().into_iter().flatten() {
        let mut seed = vec![0];
        for word in vectors::strings(&case["args"]) {
            let (kind, text) = match word.split_once('=') {
                Some(("--exclude", text)) => (b'-', text),
                Some(("--include", text)) => (b'+', text),
                Some(("--exclude-from", text)) => (b'<', text),
                Some(("--include-from", text)) => (b'>', text),
                _ => match word.strip_prefix("-f") {
                    Some(text) => (b'f', text),
                    None => continue,
                },
            };
            seed.push(kind);
            seed.extend_from_slice(text.as_bytes());
            seed.push(0);
        }
        seed.push(0);
        let entries = ["files", "src"].map(|list| case[list].as_array().cloned().unwrap_or_default());
        for entry in entries.iter().flatten() {
            if let Some(content) = entry["c"].as_str() {
                seed.extend_from_slice(content.as_bytes());
                seed.push(0);
            }
        }
        seeds.push(seed);
    }
    let captures = vectors::text("filters/wire.txt");
    for block in captures.split("\nname: ") {
        let rules = block.lines().filter_map(|line| line.strip_prefix("rule: "));
        let rules: Vec<String> = rules.map(|rule| format!("f{rule}\0")).collect();
        seeds.push([&[1], rules.concat().as_bytes()].concat());
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
