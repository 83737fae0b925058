//! Rules as the client sends them to the server, one text each (07-filters 11, 02-file-list 2).

use rsync_proto::Protocol;

use super::MAX_RULE;
use super::content::Syntax;
use super::error::FilterError;
use super::list::{ItemKind, RuleList, RuleSettings};
use super::rule::{Merge, Origin, Role, Rule, Sides, Style};

impl RuleList {
    /// The texts for the server in their order, without the length words around them. `role` is the client's
    /// own: a sender pushes, a receiver pulls. Whether a list is sent at all is another question
    /// (02-file-list 2.1).
    ///
    /// # Errors
    /// [`FilterError::TooModern`] for a perishable rule in a push below protocol 30.
    pub fn wire_rules(&self, protocol: Protocol, role: Role) -> Result<Vec<Vec<u8>>, FilterError> {
        let mut out = Vec::new();
        for item in &self.items {
            if item.push_only && role == Role::Receiver {
                continue;
            }
            match &item.kind {
                ItemKind::Rule(rule) => self.put_rule(rule, protocol, role, &mut out)?,
                ItemKind::DirMerge(merge) => {
                    let sides = merge.effective_sides(self.settings.delete_excluded);
                    if travels(sides, role) {
                        out.push(merge_text(
                            merge,
                            perishable_letter(merge.perishable, protocol, role)?,
                        ));
                    }
                }
                ItemKind::Cvs(mark) if role == Role::Receiver => {
                    if travels(mark.sides, role) {
                        let sides = if self.settings.delete_excluded && !mark.sides.is_named() {
                            Sides::SENDER
                        } else {
                            mark.sides
                        };
                        let flags = Flags {
                            absolute: mark.absolute,
                            negate: mark.negate,
                            middle: "C",
                            xattr: mark.xattr,
                            sides,
                            perishable: perishable_letter(mark.perishable, protocol, role)?,
                        };
                        out.push(flags.text(op(mark.include), &mark.rest, false));
                    }
                }
                ItemKind::Cvs(mark) => self
                    .settings
                    .cvs
                    .rules(mark)
                    .iter()
                    .try_for_each(|rule| self.put_rule(rule, protocol, role, &mut out))?,
            }
        }
        Ok(out)
    }

    fn put_rule(
        &self,
        rule: &Rule,
        protocol: Protocol,
        role: Role,
        out: &mut Vec<Vec<u8>>,
    ) -> Result<(), FilterError> {
        let delete_excluded = self.settings.delete_excluded;
        let sides = match rule.origin {
            Origin::MergeFileName => rule.sides,
            _ => rule.effective_sides(delete_excluded),
        };
        // A rule without sides is plain for a server that deletes what is excluded, whoever wrote it.
        let plain = delete_excluded && role == Role::Sender && !rule.sides.is_named();
        if plain || !travels(sides, role) {
            return Ok(());
        }
        let flags = Flags {
            absolute: rule.absolute,
            negate: rule.negate,
            middle: "",
            xattr: rule.xattr,
            sides,
            perishable: perishable_letter(rule.perishable, protocol, role)?,
        };
        out.push(flags.text(
            op(rule.include),
            rule.pattern.text(),
            rule.pattern.is_dir_only(),
        ));
        Ok(())
    }

    /// The rules that a client sent, in the full syntax. The list then applies all of them, whatever sides they
    /// name.
    ///
    /// # Errors
    /// A rule that cannot be parsed or would open a file at once, more rules than the limit.
    pub fn from_wire<R: AsRef<[u8]>>(
        rules: &[R],
        settings: RuleSettings,
    ) -> Result<Self, FilterError> {
        let mut list = Self::of_peer(settings);
        for rule in rules {
            list.add_wire_rule(rule.as_ref())?;
        }
        Ok(list)
    }

    /// As [`Self::from_wire`], for rules that are added as they come.
    #[must_use]
    pub fn of_peer(settings: RuleSettings) -> Self {
        let mut list = Self::new(settings);
        list.received = true;
        list
    }

    /// Appends a rule that a client sent.
    ///
    /// # Errors
    /// As of [`Self::from_wire`].
    pub fn add_wire_rule(&mut self, text: &[u8]) -> Result<(), FilterError> {
        if text.is_empty() || text.len() > MAX_RULE || text.contains(&0) {
            return Err(FilterError::WireRule { len: text.len() });
        }
        // A rule that would open a file is refused before this is called.
        self.add_text(text, Syntax::Rules, &mut |_| {
            Err(std::io::ErrorKind::Unsupported.into())
        })
    }
}

/// True if the other side needs a rule for these sides.
fn travels(sides: Sides, role: Role) -> bool {
    match role {
        Role::Sender => sides != Sides::SENDER,
        Role::Receiver => sides != Sides::RECEIVER,
    }
}

/// Whether the `p` of a rule is written (07-filters 11.2).
fn perishable_letter(
    perishable: bool,
    protocol: Protocol,
    role: Role,
) -> Result<bool, FilterError> {
    match (perishable && !protocol.has_perishable_rules(), role) {
        (true, Role::Sender) => Err(FilterError::TooModern),
        (true, Role::Receiver) => Ok(false),
        (false, _) => Ok(perishable),
    }
}

fn op(include: bool) -> u8 {
    if include { b'+' } else { b'-' }
}

fn merge_text(merge: &Merge, perishable: bool) -> Vec<u8> {
    let mut middle = String::new();
    if merge.cvs {
        middle.push('C');
    } else {
        middle.extend(merge.no_inherit.then_some('n'));
        middle.extend(merge.words.then_some('w'));
        middle.extend(match merge.style {
            Style::Rules => None,
            Style::Excludes => Some('-'),
            Style::Includes => Some('+'),
        });
    }
    let Merge {
        absolute,
        xattr,
        sides,
        ..
    } = *merge;
    let flags = Flags {
        absolute,
        negate: false,
        middle: &middle,
        xattr,
        sides,
        perishable,
    };
    flags.text(b':', &merge.name, false)
}

/// The letters of a prefix in the order they are written.
struct Flags<'a> {
    absolute: bool,
    negate: bool,
    /// Letters of merge rules, or `C`.
    middle: &'a str,
    xattr: bool,
    sides: Sides,
    perishable: bool,
}

impl Flags<'_> {
    fn text(&self, op: u8, pattern: &[u8], dir_only: bool) -> Vec<u8> {
        let named = |side| self.sides == side || self.sides == Sides::BOTH;
        let mut text = vec![op];
        text.extend(self.absolute.then_some(b'/'));
        text.extend(self.negate.then_some(b'!'));
        text.extend(self.middle.bytes());
        text.extend(self.xattr.then_some(b'x'));
        text.extend(named(Sides::SENDER).then_some(b's'));
        text.extend(named(Sides::RECEIVER).then_some(b'r'));
        text.extend(self.perishable.then_some(b'p'));
        text.push(b' ');
        text.extend_from_slice(pattern);
        text.extend(dir_only.then_some(b'/'));
        text
    }
}
