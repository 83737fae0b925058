//! The filter of a daemon's module (07-filters 13).

use super::content::Syntax;
use super::error::{FilterError, RuleSource};
use super::list::{ItemKind, ReadRules, RuleList, RuleSettings};
use super::parse::{first_rule_len, old_style_prefix, word_len};
use super::pattern::Pattern;
use super::records::is_space;
use super::rule::Origin;

/// The parameters of a module that make its filter, as they stand in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleParameters<'a> {
    /// `filter`: rules in the full syntax, several on the line.
    pub filter: &'a [u8],
    /// `include from`: name of a file.
    pub include_from: &'a [u8],
    /// `include`: old-style patterns.
    pub include: &'a [u8],
    /// `exclude from`: name of a file.
    pub exclude_from: &'a [u8],
    /// `exclude`: old-style patterns.
    pub exclude: &'a [u8],
}

/// The rules of a module in their fixed order. `read` opens the files that are named, outside of any chroot.
///
/// Use them in a [`Chain`](super::Chain) with [`Role::Receiver`](super::Role) whatever the direction of the
/// transfer, since they are read before it is known: rules for the sender alone have no effect, those for the
/// receiver alone count on both sides. Names are paths from the module's top, so its root is never set, and
/// each path is put to [`Chain::excludes_path`](super::Chain::excludes_path) unless its parents are known to be
/// visible.
///
/// Unlike rsync, which tests some paths without their parents, this lets nothing through below a hidden
/// directory. An exclude of a directory hides what is below it in any case: `dir/` counts as `dir/***`.
///
/// # Errors
/// As [`RuleList::from_options`].
pub fn module_rules(
    parameters: &ModuleParameters<'_>,
    read: &mut ReadRules<'_>,
) -> Result<RuleList, FilterError> {
    let mut list = RuleList::new(RuleSettings::default());
    let mut rest = skip_space(parameters.filter);
    while !rest.is_empty() {
        let text = RuleSource::Text(rest.to_vec());
        let length = first_rule_len(rest).map_err(|fault| fault.with_source(text))?;
        list.add_text(&rest[..length], Syntax::Rules, read)?;
        rest = skip_space(&rest[length..]);
    }
    for (include, file, patterns) in [
        (true, parameters.include_from, parameters.include),
        (false, parameters.exclude_from, parameters.exclude),
    ] {
        if !file.is_empty() {
            list.add_file(file, include, read)?;
        }
        let mut rest = skip_space(patterns);
        while !rest.is_empty() {
            let pattern = old_style_prefix(rest).map_or(rest, |(_, pattern)| pattern);
            let length = rest.len() - pattern.len() + word_len(pattern);
            list.add_text(&rest[..length], Syntax::OldStyle { include }, read)?;
            rest = skip_space(&rest[length..]);
        }
    }
    for item in &mut list.items {
        let ItemKind::Rule(rule) = &mut item.kind else {
            continue;
        };
        rule.origin = Origin::Daemon;
        if !rule.include && rule.pattern.is_dir_only() {
            let all_below = [rule.pattern.text(), b"/***"].concat();
            // Too long for that: no directory has such a name, and what lies below has a longer one.
            if let Some(pattern) = Pattern::new(&all_below) {
                rule.pattern = pattern;
            }
        }
    }
    Ok(list)
}

fn skip_space(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|&b| !is_space(b))
        .unwrap_or(text.len());
    &text[start..]
}
