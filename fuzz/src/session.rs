//! Whole sessions of the engine against a peer that says whatever the input says, in folders of their own.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsync_engine::options::{Delete, TransferOptions};
use rsync_engine::{Budget, Cancel, Event, Events, IoClock, Session, Trouble, WireIn, WireOut};
use rsync_proto::flist::EntryOptions;
use rsync_proto::mux::{Peer, put_data};
use rsync_proto::setup::{
    Capabilities, ChecksumChoice, ChecksumName, ClientOffer, CompatFlags, Negotiated, ServerOffer,
};

use crate::header::Header;
use crate::lists;

/// What both ends agreed on: four bytes.
#[derive(Debug, Clone)]
pub struct Agreed {
    list: EntryOptions,
    choices: u8,
}

impl Agreed {
    /// Options of the list, and a byte of choices. Devices are left out: nobody wants them made.
    pub fn read(header: &mut Header<'_>) -> Self {
        let list = EntryOptions {
            devices: false,
            specials: false,
            ..lists::options(header)
        };
        Self {
            list,
            choices: header.byte(),
        }
    }

    /// The choices for a session of that kind.
    #[must_use]
    pub fn choices(dry_run: bool, delete: bool, client: bool) -> u8 {
        u8::from(dry_run) | u8::from(delete) << 1 | u8::from(client) << 2
    }

    fn has(&self, bit: u8) -> bool {
        self.choices >> bit & 1 != 0
    }

    /// We are the client.
    #[must_use]
    pub fn client(&self) -> bool {
        self.has(2)
    }

    fn options(&self) -> TransferOptions {
        let list = &self.list;
        TransferOptions {
            recursive: list.recurse || list.inc_recurse,
            dirs: true,
            links: list.links,
            perms: self.has(3),
            times: true,
            owner: list.uid,
            group: list.gid,
            hard_links: list.hard_links,
            checksum: list.checksum_len.is_some(),
            numeric_ids: list.numeric_ids,
            relative: list.relative,
            delete_missing_args: list.missing_args,
            delete: if self.has(1) {
                Delete::Default
            } else {
                Delete::Off
            },
            dry_run: self.has(0),
            whole_file: self.has(4).then_some(true),
            ignore_times: self.has(5),
            ..TransferOptions::default()
        }
    }

    fn negotiated(&self) -> Negotiated {
        let list = &self.list;
        let flags = [
            (list.inc_recurse, CompatFlags::INC_RECURSE),
            (list.varint_flags, CompatFlags::VARINT_FLIST_FLAGS),
            (list.safe_flist, CompatFlags::SAFE_FLIST),
            (list.id0_names, CompatFlags::ID0_NAMES),
        ];
        let set = flags.into_iter().filter(|(on, _)| *on);
        let compat = set.fold(CompatFlags::default(), |all, (_, flag)| all | flag);
        let name = if list.checksum_len == Some(8) {
            ChecksumName::Xxh64
        } else {
            ChecksumName::Md5
        };
        let choice = Some(ChecksumChoice::both(name));
        let client = ClientOffer {
            checksum_choice: choice,
            ..ClientOffer::new(list.protocol, Capabilities::offering(compat))
        };
        let server = ServerOffer {
            checksum_choice: choice,
            ..ServerOffer::new(list.protocol, compat, 1)
        };
        Negotiated::in_process(client, server).expect("the same choice on both sides")
    }

    /// Our end of the session.
    #[must_use]
    pub fn session(&self) -> Session {
        Session {
            options: self.options(),
            negotiated: self.negotiated(),
            client: self.client(),
            events: Arc::new(Shown),
            cancel: Cancel::new(),
            clock: Arc::new(IoClock::new(None)),
            trouble: Arc::new(Trouble::default()),
            budget: Budget::unlimited(),
        }
    }

    /// The streams of a session in which the peer says `stream`, in frames, and hears nobody.
    #[must_use]
    pub fn streams(&self, session: &Session, stream: &[u8], peer_sends: bool) -> (WireIn, WireOut) {
        let peer = Peer {
            is_server: self.client(),
            is_sender: peer_sends,
        };
        let protocol = self.list.protocol;
        let mut frames = Vec::new();
        put_data(&mut frames, stream);
        let source = Box::new(io::Cursor::new(frames));
        let mut input = WireIn::new(source, Vec::new(), Arc::clone(&session.clock));
        input.start_framing(peer, protocol);
        let mut out = WireOut::new(Box::new(io::sink()), Arc::clone(&session.clock));
        out.start_framing(protocol);
        (input, out)
    }
}

/// Formats what a person would be shown.
#[derive(Debug)]
struct Shown;

impl Events for Shown {
    fn event(&self, event: Event<'_>) {
        let text = match event {
            Event::Failed(failure) => failure.to_string(),
            Event::Message { text, .. } => text.to_string(),
            Event::Note { text, .. } => text.to_string(),
            _ => return,
        };
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\t'),
            "{text:?}"
        );
    }
}

/// Runs `session` with the path of a folder that holds some files, links that lead out of it, and one more folder
/// beside it that nobody has business with.
///
/// # Panics
/// If that other folder is another one afterwards.
pub fn in_a_folder(session: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
    }
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| temporary().expect("a temporary folder"));
        let inside = folder.path().join("inside");
        let outside = folder.path().join("outside");
        fill(&inside, &outside).expect("a temporary folder");
        let before = state(&outside);
        session(&inside);
        assert_eq!(state(&outside), before, "the session reached outside");
        fs::remove_dir_all(&inside).expect("our own files");
        let mut left: Vec<PathBuf> = fs::read_dir(folder.path())
            .expect("our own folder")
            .map(|entry| entry.expect("a name").path())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [outside],
            "the session left something beside its folder"
        );
    });
}

/// In memory where that is possible: each input makes and removes a few dozen files.
fn temporary() -> io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn fill(inside: &Path, outside: &Path) -> io::Result<()> {
    if !outside.exists() {
        fs::create_dir_all(outside.join("d"))?;
        fs::write(outside.join("keep"), "not yours")?;
        fs::write(outside.join("d/keep"), "not yours either")?;
    }
    fs::create_dir_all(inside.join("d/e"))?;
    fs::create_dir(inside.join("sub"))?;
    fs::write(inside.join("f"), [7; 3000])?;
    fs::write(inside.join("a.txt"), "hello\n")?;
    fs::write(inside.join("d/old"), "old")?;
    symlink("../outside", inside.join("out"))?;
    symlink("../../outside/keep", inside.join("d/out"))?;
    symlink(outside, inside.join("sub/abs"))
}

/// All that a session could change of a folder.
fn state(folder: &Path) -> Vec<(PathBuf, u32, u32, i64, Vec<u8>)> {
    let mut state = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).expect("still there");
        let content = if meta.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .expect("readable")
                    .map(|entry| entry.expect("a name").path()),
            );
            Vec::new()
        } else {
            fs::read(&path).expect("readable")
        };
        state.push((path, meta.mode(), meta.uid(), meta.mtime(), content));
    }
    state.sort();
    state
}
