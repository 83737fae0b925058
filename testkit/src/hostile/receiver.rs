//! A receiving side that asks for work and need not wait for it.

use std::net::{SocketAddr, TcpStream};

use crate::Peer;

/// The bytes of a receiving side, as a client that pulls or as the server of a push, at any protocol from 29 to 32.
///
/// It says what a test makes it say and checks nothing. It negotiates no checksum and no incremental recursion, so file
/// sums are MD4 at protocol 29 and MD5 above, and lists are flat.
#[derive(Debug, Clone, Copy)]
pub struct HostileReceiver {
    /// The protocol.
    pub protocol: u32,
    /// It is the server, so that all it says after the set-up is framed.
    pub server: bool,
}

impl HostileReceiver {
    /// Logs in to a module as a client that pulls, with options beside `--server --sender`, and sends an empty list of
    /// filter rules. `paths` begin with the module's name.
    ///
    /// # Panics
    /// When the daemon does not let it in.
    #[track_caller]
    #[must_use]
    pub fn pull(
        self,
        daemon: SocketAddr,
        module: &str,
        options: &[&str],
        paths: &[String],
    ) -> Peer<TcpStream> {
        let mut peer = Peer::connect(daemon);
        peer.send(format!("{}{module}\n", self.greeting()));
        loop {
            let line = peer.receive_line();
            assert!(!line.starts_with("@ERROR"), "{line}");
            if line == "@RSYNCD: OK" {
                break;
            }
        }
        let end = self.end_of_argument();
        let mut arguments = Vec::new();
        let words = ["--server", "--sender"].iter().chain(options).chain(&["."]);
        for word in words.copied().chain(paths.iter().map(String::as_str)) {
            arguments.extend_from_slice(word.as_bytes());
            arguments.push(end);
        }
        arguments.push(end);
        peer.send(arguments);
        peer.send(self.framed(&0_u32.to_le_bytes()));
        peer
    }

    /// Takes a push as a daemon does, up to where the client sends its file list.
    ///
    /// # Panics
    /// When the client ends before.
    #[track_caller]
    pub fn accept(self, peer: &mut Peer<TcpStream>) {
        peer.send(self.greeting());
        peer.receive_line();
        peer.receive_line();
        peer.send("@RSYNCD: OK\n");
        let end = self.end_of_argument();
        while !peer.receive_until(end).is_empty() {}
        if self.protocol >= 30 {
            // No compatibility flags.
            peer.send([0]);
        }
        // The seed.
        peer.send([1, 0, 0, 0]);
    }

    /// A request for the file of this index, the first one of the session, with a sum head (count, block length, length
    /// of strong sums, remainder) and the sums behind it.
    #[must_use]
    pub fn request(self, index: u8, head: [u32; 4], sums: &[u8]) -> Vec<u8> {
        let mut stream = match self.protocol {
            // Larger than the one before it by so much, and there is -1 before the first.
            30.. => vec![index + 1],
            _ => u32::from(index).to_le_bytes().to_vec(),
        };
        // A transfer.
        stream.extend_from_slice(&0x8000_u16.to_le_bytes());
        stream.extend(head.iter().flat_map(|number| number.to_le_bytes()));
        stream.extend_from_slice(sums);
        self.framed(&stream)
    }

    /// A request that makes the sender of a file of zeros hash a block at each byte: the longest block that the protocol
    /// has, a weak sum that fits everywhere, and a strong sum that fits nowhere.
    #[must_use]
    pub fn costly_request(self, index: u8) -> Vec<u8> {
        let block_len = match self.protocol {
            30.. => 1 << 17,
            _ => 1 << 29,
        };
        let sums = [&[0; 4][..], &[0xee; 16]].concat();
        self.request(index, [1, block_len, 16, 0], &sums)
    }

    /// Bytes of the stream as they go over the connection: in a frame, if this side has frames.
    ///
    /// # Panics
    /// When one frame cannot hold them.
    #[must_use]
    pub fn framed(self, stream: &[u8]) -> Vec<u8> {
        if !self.server && self.protocol < 30 {
            return stream.to_vec();
        }
        self.message(0, stream)
    }

    /// A message with this number, or a frame of data with 0.
    ///
    /// # Panics
    /// When one frame cannot hold it.
    #[must_use]
    pub fn message(self, number: u8, payload: &[u8]) -> Vec<u8> {
        let len = u32::try_from(payload.len()).expect("a frame");
        assert!(len < 1 << 24, "a frame");
        let header = len | u32::from(7 + number) << 24;
        [&header.to_le_bytes()[..], payload].concat()
    }

    fn greeting(self) -> String {
        let digests = match self.protocol {
            32.. => " sha512 sha256 sha1 md5 md4",
            _ => "",
        };
        format!("@RSYNCD: {}.0{digests}\n", self.protocol)
    }

    fn end_of_argument(self) -> u8 {
        match self.protocol {
            30.. => 0,
            _ => b'\n',
        }
    }
}
