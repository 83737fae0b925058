//! How a sender reads a source path: where it changes to, and what the transfer calls the rest (02-file-list 14.1, 14.3).

/// A source path in its parts. Nothing was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePath<'a> {
    /// The directory to change into, as it was written; `.` where the path names none.
    pub directory: &'a [u8],
    /// [`super::Argument::name`].
    pub name: Vec<u8>,
    /// [`super::Argument::implied`].
    pub implied: bool,
    /// [`super::Argument::contents`].
    pub contents: bool,
    /// With `-R` the directory was given, before a `/./`.
    pub cut: bool,
}

/// A path whose name in the transfer would lead upwards, with `-R`. It holds that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadsUpwards(pub Vec<u8>);

impl<'a> SourcePath<'a> {
    /// Splits a path; `relative` is `-R`.
    ///
    /// # Errors
    /// [`LeadsUpwards`], with `relative` only.
    pub fn split(path: &'a [u8], relative: bool) -> Result<Self, LeadsUpwards> {
        match relative {
            true => Self::relative(path),
            false => Ok(Self::last(path)),
        }
    }

    /// Without `-R` the last component is the name. A slash at the end, `.` and `..` mean the contents.
    fn last(path: &'a [u8]) -> Self {
        let (directory, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&path[..slash.max(1)], &path[slash + 1..]),
            None => (&b"."[..], path),
        };
        let contents = matches!(name, b"" | b"." | b"..");
        Self {
            directory: if contents { path } else { directory },
            name: if contents { b"." } else { name }.to_vec(),
            implied: false,
            contents,
            cut: false,
        }
    }

    /// With `-R` the whole path is the name, or what follows `/./`.
    fn relative(path: &'a [u8]) -> Result<Self, LeadsUpwards> {
        let cut = path.windows(3).position(|window| window == b"/./");
        let absolute = cut.is_none() && path.starts_with(b"/");
        let (directory, rest) = match cut {
            Some(at) => (&path[..at.max(1)], &path[at + 3..]),
            None if absolute => (&b"/"[..], path),
            None => (&b"."[..], path),
        };
        let mut name: Vec<u8> = Vec::new();
        let mut upwards = false;
        for part in rest
            .split(|&byte| byte == b'/')
            .filter(|part| !part.is_empty() && *part != b".")
        {
            upwards |= part == b"..";
            if !name.is_empty() || absolute {
                name.push(b'/');
            }
            name.extend_from_slice(part);
        }
        if upwards {
            return Err(LeadsUpwards(name));
        }
        let whole = name.is_empty();
        if whole {
            name = if absolute { b"/" } else { b"." }.to_vec();
        } else if rest.starts_with(b"./") {
            name.splice(..0, *b"./");
        }
        Ok(Self {
            directory,
            name,
            implied: !whole,
            contents: whole || rest.ends_with(b"/") || rest.ends_with(b"/."),
            cut: cut.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What rsync 3.5.0 made of each.
    #[test]
    fn paths_are_split_as_rsync_does() {
        for (path, relative, directory, name, contents) in [
            ("a", false, ".", "a", false),
            ("a/", false, "a/", ".", true),
            ("a/.", false, "a/.", ".", true),
            ("a/..", false, "a/..", ".", true),
            ("/", false, "/", ".", true),
            ("/a", false, "/", "a", false),
            ("a/b", false, "a", "b", false),
            ("a/./b", false, "a/.", "b", false),
            (".", true, ".", ".", true),
            ("./", true, ".", ".", true),
            ("/", true, "/", "/", true),
            ("a", true, ".", "a", false),
            ("a/.", true, ".", "a", true),
            ("a//b/", true, ".", "a/b", true),
            ("/a/b", true, "/", "/a/b", false),
            ("./a", true, ".", "./a", false),
            (".//a/.", true, ".", "./a", true),
            ("././a", true, ".", "a", false),
            ("./././a", true, ".", "./a", false),
            ("./a/./b", true, "./a", "b", false),
            ("a/./b/./c", true, "a", "b/c", false),
            ("a/./", true, "a", ".", true),
            ("/./a", true, "/", "a", false),
        ] {
            let split = SourcePath::split(path.as_bytes(), relative).expect("no dots");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                (text(split.directory), text(&split.name), split.contents),
                (directory.to_owned(), name.to_owned(), contents),
                "{path} {relative}"
            );
            assert_eq!(
                split.implied,
                relative && !matches!(name, "." | "/"),
                "{path}"
            );
            assert_eq!(split.cut, relative && path.contains("/./"), "{path}");
        }
        let upwards = SourcePath::split(b"a/../b", true);
        assert_eq!(upwards, Err(LeadsUpwards(b"a/../b".to_vec())));
    }
}
