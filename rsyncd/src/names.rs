//! Names of users and groups for sessions that cannot look them up themselves: a confined thread asks a thread
//! of the daemon (05-security 16.2).

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rsync_engine::fs::{NameService, SystemNames};

/// How long an answer is remembered; then the host's database is asked again.
const FRESH: Duration = Duration::from_secs(60);

type Answer<T> = Sender<Option<T>>;

enum Question {
    UserName(u32, Answer<Vec<u8>>),
    GroupName(u32, Answer<Vec<u8>>),
    UserId(Vec<u8>, Answer<u32>),
    GroupId(Vec<u8>, Answer<u32>),
}

/// The names of this host. Clones ask the same thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct HostNames(Sender<Question>);

impl HostNames {
    /// Starts the thread that looks names up.
    pub(crate) fn start() -> io::Result<Self> {
        let (questions, asked) = channel();
        std::thread::Builder::new().name("names".into()).spawn(move || {
            let mut names = SystemNames::default();
            let mut since = Instant::now();
            for question in asked {
                if since.elapsed() > FRESH {
                    names = SystemNames::default();
                    since = Instant::now();
                }
                // A session that has ended does not wait for its answer.
                let _ = match question {
                    Question::UserName(id, answer) => answer.send(names.user_name(id)).is_ok(),
                    Question::GroupName(id, answer) => answer.send(names.group_name(id)).is_ok(),
                    Question::UserId(name, answer) => answer.send(names.user_id(&name)).is_ok(),
                    Question::GroupId(name, answer) => answer.send(names.group_id(&name)).is_ok(),
                };
            }
        })?;
        Ok(Self(questions))
    }

    fn ask<T>(&self, question: impl FnOnce(Answer<T>) -> Question) -> Option<T> {
        let (answer, answered) = channel();
        self.0.send(question(answer)).ok()?;
        answered.recv().ok().flatten()
    }
}

impl NameService for HostNames {
    fn user_name(&mut self, uid: u32) -> Option<Vec<u8>> {
        self.ask(|answer| Question::UserName(uid, answer))
    }
    fn group_name(&mut self, gid: u32) -> Option<Vec<u8>> {
        self.ask(|answer| Question::GroupName(gid, answer))
    }
    fn user_id(&mut self, name: &[u8]) -> Option<u32> {
        self.ask(|answer| Question::UserId(name.to_vec(), answer))
    }
    fn group_id(&mut self, name: &[u8]) -> Option<u32> {
        self.ask(|answer| Question::GroupId(name.to_vec(), answer))
    }
}
