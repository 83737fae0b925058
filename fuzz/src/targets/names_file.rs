//! The file of `--files-from`: its names, and what is forwarded of them (07-filters 10, 02-file-list 3).

use rsync_engine::filter::{clamp_name, files_from_names, forwarded_files_from};
use rsync_proto::files_from::read_name;
use rsync_proto::limits;
use rsync_proto::wire::Cursor;

use crate::header::Header;
use crate::vectors;

/// Header: `--from0`, comments. Then a file.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let choices = header.byte();
    let (from0, comments) = (choices & 1 != 0, choices & 2 != 0);
    let file = header.rest();
    for name in files_from_names(file, from0, comments) {
        assert!(!name.is_empty());
        stays_inside(name);
    }
    let names: Vec<&[u8]> = files_from_names(file, from0, false).collect();
    let forwarded = forwarded_files_from(file, from0);
    if names.iter().any(|name| name.len() > limits::PATH || name.contains(&0)) {
        return;
    }
    let mut cursor = Cursor::new(&forwarded);
    for name in names {
        assert_eq!(read_name(&mut cursor), Ok(Some(name)));
    }
    assert_eq!(read_name(&mut cursor), Ok(None));
    assert_eq!(cursor.remaining(), 0);
}

/// A name as a sender takes it leads nowhere else, and is taken as it is a second time.
fn stays_inside(name: &[u8]) {
    let clamped = clamp_name(name);
    assert!(!clamped.is_empty() && !clamped.starts_with(b"/"));
    assert!(clamped.split(|&byte| byte == b'/').all(|part| part != b".."));
    assert!(clamped.len() <= name.len() + 1);
    assert_eq!(clamp_name(&clamped), clamped);
}

/// Lists of the captured trees, and names of every kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        b"\x00a\nb/c\r\n# no comment\n;\n\n../../etc/passwd\n/abs/./x/\nd/../e\n".to_vec(),
        b"\x02# comment\n; too\na\n".to_vec(),
        b"\x01a\0b\nc\0./..\0x/./../y/\0".to_vec(),
        b"\x03#a\0b".to_vec(),
    ];
    let trees = vectors::json("filters/trees.json");
    for case in trees["cases"].as_array().into_iter().flatten() {
        for file in case["files"].as_array().into_iter().flatten() {
            seeds.push([b"\x00", file["c"].as_str().unwrap_or_default().as_bytes()].concat());
        }
    }
    seeds.sort();
    seeds.dedup();
    seeds
}
