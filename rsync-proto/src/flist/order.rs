//! The order that gives entries their indices (02-file-list 8.3).
//!
//! The rule of 8.3 is one of components, but amounts to this: an entry sorts by its *folder* first, a plain
//! byte string that ends in a slash (a directory is in the folder of its own contents, a file in that of its
//! parent, the root "." in the empty one); in a folder the directory itself comes first, then the files by
//! their last component. So the sort is one over the few folders, then one over the files of each.

use std::cmp::Ordering;

use super::state::common_prefix;

/// A clean name in two pieces, so that many names of one directory may share its bytes.
#[derive(Debug, Clone, Copy)]
pub struct ListName<'a> {
    /// What stands before the last component, without the slash between them.
    dir: &'a [u8],
    /// There is a slash between the two.
    slash: bool,
    /// The last component.
    base: &'a [u8],
    number: u32,
}

/// No [`ListName::numbered`] directory.
const NO_NUMBER: u32 = u32::MAX;

impl<'a> ListName<'a> {
    /// The name `base` in `dir`, which is not empty and which the caller knows by `number`. Numbers are small: what
    /// sorts keeps a few bytes for each up to the largest.
    #[must_use]
    pub const fn numbered(dir: &'a [u8], base: &'a [u8], number: u32) -> Self {
        Self {
            dir,
            slash: true,
            base,
            number,
        }
    }

    /// The directory that the name lies in; empty at the top.
    pub(super) const fn parent(self) -> &'a [u8] {
        self.dir
    }

    /// Whether it is the transfer root.
    pub(super) fn is_root(self) -> bool {
        self.dir.is_empty() && self.base == b"."
    }

    /// Whether it is `path`.
    pub(super) fn is(self, path: &'a [u8]) -> bool {
        self == Self::from(path)
    }

    /// Whether `path` lies in it at any depth.
    pub(super) fn is_above(self, path: &[u8]) -> bool {
        let slash: &[u8] = if self.slash { b"/" } else { b"" };
        let rest = path.strip_prefix(self.dir);
        rest.and_then(|rest| rest.strip_prefix(slash))
            .and_then(|rest| rest.strip_prefix(self.base))
            .is_some_and(|rest| rest.starts_with(b"/"))
    }
}

impl<'a> From<&'a [u8]> for ListName<'a> {
    fn from(name: &'a [u8]) -> Self {
        let slash = name.iter().rposition(|&b| b == b'/');
        let (dir, base) = name.split_at(slash.unwrap_or(0));
        Self {
            dir,
            slash: slash.is_some(),
            base: base.strip_prefix(b"/").unwrap_or(base),
            number: NO_NUMBER,
        }
    }
}

impl PartialEq for ListName<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.slash, self.base, self.dir) == (other.slash, other.base, other.dir)
    }
}

impl Eq for ListName<'_> {}

/// Compares two clean names in the order of the list (02-file-list 8.3), with what tells directories.
#[must_use]
pub fn compare(a: &[u8], a_is_dir: bool, b: &[u8], b_is_dir: bool) -> Ordering {
    compare_names((a.into(), a_is_dir), (b.into(), b_is_dir))
}

pub(super) fn compare_names(
    (a, a_is_dir): (ListName<'_>, bool),
    (b, b_is_dir): (ListName<'_>, bool),
) -> Ordering {
    Folder::of(a, a_is_dir)
        .cmp(&Folder::of(b, b_is_dir))
        .then(b_is_dir.cmp(&a_is_dir))
        .then_with(|| match a_is_dir {
            true => Ordering::Equal,
            false => a.base.cmp(b.base),
        })
}

/// Bytes that [`sort`] takes for an entry, its result included.
pub const SORT_ENTRY_BYTES: usize = 24;

/// Bytes that [`sort`] takes for a directory, and for a directory that names lie in.
pub const SORT_FOLDER_BYTES: usize = 128;

/// The order of `len` entries in arrival order: the entry of index `ndx_start + k` is the one of position
/// `sort(..)[k]`. Stable (02-file-list 8.4). `name_of` gives clean name and "is a directory" by position.
///
/// The same order as by [`compare`], in a fraction of the time: names of one directory are not compared over
/// the path that they share. `len` is below 2^32, as the range of indices implies.
#[must_use]
pub fn sort<'a, N: Into<ListName<'a>>>(
    len: usize,
    name_of: impl Fn(usize) -> (N, bool),
) -> Vec<u32> {
    let name_of = in_pieces(name_of);
    let (ranks, counts) = rank_folders(len, &name_of);

    // Counting sort by folder; arrival order inside.
    let mut next = Vec::with_capacity(counts.len());
    let mut end = 0;
    for count in &counts {
        next.push(end);
        end += count;
    }
    let mut items = vec![Item::default(); len];
    for (arrival, rank) in (0..).zip(&ranks) {
        if let Some(at) = next.get_mut(*rank as usize)
            && let Some(item) = items.get_mut(*at)
        {
            *item = Item {
                head: 0,
                arrival,
                is_file: !name_of(arrival as usize).1,
            };
            *at += 1;
        }
    }
    drop(ranks);

    let mut rest = items.as_mut_slice();
    for count in counts {
        let Some((folder, others)) = rest.split_at_mut_checked(count) else {
            break;
        };
        sort_folder(folder, &name_of);
        rest = others;
    }
    items.into_iter().map(|item| item.arrival).collect()
}

/// The same names as [`ListName`]s.
pub(super) fn in_pieces<'a, N: Into<ListName<'a>>>(
    name_of: impl Fn(usize) -> (N, bool),
) -> impl Fn(usize) -> (ListName<'a>, bool) {
    move |position| {
        let (name, is_dir) = name_of(position);
        (name.into(), is_dir)
    }
}

/// An entry while its folder is sorted.
#[derive(Clone, Copy, Default)]
struct Item {
    /// Eight bytes of the last component, from where those of the folder first differ, as a number.
    head: u64,
    arrival: u32,
    is_file: bool,
}

/// Ranks the folders of all entries; also how many entries each rank has.
fn rank_folders<'a>(
    len: usize,
    name_of: &impl Fn(usize) -> (ListName<'a>, bool),
) -> (Vec<u32>, Vec<usize>) {
    let mut folders: Vec<(Folder<'a>, u32)> = Vec::new();
    // For each entry the number of its folder, later its rank.
    let mut ranks = Vec::with_capacity(len);
    // Files find their folder by the number of their directory. Without one, consecutive files that share it have
    // one record; directories in between do not end such a run.
    let mut numbered: Vec<u32> = Vec::new();
    let mut run: Option<(Folder<'a>, u32)> = None;
    for position in 0..len {
        let (name, is_dir) = name_of(position);
        let folder = Folder::of(name, is_dir);
        let known = match run {
            _ if is_dir => None,
            _ if name.number != NO_NUMBER => numbered.get(name.number as usize).copied(),
            Some((current, id)) if current == folder => Some(id),
            _ => None,
        };
        if let Some(id) = known.filter(|&id| id != NO_NUMBER) {
            ranks.push(id);
            continue;
        }
        let id = u32::try_from(folders.len()).unwrap_or(u32::MAX);
        folders.push((folder, id));
        ranks.push(id);
        if !is_dir && name.number == NO_NUMBER {
            run = Some((folder, id));
        } else if !is_dir {
            let at = name.number as usize;
            numbered.resize(numbered.len().max(at + 1), NO_NUMBER);
            if let Some(slot) = numbered.get_mut(at) {
                *slot = id;
            }
        }
    }

    folders.sort_unstable_by_key(|(folder, _)| *folder);
    let mut rank_of = vec![0_u32; folders.len()];
    let mut rank = 0;
    let mut before: Option<Folder<'_>> = None;
    for (folder, id) in &folders {
        if before.is_some_and(|before| before != *folder) {
            rank += 1;
        }
        before = Some(*folder);
        if let Some(slot) = rank_of.get_mut(*id as usize) {
            *slot = rank;
        }
    }
    let mut counts = vec![
        0;
        if folders.is_empty() {
            0
        } else {
            rank as usize + 1
        }
    ];
    for place in &mut ranks {
        *place = rank_of.get(*place as usize).copied().unwrap_or(0);
        if let Some(count) = counts.get_mut(*place as usize) {
            *count += 1;
        }
    }
    (ranks, counts)
}

/// Sorts the entries of one folder: directories as they came, then files by their last component.
fn sort_folder<'a>(items: &mut [Item], name_of: &impl Fn(usize) -> (ListName<'a>, bool)) {
    if items.len() < 2 {
        return;
    }
    let base = |item: &Item| name_of(item.arrival as usize).0.base;
    let mut files = items.iter().filter(|item| item.is_file);
    let Some(first) = files.next().map(base) else {
        return;
    };
    let shared = files.fold(first.len(), |shared, item| {
        common_prefix(first, base(item), shared)
    });
    for item in items.iter_mut().filter(|item| item.is_file) {
        item.head = head(base(item), shared);
    }
    items.sort_unstable_by(|a, b| {
        a.is_file
            .cmp(&b.is_file)
            .then(a.head.cmp(&b.head))
            .then_with(|| match a.is_file {
                true => base(a).cmp(base(b)),
                false => Ordering::Equal,
            })
            .then(a.arrival.cmp(&b.arrival))
    });
}

/// Eight bytes from `start` on, so that numbers compare like the bytes. Missing bytes are 0: equal numbers
/// need a second look.
fn head(bytes: &[u8], start: usize) -> u64 {
    let mut head = [0; 8];
    for (to, from) in head.iter_mut().zip(bytes.iter().skip(start)) {
        *to = *from;
    }
    u64::from_le_bytes(head).swap_bytes()
}

/// A path that ends in a slash, or nothing for the top: of a file its directory, of a directory itself.
#[derive(Debug, Clone, Copy)]
struct Folder<'a> {
    dir: &'a [u8],
    slash: bool,
    /// Last component of a directory, with a slash after it; empty for a file.
    base: &'a [u8],
}

impl<'a> Folder<'a> {
    fn of(name: ListName<'a>, is_dir: bool) -> Self {
        Self {
            dir: name.dir,
            slash: name.slash,
            // The root is in the folder of what is at the top.
            base: match name.base {
                base if is_dir && base != b"." => base,
                _ => b"",
            },
        }
    }

    /// What it is made of.
    fn pieces(self) -> [&'a [u8]; 4] {
        let slash = |is_there: bool| -> &[u8] { if is_there { b"/" } else { b"" } };
        [
            self.dir,
            slash(self.slash),
            self.base,
            slash(!self.base.is_empty()),
        ]
    }
}

impl Ord for Folder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.pieces().into_iter(), other.pieces().into_iter());
        let (mut left, mut right): (&[u8], &[u8]) = (b"", b"");
        loop {
            while left.is_empty()
                && let Some(piece) = a.next()
            {
                left = piece;
            }
            while right.is_empty()
                && let Some(piece) = b.next()
            {
                right = piece;
            }
            let len = left.len().min(right.len());
            if len == 0 {
                return left.len().cmp(&right.len());
            }
            let ((x, left_rest), (y, right_rest)) = (left.split_at(len), right.split_at(len));
            match x.cmp(y) {
                Ordering::Equal => (left, right) = (left_rest, right_rest),
                order => return order,
            }
        }
    }
}

impl PartialOrd for Folder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Folder<'_> {
    fn eq(&self, other: &Self) -> bool {
        let len = |folder: &Self| folder.pieces().map(<[u8]>::len).iter().sum::<usize>();
        len(self) == len(other) && self.cmp(other).is_eq()
    }
}

impl Eq for Folder<'_> {}
