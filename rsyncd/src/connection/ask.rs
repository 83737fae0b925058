//! What a client asks for: its greeting and its request, while its name is looked up.

use rsync_proto::greeting::Greeting;
use rsync_proto::limits::GREETING_LINE;
use rsync_proto::replies::Refusal;
use rsync_proto::request::Request;
use rsync_proto::{Protocol, Violation};

use super::End;
use crate::line::TextStream;
use crate::resolve::ClientName;

/// What both greetings say.
pub(super) struct Agreed {
    pub(super) protocol: Protocol,
    pub(super) greeting: Greeting,
}

/// What a client asks for.
pub(super) enum Asked {
    List,
    Module(Vec<u8>),
}

/// Greets a client and reads what it asks for while its name is looked up. A slow name server keeps neither the
/// greeting back nor the place of a client that has gone: its name is not waited for.
pub(super) async fn name_and_ask(
    lookup: impl Future<Output = Option<ClientName>>,
    text: &mut TextStream,
    hello: &[u8],
) -> (Option<ClientName>, Result<(Agreed, Asked), End>) {
    let mut lookup = std::pin::pin!(lookup);
    let asked = {
        let asking = async {
            text.write(hello).await?;
            ask(text).await
        };
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            name = &mut lookup => return (name, asking.await),
            asked = &mut asking => asked,
        }
    };
    if matches!(asked, Err(End::Silent)) {
        return (None, asked);
    }
    tokio::select! {
        // A client that only closed its side is answered, if its name is there.
        biased;
        name = &mut lookup => (name, asked),
        () = text.gone() => (None, Err(End::Silent)),
    }
}

/// Reads the client's greeting and its request.
async fn ask(text: &mut TextStream) -> Result<(Agreed, Asked), End> {
    let agreed = parse_greeting(&text.line(GREETING_LINE).await?)?;
    loop {
        let line = text.line(GREETING_LINE).await?;
        match Request::parse(&line) {
            Err(_) => return Err(End::refuse(&Refusal::EarlyInputLength)),
            // No module has a program to give it to.
            Ok(Request::EarlyInput(len)) => text.skip(len).await?,
            Ok(Request::List) => return Ok((agreed, Asked::List)),
            Ok(Request::Unknown(line)) => return Err(End::refuse(&Refusal::UnknownCommand(line))),
            Ok(Request::Module(wanted)) => return Ok((agreed, Asked::Module(wanted.to_vec()))),
        }
    }
}

fn parse_greeting(line: &[u8]) -> Result<Agreed, End> {
    let greeting = Greeting::parse(line).map_err(|violation| {
        End::refuse(&match violation {
            Violation::GreetingWithoutSubversion => Refusal::NoSubversion(line),
            Violation::GreetingWithoutDigests => Refusal::NoDigests(line),
            _ => Refusal::StartUp,
        })
    })?;
    let protocol = greeting.agree(Protocol::MAX).map_err(End::error)?;
    Ok(Agreed { protocol, greeting })
}
