//! Names of `--files-from` on their way to the sender (01-session 11.2).

use rsync_proto::files_from::{put_end, put_name, read_name};
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, limits};

use crate::incremental::{Run, any_split, run as run_pieces};
use crate::recording;

/// A list of names.
pub fn run(data: &[u8]) {
    let decoded: Run<Vec<u8>> = any_split(data, stream);
    let mut out = Vec::new();
    for name in decoded.events.iter().filter(|name| !name.is_empty()) {
        assert!(name.len() <= limits::PATH);
        put_name(&mut out, name).expect("a name that was read");
    }
    if decoded.events.last().is_some_and(Vec::is_empty) {
        put_end(&mut out);
    }
    assert_eq!(out, data[..decoded.taken]);
    assert_eq!(run_pieces(&[&out], stream()).events, decoded.events);
}

/// Gives the names, and an empty one for the end.
fn stream() -> impl FnMut(&mut Cursor<'_>) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut over = false;
    move |cursor| {
        if over {
            return Ok(None);
        }
        let name = read_name(cursor)?;
        over = name.is_none();
        Ok(Some(name.unwrap_or_default().to_vec()))
    }
}

/// The lists of the recordings.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = recording::seeds(|recording| ([], &recording.names));
    seeds.push(b"a\0b/c\0../d\0/e\0\0".to_vec());
    seeds.push([&[b'x'; 4095][..], b"\0\0"].concat());
    seeds.push(vec![b'y'; 4096]);
    seeds
}
