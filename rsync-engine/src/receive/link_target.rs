//! What a symlink's target becomes when it is stored (04-daemon 11.3).

use std::borrow::Cow;

/// In front of every munged target.
const MUNGED: &[u8] = b"/rsyncd-munged/";

/// How targets of incoming symlinks are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTargets {
    /// As they come.
    AsSent,
    /// Disarmed by a prefix (a daemon's `munge symlinks`).
    Munged,
    /// Rewritten so that they stay inside the destination.
    Confined,
}

impl LinkTargets {
    /// The target to store for a link at `path` below the destination.
    pub(super) fn stored<'t>(self, target: &'t [u8], path: &[u8]) -> Cow<'t, [u8]> {
        match self {
            Self::AsSent => Cow::Borrowed(target),
            Self::Munged => Cow::Owned([MUNGED, target].concat()),
            Self::Confined => {
                let depth = path.iter().filter(|&&byte| byte == b'/').count();
                confine(target, depth)
            }
        }
    }
}

/// The target without leading slashes and without the `..` that would climb more than `depth` directories.
fn confine(target: &[u8], depth: usize) -> Cow<'_, [u8]> {
    if !target.starts_with(b"/") && !target.split(|&byte| byte == b'/').any(|part| part == b"..") {
        return Cow::Borrowed(target);
    }
    let (mut climbed, mut kept) = (0, Vec::new());
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if kept.len() > climbed => {
                kept.pop();
            }
            b".." if climbed < depth => {
                climbed += 1;
                kept.push(part);
            }
            b".." => {}
            name => kept.push(name),
        }
    }
    match kept.is_empty() {
        true => Cow::Borrowed(b"."),
        false => Cow::Owned(kept.join(&b'/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confined_targets() {
        for (depth, target, stored) in [
            (0, "/etc/passwd", "etc/passwd"),
            (0, "../../../etc/x", "etc/x"),
            (0, "a/../../../b", "b"),
            (0, "a/./b//c", "a/./b//c"),
            (0, "a..b", "a..b"),
            (0, "..", "."),
            (0, "/", "."),
            (1, "../x", "../x"),
            (1, "../../x", "../x"),
            (2, "../a/../../../x", "../../x"),
            (1, "/../x", "../x"),
        ] {
            let got = confine(target.as_bytes(), depth);
            assert_eq!(
                got.escape_ascii().to_string(),
                stored,
                "{target:?} at {depth}"
            );
        }
    }

    #[test]
    fn the_link_s_own_directories_count() {
        let confined = LinkTargets::Confined;
        assert_eq!(*confined.stored(b"../../../x", b"a/link"), *b"../x");
        assert_eq!(*confined.stored(b"../../../x", b"link"), *b"x");
        assert_eq!(
            *LinkTargets::Munged.stored(b"/x", b"a/link"),
            *b"/rsyncd-munged//x"
        );
        assert_eq!(*LinkTargets::AsSent.stored(b"/x", b"l"), *b"/x");
    }
}
