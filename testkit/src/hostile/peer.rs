//! Hostile sessions over sockets: as the daemon of a client, as the client of a daemon.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use super::wire::{DEL_STATS, DONE, Writer};
use super::{BASIS_FOLLOWS, TRANSFER, XNAME_FOLLOWS};
use crate::peer::{Peer, ScriptedServer};

/// The other side has closed the connection, which it may after any broken rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// What a session is asked for beside its protocol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// A daemon's compat flags, from protocol 30 on; 1 is incremental recursion. 0x80, which brings the negotiation of
    /// checksums with it, is the script's to play.
    pub compat: u8,
    /// Id lists that follow a flat list, which both ends know from their options.
    pub id_lists: usize,
}

/// Something that the receiving side wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A report, or a request for data.
    Item(Item),
    /// The end of a phase or of a list.
    Done,
    /// Statistics of deletions.
    Deletions,
}

/// A report, or a request for data with its sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The index.
    pub index: i32,
    /// The flags.
    pub flags: u16,
    /// The sum head of a request; zeros of a report.
    pub head: [i32; 4],
}

impl Item {
    /// Data is asked for.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.flags & TRANSFER != 0
    }
}

/// A session whose set-up is done.
#[derive(Debug)]
pub struct Session {
    /// The protocol.
    pub protocol: u32,
    /// What goes out; [`Session::send`] sends it.
    pub out: Writer,
    /// The arguments of the client, if this is the daemon.
    pub arguments: Vec<String>,
    /// The messages that came so far, with their tags.
    pub messages: Vec<(u8, Vec<u8>)>,
    options: Options,
    /// We are the server.
    serves: bool,
    stream: TcpStream,
    framed: bool,
    data: Vec<u8>,
    used: usize,
    previous: (i32, i32),
    /// DONEs that the sender answers.
    dones: usize,
}

impl Session {
    /// Sends what was written.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn send(&mut self) -> Result<(), Gone> {
        let bytes = self.out.take();
        let sent = self.stream.write_all(&bytes);
        sent.map_err(|error| gone(&error))
    }

    /// Ends the first list, with id lists and I/O error where the protocol has them, and sends it; with incremental
    /// recursion further lists are the script's.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn end_list(&mut self) -> Result<(), Gone> {
        self.out.bytes([0]);
        if self.options.compat & 1 == 0 {
            for _ in 0..self.options.id_lists {
                self.out.varint(0);
            }
            if self.protocol < 30 {
                self.out.int(0);
            }
        }
        self.send()
    }

    /// The next thing of a receiving side, whose file list is complete.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn receive(&mut self) -> Result<Received, Gone> {
        self.send()?;
        let index = self.index()?;
        match index {
            DONE => return Ok(Received::Done),
            DEL_STATS => {
                for _ in 0..5 {
                    self.varint()?;
                }
                return Ok(Received::Deletions);
            }
            _ => {}
        }
        let flags = self.take(2)?;
        let flags = u16::from_le_bytes([flags[0], flags[1]]);
        if flags & BASIS_FOLLOWS != 0 {
            self.take(1)?;
        }
        if flags & XNAME_FOLLOWS != 0 {
            let mut len = usize::from(self.take(1)?[0]);
            if len & 0x80 != 0 {
                len = (len & 0x7f) << 8 | usize::from(self.take(1)?[0]);
            }
            self.take(len)?;
        }
        let mut head = [0; 4];
        if flags & TRANSFER != 0 {
            for number in &mut head {
                *number = self.int()?;
            }
            let [count, _, strong, _] = head.map(|number| usize::try_from(number).unwrap_or(0));
            self.take(count * (4 + strong))?;
        }
        Ok(Received::Item(Item { index, flags, head }))
    }

    /// The next request for data; reports before it are echoed, as by an honest sender.
    ///
    /// # Errors
    /// When the other side is gone, or asks for nothing more.
    pub fn request(&mut self) -> Result<Item, Gone> {
        loop {
            match self.receive()? {
                Received::Item(item) if item.is_request() => return Ok(item),
                Received::Item(item) => self.echo(&item),
                Received::Done => self.answer_done(),
                Received::Deletions => {}
            }
        }
    }

    /// Begins the answer to a request: the echo of its header and of its head.
    pub fn answer(&mut self, item: &Item) -> &mut Writer {
        self.out.item(item.index, TRANSFER).head(item.head)
    }

    /// Echoes a report.
    pub fn echo(&mut self, item: &Item) {
        self.out.index(item.index);
        self.out
            .short(item.flags & !(BASIS_FOLLOWS | XNAME_FOLLOWS));
    }

    /// Answers a DONE.
    pub fn answer_done(&mut self) {
        self.dones += 1;
        self.out.index(DONE);
    }

    /// Plays an honest sender to the end of the session: requests are refused, reports echoed. `lists`: how many file lists
    /// there were.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn finish_lists(&mut self, lists: usize) -> Result<(), Gone> {
        while self.dones < lists + 2 {
            match self.receive()? {
                Received::Item(item) if item.is_request() && self.protocol >= 30 => {
                    self.out.index_message(super::tag::NO_SEND, item.index);
                }
                Received::Item(item) if item.is_request() => {}
                Received::Item(item) => self.echo(&item),
                Received::Done => self.answer_done(),
                Received::Deletions => {
                    self.out.deletions();
                }
            }
        }
        self.goodbye()
    }

    /// The same after one list.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn finish(&mut self) -> Result<(), Gone> {
        self.finish_lists(1)
    }

    /// What a sender sends and reads behind its last phase.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn goodbye(&mut self) -> Result<(), Gone> {
        if self.serves {
            self.out.statistics();
        }
        if self.protocol >= 31 {
            while self.receive()? != Received::Done {}
            self.out.index(DONE);
        }
        while self.receive()? != Received::Done {}
        Ok(())
    }

    /// Reads until the other side has said this in a message.
    ///
    /// # Errors
    /// When the other side is gone before.
    pub fn wait_for_text(&mut self, text: &str) -> Result<(), Gone> {
        self.send()?;
        while !self.said().contains(text) {
            self.frame_or_bytes()?;
        }
        Ok(())
    }

    fn said(&self) -> String {
        let texts = self.messages.iter().filter(|(tag, _)| *tag <= 4);
        let texts: Vec<u8> = texts.flat_map(|(_, text)| text.clone()).collect();
        String::from_utf8_lossy(&texts).into_owned()
    }

    /// Sends nothing more, reads to the end of the connection, which must come, and gives the texts of all messages of the session.
    #[track_caller]
    pub fn texts(mut self) -> String {
        // The other side may be gone already.
        let _ = self.send();
        let _ = self.stream.shutdown(Shutdown::Write);
        self.read_all();
        self.said()
    }

    fn read_all(&mut self) {
        while self.frame_or_bytes().is_ok() {
            self.used = self.data.len();
        }
    }

    /// Stream bytes.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn take(&mut self, len: usize) -> Result<Vec<u8>, Gone> {
        while self.data.len() - self.used < len {
            self.frame_or_bytes()?;
        }
        let bytes = self.data[self.used..self.used + len].to_vec();
        self.used += len;
        if self.used == self.data.len() {
            self.data.clear();
            self.used = 0;
        }
        Ok(bytes)
    }

    fn frame_or_bytes(&mut self) -> Result<(), Gone> {
        if !self.framed {
            let byte = self.raw(1)?;
            self.data.extend(byte);
            return Ok(());
        }
        let header = self.raw(4)?;
        let len =
            usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        let payload = self.raw(len)?;
        match header[3].wrapping_sub(7) {
            0 => self.data.extend(payload),
            tag => {
                self.messages.push((tag, payload));
                // It waits for nothing but the end.
                if tag == super::tag::ERROR_EXIT {
                    return Err(Gone);
                }
            }
        }
        Ok(())
    }

    fn raw(&mut self, len: usize) -> Result<Vec<u8>, Gone> {
        let mut bytes = vec![0; len];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(gone(&error)),
        }
    }

    /// An int.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn int(&mut self) -> Result<i32, Gone> {
        let bytes = self.take(4)?;
        Ok(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn varint(&mut self) -> Result<(), Gone> {
        let extra = self.take(1)?[0].leading_ones() as usize;
        self.take(extra).map(drop)
    }

    fn index(&mut self) -> Result<i32, Gone> {
        if self.protocol < 30 {
            return self.int();
        }
        let mut byte = self.take(1)?[0];
        let negative = byte == 0xff;
        if byte == 0 {
            return Ok(DONE);
        }
        if negative {
            byte = self.take(1)?[0];
        }
        let before = if negative {
            self.previous.1
        } else {
            self.previous.0
        };
        let value = if byte == 0xfe {
            let high = self.take(2)?;
            if high[0] & 0x80 == 0 {
                before + (i32::from(high[0]) << 8 | i32::from(high[1]))
            } else {
                let low = self.take(2)?;
                i32::from_le_bytes([high[1], low[0], low[1], high[0] & 0x7f])
            }
        } else {
            before + i32::from(byte)
        };
        if negative {
            self.previous.1 = value;
            return Ok(-value);
        }
        self.previous.0 = value;
        Ok(value)
    }
}

/// # Panics
/// For silence: whatever a peer breaks, the other side must end.
#[track_caller]
fn gone(error: &std::io::Error) -> Gone {
    let silent = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!silent, "the other side neither answers nor ends");
    Gone
}

/// A daemon on the loopback that breaks rules, for one client.
#[derive(Debug)]
pub struct HostileDaemon(ScriptedServer);

impl HostileDaemon {
    /// A daemon that goes up to the file list by itself; `script` plays what follows.
    #[must_use]
    pub fn start(
        protocol: u32,
        script: impl FnMut(&mut Session) -> Result<(), Gone> + Send + 'static,
    ) -> Self {
        Self::with(protocol, Options::default(), script)
    }

    /// The same with options.
    #[must_use]
    pub fn with(
        protocol: u32,
        options: Options,
        script: impl FnMut(&mut Session) -> Result<(), Gone> + Send + 'static,
    ) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), protocol, options, script)
    }

    /// The same at an address.
    #[must_use]
    pub fn at(
        address: IpAddr,
        protocol: u32,
        options: Options,
        mut script: impl FnMut(&mut Session) -> Result<(), Gone> + Send + 'static,
    ) -> Self {
        let server = ScriptedServer::start_at(address, 1, move |_, peer| {
            if let Ok(mut session) = serve(peer, protocol, options) {
                let _ = script(&mut session).and_then(|()| session.send());
                // The client may still have something to say, and must not be reset before it has read all.
                let _ = session.stream.shutdown(Shutdown::Write);
                session.read_all();
            }
        });
        Self(server)
    }

    /// The address of a path on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("rsync://{}/{path}", self.0.addr())
    }

    /// Waits for the end of the session.
    ///
    /// # Panics
    /// With the script's own panic, or when the client does not end.
    #[track_caller]
    pub fn finish(self) {
        self.0.finish();
    }
}

/// A daemon's part up to the file list.
fn serve(mut peer: Peer<TcpStream>, protocol: u32, options: Options) -> Result<Session, Gone> {
    peer.send(format!("@RSYNCD: {protocol}.0 md5\n"));
    peer.receive_line();
    peer.receive_line();
    peer.send("@RSYNCD: OK\n");
    let end = if protocol >= 30 { 0 } else { b'\n' };
    let mut arguments = Vec::new();
    loop {
        let argument = peer.receive_until(end);
        if argument.is_empty() {
            break;
        }
        arguments.push(String::from_utf8_lossy(&argument).into_owned());
    }
    let mut setup = Vec::new();
    if protocol >= 30 {
        setup.push(options.compat);
    }
    setup.extend([0; 4]);
    peer.send(setup);
    let has_rules = has_rules(arguments.iter().map(String::as_str));
    let mut session = session(peer, protocol, options, true);
    session.arguments = arguments;
    if has_rules {
        loop {
            match session.int()? {
                0 => break,
                len => session.take(usize::try_from(len).expect("the length of a rule"))?,
            };
        }
    }
    Ok(session)
}

/// What a server writes is always framed, what a client writes from protocol 30 on (01-session 9.6).
fn session(mut peer: Peer<TcpStream>, protocol: u32, options: Options, serves: bool) -> Session {
    let (framed_in, framed_out) = (!serves || protocol >= 30, serves || protocol >= 30);
    let stream = peer.stream().try_clone().expect("a socket to clone");
    Session {
        protocol,
        out: Writer::new(protocol, framed_out),
        arguments: Vec::new(),
        messages: Vec::new(),
        options,
        serves,
        stream,
        framed: framed_in,
        data: Vec::new(),
        used: 0,
        previous: (-1, 1),
        dones: 0,
    }
}

/// A client that breaks rules: connects to a daemon, and goes up to the file list (a push) or the filter rules, of which it
/// sends none (a pull). `arguments`: all that a client would send.
///
/// # Errors
/// When the daemon is gone before the session.
///
/// # Panics
/// When it refuses the module.
#[track_caller]
pub fn client(
    daemon: SocketAddr,
    protocol: u32,
    arguments: &[&str],
    options: Options,
) -> Result<Session, Gone> {
    let (module, _) = arguments
        .last()
        .and_then(|path| path.split_once('/'))
        .expect("a path of a module");
    let mut peer = Peer::connect(daemon);
    peer.send(format!("@RSYNCD: {protocol}.0 md5\n{module}\n"));
    peer.receive_line();
    let answer = peer.receive_line();
    assert_eq!(answer, "@RSYNCD: OK");
    let end = if protocol >= 30 { "\0" } else { "\n" };
    let words: String = arguments.iter().flat_map(|word| [*word, end]).collect();
    peer.send(words + end);
    let compat = match protocol >= 30 {
        // Two bytes only if it grants what no `-e` of these tests asks for.
        true => peer.receive(1)[0],
        false => 0,
    };
    peer.receive(4);
    let options = Options { compat, ..options };
    let mut session = session(peer, protocol, options, false);
    if has_rules(arguments.iter().copied()) {
        session.out.int(0);
        session.send()?;
    }
    Ok(session)
}

/// Whether a client with these arguments sends filter rules (02-file-list 2.1).
fn has_rules<'a>(mut arguments: impl Iterator<Item = &'a str>) -> bool {
    arguments.any(|word| {
        word == "--sender" || (word.starts_with("--delete") && word != "--delete-missing-args")
    })
}
