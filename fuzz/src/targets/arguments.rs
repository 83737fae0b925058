//! The framing of the argument vector (01-session 7.1, 7.9).

use rsync_proto::args::{ArgumentsReader, put_arguments, second_pass_follows};
use rsync_proto::limits;
use rsync_proto::wire::Cursor;

use crate::header::{Header, protocol_byte};
use crate::incremental::any_split;
use crate::recording;

/// Header: protocol. Then one pass of arguments, and the second one if the first announces it.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let protocol = header.protocol();
    let wire = header.rest();
    let run = any_split(wire, || {
        let mut reader = Some(ArgumentsReader::new(protocol));
        let mut first = true;
        move |cursor: &mut Cursor<'_>| {
            let Some(pass) = &mut reader else {
                return Ok(None);
            };
            let arguments = pass.read(cursor)?;
            reader = (first && second_pass_follows(&arguments)).then(ArgumentsReader::second_pass);
            first = false;
            Ok(Some(arguments))
        }
    });
    for (pass, arguments) in run.events.iter().enumerate() {
        assert!(arguments.len() <= limits::ARGUMENTS);
        assert!(arguments.iter().all(|argument| (1..=limits::ARGUMENT_LEN).contains(&argument.len())));
        let mut out = Vec::new();
        if pass == 0 && put_arguments(&mut out, protocol, arguments).is_ok() {
            let again = ArgumentsReader::new(protocol).read(&mut Cursor::new(&out));
            assert_eq!(again.as_ref(), Ok(arguments));
        }
    }
}

/// The vectors of the recordings.
pub fn seeds() -> Vec<Vec<u8>> {
    recording::seeds(|recording| ([protocol_byte(recording.protocol)], &recording.arguments_wire))
}
