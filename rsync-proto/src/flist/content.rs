//! Which directories are content at protocol 29, which has no flag for it (02-file-list 5.9).

use super::name;

/// The region of the list that a top directory opened, in arrival order.
#[derive(Debug, Default)]
pub(super) struct ContentRegion {
    open: bool,
    prefix: Vec<u8>,
}

impl ContentRegion {
    /// Whether the next directory is a content directory.
    pub(super) fn next(
        &mut self,
        name: &[u8],
        top_dir: bool,
        recurse: bool,
        relative: bool,
    ) -> bool {
        if top_dir {
            self.open = recurse;
            self.prefix.clear();
            self.prefix.extend_from_slice(name);
            return true;
        }
        self.open = self.open
            && (!relative || name::is_root(&self.prefix) || name::is_below(name, &self.prefix));
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (bool, bool, &'static [(&'static str, bool, bool)]);

    #[test]
    fn regions() {
        // recurse, relative, then name, TOP_DIR, content?
        let rows: [Row; 6] = [
            (
                true,
                false,
                &[
                    (".", true, true),
                    ("sub", false, true),
                    ("sub/deep", false, true),
                ],
            ),
            (false, false, &[(".", true, true), ("sub", false, false)]),
            (false, false, &[("sub", false, false)]),
            (
                true,
                true,
                &[
                    ("sub", false, false),
                    ("sub/deep", true, true),
                    ("sub/deep/x", false, true),
                    ("sub/deeper", false, false),
                    // The region is closed for good.
                    ("sub/deep/y", false, false),
                    ("other", true, true),
                    ("other/z", false, true),
                ],
            ),
            (
                true,
                true,
                &[(".", true, true), ("a", false, true), ("a/b", false, true)],
            ),
            (
                true,
                true,
                &[
                    ("/.", true, true),
                    ("/a", false, true),
                    ("/a/b", false, true),
                ],
            ),
        ];
        for (recurse, relative, entries) in rows {
            let mut region = ContentRegion::default();
            for (path, top_dir, content) in entries {
                let got = region.next(path.as_bytes(), *top_dir, recurse, relative);
                assert_eq!(got, *content, "{path} in {entries:?}");
            }
        }
    }
}
