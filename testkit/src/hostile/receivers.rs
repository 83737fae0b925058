//! Receivers that break rules: a daemon that is pushed to, a client that pulls. They ask without having read the file list, which holds
//! ".", the file `f` and the link `out`: indices 0 to 2.

use super::{Attack, DONE, Gone, Session, TRANSFER, sublist, tag};

fn ask(session: &mut Session, write: impl FnOnce(&mut Session)) -> Result<(), Gone> {
    write(session);
    session.send()
}

fn ask_with_head(session: &mut Session, head: [i32; 4]) -> Result<(), Gone> {
    ask(session, |session| {
        _ = session.out.item(1, TRANSFER).head(head)
    })
}

/// The attacks.
pub const RECEIVERS: &[Attack] = &[
    Attack::new(
        "data of an index that is not listed",
        |session| ask(session, |s| _ = s.out.item(99, TRANSFER).head([0; 4])),
        2,
        "invalid file index 99",
    ),
    Attack::new(
        "a report about an index that is not listed",
        |session| ask(session, |s| _ = s.out.item(99, 0)),
        2,
        "invalid file index 99",
    ),
    Attack::new(
        "data of a directory",
        |session| ask(session, |s| _ = s.out.item(0, TRANSFER).head([0; 4])),
        2,
        "request for the data of file index 0, which cannot be sent",
    ),
    Attack::new(
        "a list, as if it were the sender",
        |session| ask(session, |s| _ = s.out.index(sublist(0)).bytes([0])),
        2,
        "invalid file index -101",
    ),
    Attack::new(
        "blocks without length",
        |session| ask_with_head(session, [1, 0, 2, 0]),
        2,
        "invalid block length 0",
    ),
    Attack::new(
        "blocks below zero",
        |session| ask_with_head(session, [-1, 700, 2, 0]),
        2,
        "invalid number of blocks -1",
    ),
    Attack::new(
        "sums that are too long",
        |session| ask_with_head(session, [1, 700, 17, 0]),
        2,
        "invalid checksum length 17",
    ),
    Attack::new(
        "data in a phase that is too late",
        |session| {
            ask(session, |session| {
                let out = session.out.index(DONE).index(DONE);
                out.item(1, TRANSFER).head([0; 4]);
            })
        },
        2,
        "request for the data of file index 1, which cannot be sent",
    ),
    Attack::new(
        "statistics of deletions twice",
        |session| ask(session, |s| _ = s.out.deletions().deletions()),
        2,
        "unexpected statistics of deletions",
    )
    .since(31),
    Attack::new(
        "a refusal, as if it were the sender",
        |session| {
            ask(session, |s| {
                _ = s.out.index_message(tag::NO_SEND, 1).index(DONE)
            })
        },
        12,
        "unexpected message 102",
    )
    .since(30),
    Attack::new(
        "more entries in place than are listed",
        |session| {
            ask(session, |session| {
                for _ in 0..100 {
                    session.out.index_message(tag::SUCCESS, 1);
                }
            })
        },
        12,
        "more than 6 messages 100",
    )
    .with("l")
    .since(30),
    Attack::new(
        "one file, again and again",
        |session| {
            ask(session, |session| {
                for _ in 0..10_100 {
                    session.out.item(1, 0);
                }
            })
        },
        12,
        "more than 10012 reports and requests",
    )
    .with("l"),
];
