//! Senders that break rules: a daemon that is pulled from, a client that pushes.

use super::{
    Attack, BASIS_FOLLOWS, DIR, DONE, Entry, FILE, FLIST_EOF, Gone, LINK, Session, TRANSFER,
    XNAME_FOLLOWS, sublist, tag,
};

/// No sum of any data here.
const WRONG: [u8; 16] = [0x55; 16];

/// Lists ".", the files `f` (which is there, and another) and `n` (which is not), and the directory `d`. Their indices:
/// 0, 1, 2 and 3; one more with incremental recursion, where `d` is directory 1.
fn list(session: &mut Session) -> Result<(), Gone> {
    session
        .out
        .entry(&Entry::new(".", DIR).top())
        .entry(&Entry::new("f", FILE).size(10))
        .entry(&Entry::new("n", FILE).size(10))
        .entry(&Entry::new("d", DIR));
    session.end_list()
}

/// The list, and what comes behind the request for `f`.
fn answer_first(
    session: &mut Session,
    answer: impl FnOnce(&mut Session, &super::Item),
) -> Result<(), Gone> {
    list(session)?;
    let item = session.request()?;
    answer(session, &item);
    session.send()
}

/// A list of "." and one more entry.
fn list_one(session: &mut Session, entry: &Entry<'_>) -> Result<(), Gone> {
    session.out.entry(&Entry::new(".", DIR).top()).entry(entry);
    session.end_list()
}

/// The list, and at once what `more` writes.
fn list_and(session: &mut Session, more: impl FnOnce(&mut Session)) -> Result<(), Gone> {
    list(session)?;
    more(session);
    session.send()
}

/// Answers every request, also the ones that are made once more, with data of a wrong sum.
fn damage_everything(session: &mut Session) -> Result<(), Gone> {
    list(session)?;
    for _ in 0..4 {
        let item = session.request()?;
        session.answer(&item).literal(b"evil").end_of_file(WRONG);
    }
    session.finish()
}

/// The attacks. What they leave of the list above was checked against the session's rules by hand.
pub const SENDERS: &[Attack] = &[
    // Data.
    Attack::new(
        "data without an end",
        |session| {
            answer_first(session, |s, item| {
                _ = s.answer(item).int(i32::MAX).bytes([7; 99])
            })
        },
        12,
        "\"f\": the data does not end, far beyond the listed size of 10 bytes",
    ),
    Attack::new(
        "data of a wrong sum, again and again",
        damage_everything,
        23,
        "failed verification -- update discarded",
    ),
    Attack::new(
        "data of a wrong sum, again and again, incrementally",
        |session| {
            list(session)?;
            session.out.index(sublist(1)).bytes([0]).index(FLIST_EOF);
            for _ in 0..4 {
                let item = session.request()?;
                session.answer(&item).literal(b"evil").end_of_file(WRONG);
            }
            session.finish_lists(2)
        },
        23,
        "failed verification -- update discarded",
    )
    .incremental(),
    Attack::new(
        "data once more",
        |session| {
            answer_first(session, |session, item| {
                for _ in 0..2 {
                    session.answer(item).literal(b"evil").end_of_file(WRONG);
                }
            })
        },
        2,
        "that was not requested",
    ),
    Attack::new(
        "data for a directory",
        |session| list_and(session, |s| _ = s.out.item(3, TRANSFER).head([0; 4])),
        2,
        "data for file index 3 that was not requested",
    ),
    Attack::new(
        "a sum head of its own",
        |session| {
            answer_first(session, |session, item| {
                let blocks = [1000, 1 << 17, 2, 0];
                session.out.item(item.index, TRANSFER).head(blocks);
            })
        },
        2,
        "sum head for file index 1 that was not requested",
    ),
    Attack::new(
        "a block that the basis lacks",
        |session| answer_first(session, |s, item| _ = s.answer(item).copy(1)),
        2,
        "match of block 1 of 1",
    ),
    Attack::new(
        "a block of a basis that does not exist",
        |session| {
            list(session)?;
            session.request()?;
            let new = session.request()?;
            session.answer(&new).copy(0);
            session.send()
        },
        2,
        "match of block 0 of 0",
    ),
    Attack::new(
        "a basis that was not proposed",
        |session| {
            answer_first(session, |session, item| {
                let flags = TRANSFER | BASIS_FOLLOWS | XNAME_FOLLOWS;
                session.out.item(item.index, flags).bytes(b"\x83\x03../");
            })
        },
        2,
        "basis that was not proposed",
    ),
    // Answers out of time.
    Attack::new(
        "the end of a phase that did not begin",
        |session| {
            list_and(session, |s| {
                _ = s.out.index(DONE).index(DONE).index(DONE).index(DONE)
            })
        },
        2,
        "invalid file index -1",
    ),
    Attack::new(
        "a report that was not made",
        |session| {
            list_and(session, |s| {
                _ = s.out.item(1, 0).item(1, 0).item(1, 0).item(1, 0)
            })
        },
        2,
        "echo of a report about file index 1 that was not made",
    ),
    Attack::new(
        "a refusal of what was not asked for",
        |session| {
            list_and(session, |s| {
                _ = s.out.index_message(tag::NO_SEND, 0).index(DONE)
            })
        },
        2,
        "data for file index 0 that was not requested",
    )
    .since(30),
    Attack::new(
        "one refusal twice",
        |session| {
            answer_first(session, |session, item| {
                let out = session.out.index_message(tag::NO_SEND, item.index);
                out.index_message(tag::NO_SEND, item.index).index(DONE);
            })
        },
        2,
        "data for file index 1 that was not requested",
    )
    .since(30),
    Attack::new(
        "statistics of deletions twice",
        |session| list_and(session, |s| _ = s.out.deletions().deletions()),
        2,
        "unexpected statistics of deletions",
    )
    .since(31),
    Attack::new(
        "frames without data for ever",
        |session| {
            list_and(session, |session| {
                for _ in 0..=10_000 {
                    session.out.message(0, b"");
                }
            })
        },
        12,
        "more than 10000 frames without data",
    )
    .since(30),
    Attack::new(
        "an entry of its own called in place",
        |session| list_and(session, |s| _ = s.out.index_message(tag::SUCCESS, 1)),
        12,
        "unexpected message 100",
    )
    .since(30),
    Attack::new(
        "a name called deleted by a sender",
        |session| list_and(session, |s| _ = s.out.message(tag::DELETED, b"x")),
        12,
        "unexpected message 101",
    )
    .since(30),
    // Lists of directories.
    Attack::new(
        "a list where there is but one",
        |session| list_and(session, |s| _ = s.out.index(sublist(0))),
        2,
        "invalid file index -101",
    ),
    Attack::new(
        "the list of an unknown directory",
        |session| list_and(session, |s| _ = s.out.index(sublist(7)).bytes([0])),
        2,
        "file list for invalid directory 7",
    )
    .incremental(),
    Attack::new(
        "the list of the root",
        |session| list_and(session, |s| _ = s.out.index(sublist(0)).bytes([0])),
        2,
        "file list for invalid directory 0",
    )
    .incremental(),
    Attack::new(
        "two lists of one directory",
        |session| {
            list_and(session, |session| {
                for _ in 0..2 {
                    session.out.index(sublist(1)).bytes([0]);
                }
            })
        },
        2,
        "file list for invalid directory 1",
    )
    .incremental(),
    Attack::new(
        "a list behind the last one",
        |session| {
            list_and(session, |session| {
                session.out.index(FLIST_EOF).index(sublist(1)).bytes([0]);
            })
        },
        2,
        "invalid file index -102",
    )
    .incremental(),
    Attack::new(
        "a name outside of the directory of its list",
        |session| {
            list_and(session, |session| {
                let entry = Entry::new("out/evil", FILE);
                session.out.index(sublist(1)).entry(&entry).bytes([0]);
            })
        },
        4,
        "entry name outside the directory of its list",
    )
    .incremental(),
    // Names and kinds.
    Attack::new(
        "a name that climbs",
        |session| list_one(session, &Entry::new("../outside/evil", FILE)),
        4,
        "unsafe entry name",
    ),
    Attack::new(
        "an absolute name",
        |session| list_one(session, &Entry::new("/evil", FILE)),
        4,
        "unsafe entry name",
    ),
    Attack::new(
        "a root that is no directory",
        |session| {
            session.out.entry(&Entry::new(".", FILE));
            session.end_list()
        },
        2,
        "transfer root that is no directory",
    ),
    Attack::new(
        "a file below a link",
        |session| {
            let mut link = Entry::new("link", LINK);
            link.target = Some(b"../outside");
            session.out.entry(&link);
            list_one(session, &Entry::new("link/evil", FILE))
        },
        2,
        "entry without its parent directory in the list",
    )
    .with("l"),
    Attack::new(
        "a directory where a link leads outside",
        |session| {
            session.out.entry(&Entry::new("out", DIR));
            list_one(session, &Entry::new("out/evil", FILE).size(4))?;
            for _ in 0..2 {
                let item = session.request()?;
                session.answer(&item).literal(b"evil").end_of_file(WRONG);
            }
            session.finish()
        },
        23,
        "failed verification -- update discarded",
    ),
    Attack::new(
        "an owner that no file can have",
        |session| {
            session
                .out
                .entry(&Entry::new(".", DIR).top().owned(1, 1))
                .entry(&Entry::new("n", FILE).owned(u32::MAX, 1));
            session.end_list()
        },
        2,
        "invalid owner or group id",
    )
    .with("og"),
    Attack::new(
        "a device that was not asked for",
        |session| {
            list_one(session, &Entry::new("n", 0o060_666))?;
            session.finish()
        },
        0,
        "skipping non-regular file \"n\"",
    ),
    Attack::new(
        "a device with data",
        |session| {
            let mut device = Entry::new("out", 0o020_666);
            device.device = Some((1, 3));
            list_one(session, &device)?;
            session.out.item(1, TRANSFER).head([0; 4]);
            session.send()
        },
        2,
        "data for file index 1 that was not requested",
    )
    .with("D")
    // Protocol 30 and before send numbers of specials as well.
    .since(31),
];
