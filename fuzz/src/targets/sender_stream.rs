//! What a sender sends: file lists, then indices, item headers, sum heads, tokens and sums (03-transfer 1, 2, 5).

use rsync_proto::DecodeError;
use rsync_proto::flist::EntryOptions;
use rsync_proto::item::{ItemFlags, ItemHeader};
use rsync_proto::ndx::{Ndx, NdxReader, NdxWriter};
use rsync_proto::stats::{DelStats, Stats};
use rsync_proto::sums::SumHead;
use rsync_proto::token::{Token, put_end, put_literal_head, put_match};
use rsync_proto::setup::Compression;
use rsync_proto::wire::Cursor;

use crate::header::Header;
use crate::incremental::any_split;
use crate::lists::{self, ListEvent, Lists};
use crate::recording;

/// Header: options of the list, then length of the whole-file sum, whether it is a dry run, whether a server sends.
/// Then a sender's stream.
pub fn run(data: &[u8]) {
    let mut header = Header::new(data);
    let options = lists::options(&mut header);
    let choices = header.byte();
    let run = any_split(header.rest(), || {
        let mut receiver = Receiver::new(options.clone(), choices);
        move |cursor: &mut Cursor<'_>| receiver.step(cursor)
    });
    let mut writer = NdxWriter::new(options.protocol);
    let mut reader = NdxReader::new(options.protocol);
    let mut out = Vec::new();
    for event in &run.events {
        out.clear();
        match event {
            Event::Ndx(ndx) => {
                writer.write(*ndx, &mut out);
                assert_eq!(reader.read(&mut Cursor::new(&out)), Ok(*ndx));
            }
            Event::Token(token) => {
                match *token {
                    Token::End => put_end(&mut out),
                    Token::Literal(len) => put_literal_head(&mut out, len),
                    Token::Match(block) => put_match(&mut out, block),
                }
                assert_eq!(Token::decode(&mut Cursor::new(&out)), Ok(*token));
            }
            _ => {}
        }
    }
}

#[derive(Debug, PartialEq)]
enum Event {
    List(ListEvent),
    Ndx(Ndx),
    DelStats(DelStats),
    Item(ItemFlags, Option<u8>, Option<Vec<u8>>),
    Head(SumHead),
    Token(Token),
    Data(Vec<u8>),
    Sum(Vec<u8>),
    Stats(Stats),
}

#[derive(Clone, Copy)]
enum State {
    List,
    Ndx,
    DelStats,
    Item,
    Head,
    Tokens,
    Literal(usize),
    Sum,
    Stats,
}

/// A receiving side that asks for nothing and takes everything.
struct Receiver {
    options: EntryOptions,
    lists: Lists,
    reader: NdxReader,
    state: State,
    sum_len: usize,
    dry_run: bool,
    from_server: bool,
    /// Phases that ended.
    done: u32,
}

impl Receiver {
    fn new(options: EntryOptions, choices: u8) -> Self {
        Self {
            reader: NdxReader::new(options.protocol),
            lists: Lists::new(options.clone()),
            options,
            state: State::List,
            sum_len: [16, 8, 20, 1][usize::from(choices & 3)],
            dry_run: choices & 4 != 0,
            from_server: choices & 8 != 0,
            done: 0,
        }
    }

    fn step(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Event>, DecodeError> {
        if let State::List = self.state {
            if let Some(event) = self.lists.decode(cursor)? {
                return Ok(Some(Event::List(event)));
            }
            self.state = State::Ndx;
        }
        let (event, next) = match self.state {
            State::List => return Ok(None),
            State::Ndx => {
                let ndx = self.reader.read(cursor)?;
                let Some(next) = self.after(ndx) else {
                    return Ok(None);
                };
                (Event::Ndx(ndx), next)
            }
            State::DelStats => (Event::DelStats(DelStats::decode(cursor)?), State::Ndx),
            State::Item => {
                let item = ItemHeader::decode(cursor)?;
                let transfer = item.flags.contains(ItemFlags::TRANSFER) && !self.dry_run;
                let event = Event::Item(item.flags, item.basis_type, item.xname.map(<[u8]>::to_vec));
                (event, if transfer { State::Head } else { State::Ndx })
            }
            State::Head => (Event::Head(SumHead::decode(cursor, self.options.protocol)?), State::Tokens),
            State::Tokens => {
                let token = Token::decode(cursor)?;
                let next = match token {
                    Token::End => State::Sum,
                    Token::Literal(len) => State::Literal(len as usize),
                    Token::Match(_) => State::Tokens,
                };
                (Event::Token(token), next)
            }
            State::Literal(len) => (Event::Data(cursor.take(len)?.to_vec()), State::Tokens),
            State::Sum => (Event::Sum(cursor.take(self.sum_len)?.to_vec()), State::Ndx),
            State::Stats => (Event::Stats(Stats::decode(cursor, self.options.protocol)?), State::Ndx),
        };
        self.state = next;
        Ok(Some(event))
    }

    /// What follows an index; nothing that we understand for one that does not fit.
    fn after(&mut self, ndx: Ndx) -> Option<State> {
        match ndx {
            Ndx::DONE => {
                self.done += 1;
                // Two phases and the end of the last one; 30 has no more, 31 has one for each side's goodbye.
                Some(if self.from_server && self.done == 3 { State::Stats } else { State::Ndx })
            }
            Ndx::FLIST_EOF => self.options.inc_recurse.then_some(State::Ndx),
            Ndx::DEL_STATS => Some(State::DelStats),
            _ => match ndx.as_sublist() {
                Some(dir) => (self.options.inc_recurse && self.lists.start_sublist(dir)).then_some(State::List),
                None => Some(State::Item),
            },
        }
    }
}

/// The senders of the recordings without compression.
pub fn seeds() -> Vec<Vec<u8>> {
    recording::seeds(|recording| {
        let options = lists::options_of_recording(recording);
        let sum_len = match recording.negotiated.checksum.digest_len() {
            8 => 1,
            20 => 2,
            1 => 3,
            _ => 0,
        };
        let cluster = recording.arguments.iter().find(|argument| argument.starts_with(b"-") && argument[1] != b'-');
        let dry_run = cluster.is_some_and(|cluster| cluster.iter().take_while(|&&b| b != b'e').any(|&b| b == b'n'));
        let choices = sum_len | u8::from(dry_run) << 2 | u8::from(recording.pull) << 3;
        let plain = recording.negotiated.compression == Compression::None;
        let stream = if plain { &recording.sender[..] } else { &[] };
        ([&lists::header_of(&options)[..], &[choices]].concat(), stream)
    })
}
