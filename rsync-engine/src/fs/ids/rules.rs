//! `--usermap` and `--groupmap`: `FROM:TO,FROM:TO...` (02-file-list 7.2).

/// Users or groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the two kinds of ids")]
pub enum IdKind {
    User,
    Group,
}

impl IdKind {
    /// The option that holds the rules: `usermap` or `groupmap`.
    pub fn option(self) -> &'static str {
        match self {
            Self::User => "usermap",
            Self::Group => "groupmap",
        }
    }
}

/// Rules in their order; the first that matches counts.
#[derive(Clone, Debug, Default)]
pub struct IdRules {
    pub(super) rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    from: From,
    pub(super) to: Target,
}

#[derive(Clone, Debug)]
enum From {
    Range(u32, u32),
    Name(Vec<u8>),
    Pattern(Vec<u8>, Wildcard),
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Id(u32),
    Name(Vec<u8>),
}

/// Matches a pattern (first) with `*`, `?` and `[` against a name.
type Wildcard = fn(&[u8], &[u8]) -> bool;

/// Why a map is refused (exit 1); the texts are rsync's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdRulesError {
    /// A rule without a colon.
    #[error("No colon found in --{}: {rule}", .kind.option())]
    NoColon {
        /// Which map.
        kind: IdKind,
        /// The rule, escaped.
        rule: String,
    },
    /// A rule with nothing behind the colon.
    #[error("No name found after colon --{}: {rule}", .kind.option())]
    NoTarget {
        /// Which map.
        kind: IdKind,
        /// The rule, escaped.
        rule: String,
    },
    /// A number that is none.
    #[error("Invalid number in --{}: {rule}", .kind.option())]
    BadNumber {
        /// Which map.
        kind: IdKind,
        /// The rule, escaped.
        rule: String,
    },
}

impl IdRules {
    /// Parses the option's value; `wildcard` matches a pattern (its first argument) against a name.
    pub fn parse(kind: IdKind, text: &[u8], wildcard: Wildcard) -> Result<Self, IdRulesError> {
        let rules = text
            .split(|&b| b == b',')
            .map(|rule| parse_rule(kind, rule, wildcard));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    /// True if there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The target for the sender's `id` with `name` (empty: it has none).
    pub(super) fn find(&self, id: u32, name: &[u8]) -> Option<&Target> {
        let matching = self.rules.iter().find(|rule| match &rule.from {
            From::Range(low, high) => (*low..=*high).contains(&id),
            From::Name(exact) => exact == name,
            From::Pattern(pattern, matches) => matches(pattern, name),
        });
        matching.map(|rule| &rule.to)
    }
}

fn parse_rule(kind: IdKind, rule: &[u8], wildcard: Wildcard) -> Result<Rule, IdRulesError> {
    let shown = || rule.escape_ascii().to_string();
    let Some(colon) = rule.iter().position(|&b| b == b':') else {
        return Err(IdRulesError::NoColon {
            kind,
            rule: shown(),
        });
    };
    let (from, to) = (&rule[..colon], &rule[colon + 1..]);
    let bad_number = || IdRulesError::BadNumber {
        kind,
        rule: shown(),
    };
    let starts_with_digit = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    let from = if starts_with_digit(from) {
        let (low, high) = match from.iter().position(|&b| b == b'-') {
            Some(dash) => (&from[..dash], &from[dash + 1..]),
            None => (from, from),
        };
        From::Range(
            number(low).ok_or_else(bad_number)?,
            number(high).ok_or_else(bad_number)?,
        )
    } else if from.iter().any(|b| b"*?[".contains(b)) {
        From::Pattern(from.to_vec(), wildcard)
    } else {
        From::Name(from.to_vec())
    };
    let to = if to.is_empty() {
        return Err(IdRulesError::NoTarget {
            kind,
            rule: shown(),
        });
    } else if starts_with_digit(to) {
        Target::Id(number(to).ok_or_else(bad_number)?)
    } else {
        Target::Name(to.to_vec())
    };
    Ok(Rule { from, to })
}

fn number(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    // All ones is the kernel's "leave it".
    digits.parse().ok().filter(|&id| id != u32::MAX)
}
