//! Indices of the file list (01-session 3.4).

use rsync_proto::ndx::{NdxReader, NdxWriter};
use rsync_proto::wire::Cursor;

use crate::header::Header;
use crate::incremental::any_split;
use crate::vectors;

/// Header: protocol. Then indices.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let run = any_split(header.rest(), || {
        let mut reader = NdxReader::new(protocol);
        move |cursor: &mut Cursor<'_>| reader.read(cursor).map(Some)
    });
    let (mut writer, mut out) = (NdxWriter::new(protocol), Vec::new());
    for &ndx in &run.events {
        assert!(ndx.as_entry().is_none() || ndx.as_sublist().is_none());
        writer.write(ndx, &mut out);
    }
    assert!(out.len() <= run.taken, "ours is the shortest form");
    let (mut reader, mut cursor) = (NdxReader::new(protocol), Cursor::new(&out));
    for &ndx in &run.events {
        assert_eq!(reader.read(&mut cursor), Ok(ndx));
    }
    assert_eq!(cursor.remaining(), 0);
}

/// The streams of the vectors.
pub fn seeds() -> Vec<Vec<u8>> {
    let table = vectors::text("session/encodings.tsv");
    let mut streams = std::collections::BTreeMap::<&str, Vec<u8>>::new();
    for line in table.lines().filter(|line| line.starts_with("ndx\t")) {
        let fields: Vec<&str> = line.split('\t').collect();
        let stream = streams.entry(fields[1]).or_insert_with(|| vec![if fields[1] == "protocol<30" { 0 } else { 2 }]);
        stream.extend(vectors::hex(fields[3]));
    }
    streams.into_values().collect()
}
