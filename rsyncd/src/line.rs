//! The text part of a connection, read without losing the bytes behind it.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use rsync_proto::args::ArgumentsReader;
use rsync_proto::line::read_line;
use rsync_proto::wire::Cursor;
use rsync_proto::{DecodeError, Violation};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::limits;

/// A socket and what was read from it beyond the last line.
#[derive(Debug)]
pub(crate) struct TextStream {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the connection ended")]
    Eof,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl TextStream {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// The next line without its newline, at most `max` bytes; carriage returns are dropped.
    pub(crate) async fn line(&mut self, max: usize) -> Result<Vec<u8>, LineError> {
        loop {
            let mut cursor = Cursor::new(&self.unread);
            match read_line(&mut cursor, max).map(Cow::into_owned) {
                Ok(line) => {
                    let used = cursor.position();
                    self.unread.drain(..used);
                    return Ok(line);
                }
                Err(DecodeError::Violation(violation)) => return Err(violation.into()),
                Err(_) => self.fill().await?,
            }
        }
    }

    /// Reads `count` bytes and forgets them.
    pub(crate) async fn skip(&mut self, count: usize) -> Result<(), LineError> {
        while self.unread.len() < count {
            self.fill().await?;
        }
        self.unread.drain(..count);
        Ok(())
    }

    /// One pass of arguments.
    pub(crate) async fn arguments(
        &mut self,
        mut reader: ArgumentsReader,
    ) -> Result<Vec<Vec<u8>>, LineError> {
        loop {
            let mut cursor = Cursor::new(&self.unread);
            let result = reader.read(&mut cursor);
            let used = cursor.position();
            self.unread.drain(..used);
            match result {
                Ok(arguments) => return Ok(arguments),
                Err(DecodeError::Violation(violation)) => return Err(violation.into()),
                Err(_) => self.fill().await?,
            }
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Closes so that the peer sees the last bytes: what it still sends is read and thrown away for a while,
    /// since unread bytes would make the kernel reset the connection (04-daemon 2.2).
    pub(crate) async fn close(mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            let mut left = limits::DRAIN_BYTES;
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = self.stream.read(&mut buffer).await {
                left = left.saturating_sub(count);
                if left == 0 {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(limits::DRAIN, drain).await;
    }

    /// Waits until the peer has closed its side. What arrives meanwhile is kept, up to a bound; beyond it nothing
    /// more is read.
    pub(crate) async fn gone(&mut self) {
        while self.unread.len() < limits::UNREAD && self.fill().await.is_ok() {}
        if self.unread.len() >= limits::UNREAD {
            std::future::pending::<()>().await;
        }
    }

    /// The socket as a blocking one, and the bytes that were read already.
    pub(crate) fn into_blocking(self) -> io::Result<(std::net::TcpStream, Vec<u8>)> {
        let stream = self.stream.into_std()?;
        stream.set_nonblocking(false)?;
        Ok((stream, self.unread))
    }

    /// The socket, to cut the connection off from elsewhere.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    async fn fill(&mut self) -> Result<(), LineError> {
        // A client sends its part of the handshake in a packet or two.
        self.unread.reserve(1024);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(LineError::Eof),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsync_proto::Protocol;

    async fn pair() -> (TextStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind");
        let client = TcpStream::connect(listener.local_addr().expect("address"))
            .await
            .expect("connect");
        let (server, _) = listener.accept().await.expect("accept");
        (TextStream::new(server), client)
    }

    #[tokio::test]
    async fn lines_arguments_and_what_follows() {
        let (mut text, mut client) = pair().await;
        let input: &[u8] = b"first\r\nsec\rond\n12345\n--server\0.\0m/\0\0\x1exxh128";
        let writer = tokio::spawn(async move {
            for byte in input {
                client.write_all(&[*byte]).await.expect("write");
            }
            client
        });
        assert_eq!(text.line(5 + 1).await.expect("line"), b"first");
        assert_eq!(text.line(100).await.expect("line"), b"second");
        text.skip(6).await.expect("skip");
        let arguments = text
            .arguments(ArgumentsReader::new(Protocol::V32))
            .await
            .expect("arguments");
        assert_eq!(arguments, [&b"--server"[..], b".", b"m/"]);
        let _client = writer.await.expect("no panic");
        let (stream, mut unread) = text.into_blocking().expect("blocking");
        let mut rest = vec![0; 7 - unread.len()];
        tokio::task::spawn_blocking(move || {
            io::Read::read_exact(&mut &stream, &mut rest).expect("the rest");
            unread.extend(rest);
            assert_eq!(unread, b"\x1exxh128");
        })
        .await
        .expect("no panic");
    }

    #[tokio::test]
    async fn bad_lines() {
        let too_long = Some(Violation::LineTooLong { max: 10 });
        for (input, expected) in [
            (vec![b'x'; 11], too_long),
            ([vec![b'x'; 11], b"\n".to_vec()].concat(), too_long),
            (b"a\0b\n".to_vec(), Some(Violation::NulInside)),
            (b"abc".to_vec(), None),
        ] {
            let (mut text, mut client) = pair().await;
            client.write_all(&input).await.expect("write");
            client.shutdown().await.expect("shutdown");
            match text.line(10).await.expect_err("bad") {
                LineError::Violation(found) => assert_eq!(Some(found), expected),
                other => assert!(
                    matches!(other, LineError::Eof) && expected.is_none(),
                    "{other}"
                ),
            }
        }
    }
}
