//! Names of users and groups for sessions that cannot look them up themselves: a confined thread asks a thread
//! of the daemon (05-security 16.2).

use std::collections::HashMap;
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

/// The names of this host. Clones ask the same thread, which ends with the last of them; each remembers the
/// names it was told.
#[derive(Debug, Clone)]
pub struct HostNames {
    questions: Sender<Question>,
    users: HashMap<u32, Option<Vec<u8>>>,
    groups: HashMap<u32, Option<Vec<u8>>>,
}

impl HostNames {
    /// Starts the thread that looks names up.
    pub(crate) fn start() -> io::Result<Self> {
        let (questions, asked) = channel();
        std::thread::Builder::new()
            .name("names".into())
            .spawn(move || {
                let mut names = SystemNames::new();
                let mut since = Instant::now();
                for question in asked {
                    if since.elapsed() > FRESH {
                        names = SystemNames::new();
                        since = Instant::now();
                    }
                    let owned = |name: Option<&[u8]>| name.map(<[u8]>::to_vec);
                    // A session that has ended does not wait for its answer.
                    let _ = match question {
                        Question::UserName(id, answer) => {
                            answer.send(owned(names.user_name(id))).is_ok()
                        }
                        Question::GroupName(id, answer) => {
                            answer.send(owned(names.group_name(id))).is_ok()
                        }
                        Question::UserId(name, answer) => answer.send(names.user_id(&name)).is_ok(),
                        Question::GroupId(name, answer) => {
                            answer.send(names.group_id(&name)).is_ok()
                        }
                    };
                }
            })?;
        Ok(Self {
            questions,
            users: HashMap::new(),
            groups: HashMap::new(),
        })
    }
}

impl NameService for HostNames {
    fn user_name(&mut self, uid: u32) -> Option<&[u8]> {
        let questions = &self.questions;
        let name = self
            .users
            .entry(uid)
            .or_insert_with(|| ask(questions, |a| Question::UserName(uid, a)));
        name.as_deref()
    }

    fn group_name(&mut self, gid: u32) -> Option<&[u8]> {
        let questions = &self.questions;
        let name = self
            .groups
            .entry(gid)
            .or_insert_with(|| ask(questions, |a| Question::GroupName(gid, a)));
        name.as_deref()
    }

    fn user_id(&mut self, name: &[u8]) -> Option<u32> {
        ask(&self.questions, |answer| {
            Question::UserId(name.to_vec(), answer)
        })
    }

    fn group_id(&mut self, name: &[u8]) -> Option<u32> {
        ask(&self.questions, |answer| {
            Question::GroupId(name.to_vec(), answer)
        })
    }
}

fn ask<T>(questions: &Sender<Question>, question: impl FnOnce(Answer<T>) -> Question) -> Option<T> {
    let (answer, answered) = channel();
    questions.send(question(answer)).ok()?;
    answered.recv().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_answers() {
        let mut names = HostNames::start().expect("thread");
        let mut clone = names.clone();
        assert_eq!(names.user_name(0), Some(&b"root"[..]));
        assert_eq!(names.group_id(b"root"), Some(0));
        assert_eq!(clone.group_name(0), Some(&b"root"[..]));
        assert_eq!(clone.user_id(b"no such user"), None);
        assert_eq!(clone.user_name(u32::MAX - 7), None);
    }
}
