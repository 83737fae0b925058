//! The names of users and groups (02-file-list 7.1).

use rsync_proto::DecodeError;
use rsync_proto::flist::IdList;
use rsync_proto::wire::Cursor;

use crate::header::Header;
use crate::incremental::any_split;
use crate::{lists, vectors};

/// Header: options of the list. Then an id list.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let options = lists::options(&mut header);
    let bytes = header.rest();
    let read = |list: &mut IdList, cursor: &mut Cursor<'_>| {
        while list.decode_next(&options, cursor)? {}
        Ok::<(), DecodeError>(())
    };
    let run = any_split(bytes, || {
        let (mut list, mut over) = (IdList::new(), false);
        move |cursor: &mut Cursor<'_>| {
            if over {
                return Ok(None);
            }
            read(&mut list, cursor)?;
            over = true;
            Ok(Some(list.clone()))
        }
    });
    let Some(list) = run.events.first() else {
        return;
    };
    let mut out = Vec::new();
    list.encode(&options, &mut out);
    let (mut again, mut cursor) = (IdList::new(), Cursor::new(&out));
    assert_eq!(read(&mut again, &mut cursor), Ok(()));
    assert_eq!(cursor.remaining(), 0);
    assert_eq!(&again, list);
    for (id, name) in list.iter() {
        assert_eq!(list.name(id), Some(name));
        assert!((1..=255).contains(&name.len()));
    }
}

/// Lists of every form; the captured ones are in the seeds of `flist`.
pub fn seeds() -> Vec<Vec<u8>> {
    let words = [["-og"], ["-ogr"]];
    let mut seeds = Vec::new();
    for protocol in rsync_proto::Protocol::ALL {
        for compat in [0, 0x180] {
            for words in &words {
                let options = lists::options_of(protocol, compat, 16, words);
                let mut list = IdList::new();
                for (id, name) in [(1, "daemon"), (1000, "u"), (65534, "nobody"), (0x8000_0000, "far"), (0, "root")] {
                    list.insert(id, name.as_bytes()).expect("new names");
                }
                let mut seed = lists::header_of(&options).to_vec();
                list.encode(&options, &mut seed);
                seeds.push(seed);
            }
        }
    }
    seeds.push(vectors::hex("0101000190000000"));
    seeds
}
