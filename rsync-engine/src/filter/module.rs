//! The filter of a daemon's module (07-filters 13).

use rsync_proto::Protocol;

use super::content::Syntax;
use super::cvs::CvsSources;
use super::error::{FilterError, Notice, RuleSource};
use super::list::{ItemKind, ReadRules, RuleList, RuleSettings};
use super::parse::{first_rule_len, old_style_prefix, word_len};
use super::pattern::Pattern;
use super::records::is_space;
use super::rule::{Anchor, Origin, Role, Rule, Sides};

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

/// The rules of a module in their fixed order. `read` opens the files that are named, outside of any chroot; `cvs`
/// is what a `-C` in them adds to its built-in list, which `protocol` makes perishable or not.
///
/// The list counts for either side of a transfer, as rsync reads it before it knows the direction: of the rules in
/// `filter` itself those for the sender alone are left out, with a notice; all others act on both sides, and those
/// in a file that `filter` merges do so whatever side they name. Per-directory files are read in the session's own
/// role.
///
/// Patterns are compared with paths from the module's top, which [`Chain::set_root`](super::Chain::set_root)
/// connects with the names of a transfer; without a root names are such paths. Each path is put to
/// [`Chain::excludes_path`](super::Chain::excludes_path).
///
/// Unlike rsync, which tests some paths without their parents, this lets nothing through below a hidden
/// directory. An exclude of a directory hides what is below it in any case: `dir/` counts as `dir/***`.
///
/// # Errors
/// As [`RuleList::from_options`].
pub fn module_rules(
    parameters: &ModuleParameters<'_>,
    cvs: CvsSources,
    protocol: Protocol,
    read: &mut ReadRules<'_>,
) -> Result<RuleList, FilterError> {
    let mut list = RuleList::new(RuleSettings {
        cvs,
        ..RuleSettings::default()
    });
    let mut rest = skip_space(parameters.filter);
    while !rest.is_empty() {
        let text = RuleSource::Text(rest.to_vec());
        let length = first_rule_len(rest).map_err(|fault| fault.with_source(text))?;
        list.add_text(&rest[..length], Syntax::Rules, read)?;
        rest = skip_space(&rest[length..]);
        let last = list.items.last_mut().filter(|item| !item.in_file);
        if let Some(ItemKind::Cvs(mark)) = last.map(|item| &mut item.kind) {
            // What follows are words of that list and no rules any more.
            mark.words = std::mem::take(&mut rest).into();
        }
        drop_sender_only(&mut list);
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
    settle(&mut list, protocol)?;
    Ok(list)
}

/// Leaves out what `filter` itself says for the sender alone. At once: it does not stand in the way of a later rule
/// for the same per-directory file.
fn drop_sender_only(list: &mut RuleList) {
    let notices = &mut list.notices;
    list.items.retain(|item| {
        let (sides, text) = match &item.kind {
            ItemKind::Rule(rule) => (rule.sides, rule.pattern.text()),
            ItemKind::DirMerge(merge) => (merge.sides, &merge.name[..]),
            ItemKind::Cvs(mark) => (mark.sides, &b"C"[..]),
        };
        let kept = item.in_file || Role::Receiver.heeds(sides);
        if !kept {
            notices.push(Notice::SenderOnly(text.to_vec()));
        }
        kept
    });
}

/// Makes the rules those of a module.
fn settle(list: &mut RuleList, protocol: Protocol) -> Result<(), FilterError> {
    list.settled = true;
    list.bytes = 0;
    for item in std::mem::take(&mut list.items) {
        match item.kind {
            ItemKind::Rule(rule) => list.push(ItemKind::Rule(of_module(rule)))?,
            ItemKind::Cvs(mut mark) => {
                mark.default_perishable = protocol.has_perishable_rules();
                for rule in list.settings.cvs.rules(&mark) {
                    list.push(ItemKind::Rule(of_module(rule)))?;
                }
            }
            merge @ ItemKind::DirMerge(_) => list.push(merge)?,
        }
    }
    Ok(())
}

/// A rule as one of a module.
fn of_module(mut rule: Rule) -> Rule {
    rule.origin = Origin::Daemon;
    rule.sides = Sides::NONE;
    rule.anchor = Anchor::Module;
    if !rule.include && rule.pattern.is_dir_only() {
        let all_below = [rule.pattern.text(), b"/***"].concat();
        // Too long for that: no directory has such a name, and what lies below has a longer one.
        if let Some(pattern) = Pattern::new(&all_below) {
            rule.pattern = pattern;
        }
    }
    rule
}

fn skip_space(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|&b| !is_space(b))
        .unwrap_or(text.len());
    &text[start..]
}
