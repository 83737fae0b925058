//! Names as a receiver takes them: cleaned, and refused where they could lead outside (02-file-list 13.2, 13.3).

use crate::error::Violation;

/// What [`check`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing to do.
    Clean,
    /// Safe, but with components that [`clean_into`] drops.
    Untidy,
}

/// Checks a name from the wire from byte `from` on, which is the start of a component; what lies before was
/// found clean with an earlier name. That there is no NUL is checked where the bytes come in.
pub(super) fn check(name: &[u8], from: usize, relative: bool) -> Result<Form, Violation> {
    if name.is_empty() {
        return Err(Violation::NameLength { len: 0 });
    }
    if name == b"." || (relative && name == b"/.") {
        return Ok(Form::Clean);
    }
    let mut unchecked = name.get(from..).unwrap_or_default();
    if from == 0
        && let Some(rest) = unchecked.strip_prefix(b"/")
    {
        if !relative {
            return Err(Violation::UnsafeName);
        }
        unchecked = rest;
    }
    let mut form = Form::Clean;
    for component in unchecked.split(|&b| b == b'/') {
        match component {
            b".." => return Err(Violation::UnsafeName),
            b"" | b"." => form = Form::Untidy,
            _ => {}
        }
    }
    Ok(form)
}

/// Writes the clean form of a name: no empty and no "." component. The root itself is "." or, after a leading
/// slash, "/.".
pub(super) fn clean_into(name: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if name.starts_with(b"/") {
        out.push(b'/');
    }
    let root = out.len();
    for component in name.split(|&b| b == b'/') {
        if !matches!(component, b"" | b".") {
            if out.len() > root {
                out.push(b'/');
            }
            out.extend_from_slice(component);
        }
    }
    if out.len() == root {
        out.push(b'.');
    }
}

/// Whether a clean name is the transfer root.
pub(super) fn is_root(name: &[u8]) -> bool {
    matches!(name, b"." | b"/.")
}

/// Start of the last component among the first `len` bytes.
pub(super) fn component_start(name: &[u8], len: usize) -> usize {
    let front = name.get(..len).unwrap_or(name);
    front.iter().rposition(|&b| b == b'/').map_or(0, |i| i + 1)
}

/// Whether a clean name lies directly in `dir`, also a clean name.
pub(super) fn is_directly_in(name: &[u8], dir: &[u8]) -> bool {
    name.strip_prefix(dir)
        .and_then(|rest| rest.strip_prefix(b"/"))
        .is_some_and(|base| !base.is_empty() && !base.contains(&b'/'))
}

/// Whether a clean name lies in `dir` at any depth.
pub(super) fn is_below(name: &[u8], dir: &[u8]) -> bool {
    name.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with(b"/"))
}

/// Whether a clean name has no directory part, but for a leading slash.
pub(super) fn is_single(name: &[u8]) -> bool {
    !name.strip_prefix(b"/").unwrap_or(name).contains(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clean(name: &[u8], relative: bool) -> Result<Vec<u8>, Violation> {
        let mut out = name.to_vec();
        if check(name, 0, relative)? == Form::Untidy {
            clean_into(name, &mut out);
        }
        Ok(out)
    }

    #[test]
    fn table() {
        // name, relative, clean form or refusal
        type Row = (&'static [u8], bool, Option<&'static [u8]>);
        let rows: [Row; 32] = [
            (b".", false, Some(b".")),
            (b"x", false, Some(b"x")),
            (b"a/b", false, Some(b"a/b")),
            (b"./x", false, Some(b"x")),
            (b"a//b", false, Some(b"a/b")),
            (b"x/", false, Some(b"x")),
            (b"a/./b", false, Some(b"a/b")),
            (b"a/.", false, Some(b"a")),
            (b"./.", false, Some(b".")),
            (b"./", false, Some(b".")),
            (b".x", false, Some(b".x")),
            (b"..x", false, Some(b"..x")),
            (b"x..", false, Some(b"x..")),
            (b"...", false, Some(b"...")),
            (b"", false, None),
            (b"..", false, None),
            (b"../x", false, None),
            (b"a/../x", false, None),
            (b"a/..", false, None),
            (b"/..", false, None),
            (b"../..//.", false, None),
            (b"/etc/x", false, None),
            (b"/", false, None),
            (b"//", false, None),
            (b"/etc/x", true, Some(b"/etc/x")),
            (b"/", true, Some(b"/.")),
            (b"/.", true, Some(b"/.")),
            (b"//x", true, Some(b"/x")),
            (b"/./x//y/", true, Some(b"/x/y")),
            (b"/..", true, None),
            (b"/a/../b", true, None),
            (b"..", true, None),
        ];
        for (name, relative, expected) in rows {
            let got = clean(name, relative);
            let shown = name.escape_ascii();
            assert_eq!(got.as_deref().ok(), expected, "{shown} relative {relative}");
        }
    }

    #[test]
    fn places() {
        assert!(is_directly_in(b"d/x", b"d"));
        assert!(!is_directly_in(b"d", b"d"));
        assert!(!is_directly_in(b"d/", b"d"));
        assert!(!is_directly_in(b"dx", b"d"));
        assert!(!is_directly_in(b"d2/x", b"d"));
        assert!(!is_directly_in(b"d/q/x", b"d"));
        assert!(!is_directly_in(b"z", b"."));
        assert!(is_single(b"x") && is_single(b"/x") && is_single(b"."));
        assert!(!is_single(b"x/y") && !is_single(b"/x/y"));
    }

    proptest! {
        /// Any bytes give a clean path or an error; cleaning twice changes nothing.
        #[test]
        fn cleaning_is_total(name in "[./ab]{0,12}", relative: bool) {
            if let Ok(out) = clean(name.as_bytes(), relative) {
                prop_assert_eq!(clean(&out, relative), Ok(out.clone()));
                prop_assert!(!out.is_empty());
                if !is_root(&out) {
                    let inner = out.strip_prefix(b"/").unwrap_or(&out);
                    prop_assert!(relative || inner.len() == out.len());
                    for component in inner.split(|&b| b == b'/') {
                        prop_assert!(!matches!(component, b"" | b"." | b".."));
                    }
                }
            }
        }

        /// Checking only what is new finds what checking everything finds.
        #[test]
        fn partial_check(a in "[./ab]{1,8}", cut in 0..8_usize, b in "[./ab]{0,8}", relative: bool) {
            if check(a.as_bytes(), 0, relative) == Ok(Form::Clean) {
                let shared = cut.min(a.len());
                let whole = format!("{}{b}", &a[..shared]);
                let from = component_start(whole.as_bytes(), shared);
                prop_assert_eq!(
                    check(whole.as_bytes(), from, relative),
                    check(whole.as_bytes(), 0, relative)
                );
            }
        }
    }
}
