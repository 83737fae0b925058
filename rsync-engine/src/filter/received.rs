//! What a pulling client checks the names of a sender against (02-file-list 13.4, 13.5). Pure functions of the
//! client's own options; when they are skipped altogether is up to the caller.

use std::collections::{HashMap, HashSet};

use super::chain::{Chain, Entry};
use super::cvs::CvsSources;
use super::list::RuleList;
use super::pattern::{Pattern, Subject};
use super::rule::Role;

/// The rules that an honest sender has applied.
#[derive(Clone, Debug)]
pub struct SentRules {
    /// `None`: only the sender knows what its per-directory files say.
    chain: Option<Chain>,
}

impl SentRules {
    /// From the client's own list.
    #[must_use]
    pub fn new(list: &RuleList) -> Self {
        let chain = (!list.has_dir_merge()).then(|| {
            // A `-C` in the list is read with the home and the environment of the sender.
            let mut list = list.clone();
            list.settings.cvs = CvsSources::default();
            Chain::new(&list, Role::Sender)
        });
        Self { chain }
    }

    /// True if an honest sender cannot have sent the name: "rejecting excluded file-list name", exit 4.
    ///
    /// Not for directories that are only parents of what was asked for ([`Requested::Parent`]), which no sender
    /// filters.
    #[must_use]
    pub fn reject(&self, name: &[u8], is_dir: bool) -> bool {
        let Some(chain) = &self.chain else {
            return false;
        };
        let name = without_leading_slash(name);
        if name.is_empty() || name == b"." {
            return false;
        }
        let subject = Subject::new(name, is_dir);
        for entry in &chain.entries {
            let Entry::Rule(rule) = entry else { continue };
            match (rule.xattr, rule.absolute, rule.include) {
                (true, ..) => {}
                // Where the sender's root is, is not known: the rule may or may not have matched.
                (_, true, true) => return false,
                (_, true, false) => {}
                _ if rule.matches(&subject, b"") => return !rule.include,
                _ => {}
            }
        }
        false
    }
}

/// What a listed name is to the client that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// An argument covers the name; a directory with everything in it, so that what it lacks is extraneous.
    Whole,
    /// An argument covers the name, but not what is in the directory: with `-d` only a directory that an argument
    /// names with a trailing slash is listed with its contents.
    Alone,
    /// A directory that only leads to what was asked for. It has no contents of its own in this transfer,
    /// whatever the sender says.
    Parent,
    /// No argument covers it: "rejecting unrequested file-list name", exit 4.
    No,
}

/// How deep below an argument names may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descent {
    /// Not at all.
    None,
    /// One level, `-d` without `-r`.
    Children,
    /// `-r`.
    All,
}

/// The names a client asked for.
#[derive(Clone, Debug)]
pub struct RequestedNames {
    relative: bool,
    descent: Descent,
    /// An argument named the root's contents.
    root: bool,
    /// Arguments without wildcards; whether one names the contents, by a trailing slash.
    literal: HashMap<Box<[u8]>, bool>,
    /// Directories that lead to one of those.
    literal_parents: HashSet<Box<[u8]>>,
    /// Arguments with wildcards and, with `relative`, the patterns of directories that lead to them.
    wild: Vec<Wild>,
    /// Components of a name that an argument can match, at most.
    components: usize,
}

#[derive(Clone, Debug)]
struct Wild {
    pattern: Pattern,
    is: Part,
}

/// What a pattern made of an argument matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The argument; whether it names the contents.
    Argument { contents: bool },
    /// A directory that leads to it.
    Parent,
}

impl RequestedNames {
    /// No name yet. `relative`: `-R` is on.
    #[must_use]
    pub fn new(relative: bool, descent: Descent) -> Self {
        Self {
            relative,
            descent,
            root: false,
            literal: HashMap::new(),
            literal_parents: HashSet::new(),
            wild: Vec::new(),
            components: 0,
        }
    }

    /// Adds a source argument as it is sent, without the host; for a daemon with its module name.
    pub fn add_argument(&mut self, argument: &[u8], daemon: bool) {
        let path = if daemon {
            let slash = argument.iter().position(|&b| b == b'/');
            slash.map_or(&b""[..], |slash| &argument[slash + 1..])
        } else {
            argument
        };
        self.add_name(path);
    }

    /// Adds a name of `--files-from`.
    pub fn add_name(&mut self, name: &[u8]) {
        let part = if self.relative {
            let marker = name.windows(3).position(|w| w == b"/./");
            marker.map_or(name, |at| &name[at + 3..])
        } else {
            name.rsplit(|&b| b == b'/').next().unwrap_or_default()
        };
        let components: Vec<&[u8]> = part
            .split(|&b| b == b'/')
            .filter(|c| !c.is_empty() && *c != b".")
            .collect();
        if components.is_empty() {
            self.root = true;
            return;
        }
        let path = components.join(&b'/');
        let contents = part.ends_with(b"/") || part.ends_with(b"/.");
        let any_depth = path.windows(2).any(|pair| pair == b"**");
        let deepest = if any_depth {
            usize::MAX
        } else {
            components.len()
        };
        self.components = self.components.max(deepest);
        let parents = if self.relative {
            components.len() - 1
        } else {
            0
        };
        if path.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
            for count in 1..=parents {
                self.add_wild(&components[..count].join(&b'/'), Part::Parent);
            }
            self.add_wild(&path, Part::Argument { contents });
        } else {
            for count in (1..=parents).rev() {
                if !self
                    .literal_parents
                    .insert(components[..count].join(&b'/').into())
                {
                    break;
                }
            }
            *self.literal.entry(path.into()).or_default() |= contents;
        }
    }

    /// A pattern, and the same with `[` as an ordinary byte: the sender falls back to that if nothing matches.
    fn add_wild(&mut self, path: &[u8], is: Part) {
        let mut variants = vec![path.to_vec()];
        if path.contains(&b'[') {
            let escape = |&byte: &u8| {
                if byte == b'[' {
                    vec![b'\\', b'[']
                } else {
                    vec![byte]
                }
            };
            variants.push(path.iter().flat_map(escape).collect());
        }
        for variant in variants {
            let anchored = [b"/", &variant[..]].concat();
            self.wild
                .extend(Pattern::new(&anchored).map(|pattern| Wild { pattern, is }));
        }
    }

    /// Whether a name of the file list was asked for.
    #[must_use]
    pub fn check(&self, name: &[u8], is_dir: bool) -> Requested {
        let name = without_leading_slash(name);
        if name.is_empty() || name == b"." {
            return if self.root {
                Requested::Whole
            } else {
                Requested::Parent
            };
        }
        let argument = self.argument(name, is_dir);
        let below = || match self.descent {
            Descent::None => false,
            Descent::Children => match name.iter().rposition(|&b| b == b'/') {
                Some(slash) => self.argument(&name[..slash], true).is_some(),
                None => self.root,
            },
            Descent::All => self.root || self.is_below_argument(name),
        };
        if argument.is_some() || below() {
            return if self.descent == Descent::All || argument == Some(true) {
                Requested::Whole
            } else {
                Requested::Alone
            };
        }
        let leads = |wild: &Wild| wild.is == Part::Parent && wild.pattern.matches(name, true);
        if is_dir && (self.literal_parents.contains(name) || self.wild.iter().any(leads)) {
            return Requested::Parent;
        }
        Requested::No
    }

    /// Whether a name is an argument itself, which alone can be missing at the sender.
    #[must_use]
    pub fn is_argument(&self, name: &[u8]) -> bool {
        self.argument(without_leading_slash(name), true).is_some()
    }

    /// Whether an argument is this name, and if so whether one names its contents.
    fn argument(&self, name: &[u8], is_dir: bool) -> Option<bool> {
        let literal = self.literal.get(name).copied();
        if literal == Some(true) {
            return literal;
        }
        let wild = self.wild.iter().filter_map(|wild| match wild.is {
            Part::Argument { contents } if wild.pattern.matches(name, is_dir) => Some(contents),
            _ => None,
        });
        literal.into_iter().chain(wild).max()
    }

    /// Whether an argument is a directory above this name. Only as many components are looked at as the arguments
    /// have: names of a hostile sender are deep.
    fn is_below_argument(&self, name: &[u8]) -> bool {
        let slashes = name.iter().enumerate().filter(|(_, b)| **b == b'/');
        slashes
            .take(self.components)
            .any(|(slash, _)| self.argument(&name[..slash], true).is_some())
    }
}

/// With `-R` names may begin with a slash on the wire.
fn without_leading_slash(name: &[u8]) -> &[u8] {
    let start = name.iter().position(|&b| b != b'/').unwrap_or(name.len());
    &name[start..]
}
