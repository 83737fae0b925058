//! The order that gives entries their indices (02-file-list 8.3).
//!
//! The rule of 8.3 is one of components, but amounts to this: an entry sorts by its *folder* first, a plain
//! byte string that ends in a slash (a directory is in the folder of its own contents, a file in that of its
//! parent, the root "." in the empty one); in a folder the directory itself comes first, then the files by
//! their last component. So the sort is one over the few folders, then one over the files of each.

use std::cmp::Ordering;

use super::state::common_prefix;

/// Compares two clean names in the order of the list (02-file-list 8.3), with what tells directories.
#[must_use]
pub fn compare(a: &[u8], a_is_dir: bool, b: &[u8], b_is_dir: bool) -> Ordering {
    let (a_folder, a_base) = split(a, a_is_dir);
    let (b_folder, b_base) = split(b, b_is_dir);
    a_folder
        .cmp(&b_folder)
        .then(b_is_dir.cmp(&a_is_dir))
        .then_with(|| a_base.cmp(b_base))
}

/// The order of `len` entries in arrival order: the entry of index `ndx_start + k` is the one of position
/// `sort(..)[k]`. Stable (02-file-list 8.4). `name_of` gives clean name and "is a directory" by position.
///
/// The same order as by [`compare`], in a fraction of the time: names of one directory are not compared over
/// the path that they share. `len` is below 2^32, as the range of indices implies.
#[must_use]
pub fn sort<'a>(len: usize, name_of: impl Fn(usize) -> (&'a [u8], bool)) -> Vec<u32> {
    let (places, counts) = rank_folders(len, &name_of);

    // Counting sort by folder; arrival order inside.
    let mut next = Vec::with_capacity(counts.len());
    let mut end = 0;
    for count in &counts {
        next.push(end);
        end += count;
    }
    let mut items = vec![Item::default(); len];
    for (arrival, place) in (0..).zip(&places) {
        if let Some(at) = next.get_mut(place.rank as usize)
            && let Some(item) = items.get_mut(*at)
        {
            *item = Item {
                head: 0,
                arrival,
                base: place.base,
            };
            *at += 1;
        }
    }

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

/// Where an entry belongs.
#[derive(Clone, Copy)]
struct Place {
    /// Rank of its folder.
    rank: u32,
    /// Start of the last component of a file, [`DIRECTORY`] for a directory.
    base: u32,
}

/// An entry while its folder is sorted.
#[derive(Clone, Copy, Default)]
struct Item {
    /// Eight bytes of the last component, from where those of the folder first differ, as a number.
    head: u64,
    arrival: u32,
    base: u32,
}

/// Ranks the folders of all entries; also how many entries each rank has.
fn rank_folders<'a>(
    len: usize,
    name_of: &impl Fn(usize) -> (&'a [u8], bool),
) -> (Vec<Place>, Vec<usize>) {
    // Consecutive files mostly share their folder: one record for each run. Directories in between do not
    // end a run.
    let mut folders: Vec<(Folder<'a>, u32)> = Vec::new();
    let mut places = Vec::with_capacity(len);
    let mut run: Option<(Folder<'a>, u32)> = None;
    for position in 0..len {
        let (name, is_dir) = name_of(position);
        let (folder, base) = split(name, is_dir);
        let rank = match run {
            Some((current, id)) if !is_dir && current == folder => id,
            _ => {
                let id = u32::try_from(folders.len()).unwrap_or(u32::MAX);
                folders.push((folder, id));
                if !is_dir {
                    run = Some((folder, id));
                }
                id
            }
        };
        let base = if is_dir {
            DIRECTORY
        } else {
            u32::try_from(name.len() - base.len()).unwrap_or(0)
        };
        places.push(Place { rank, base });
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
    for place in &mut places {
        place.rank = rank_of.get(place.rank as usize).copied().unwrap_or(0);
        if let Some(count) = counts.get_mut(place.rank as usize) {
            *count += 1;
        }
    }
    (places, counts)
}

/// Sorts the entries of one folder: directories as they came, then files by their last component.
fn sort_folder<'a>(items: &mut [Item], name_of: &impl Fn(usize) -> (&'a [u8], bool)) {
    if items.len() < 2 {
        return;
    }
    let base = |item: &Item| {
        let (name, _) = name_of(item.arrival as usize);
        name.get(item.base as usize..).unwrap_or_default()
    };
    let mut files = items.iter().filter(|item| item.base != DIRECTORY);
    let Some(first) = files.next().map(base) else {
        return;
    };
    let shared = files.fold(first.len(), |shared, item| {
        common_prefix(first, base(item), shared)
    });
    for item in items.iter_mut().filter(|item| item.base != DIRECTORY) {
        item.head = head(base(item), shared);
    }
    items.sort_unstable_by(|a, b| {
        (a.base != DIRECTORY)
            .cmp(&(b.base != DIRECTORY))
            .then(a.head.cmp(&b.head))
            .then_with(|| base(a).cmp(base(b)))
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

/// Folder of an entry and its last component (of a directory: nothing).
fn split(name: &[u8], is_dir: bool) -> (Folder<'_>, &[u8]) {
    let slash = name.iter().rposition(|&b| b == b'/');
    let (parent, base) = name.split_at(slash.map_or(0, |i| i + 1));
    if !is_dir {
        return (
            Folder {
                path: parent,
                slash: false,
            },
            base,
        );
    }
    // The root is in the folder of what is at the top.
    let folder = if base == b"." {
        Folder {
            path: parent,
            slash: false,
        }
    } else {
        Folder {
            path: name,
            slash: true,
        }
    };
    (folder, b"")
}

/// A path that ends in a slash, or nothing for the top.
#[derive(Debug, Clone, Copy)]
struct Folder<'a> {
    path: &'a [u8],
    /// The slash is not part of `path`, but to be thought after it.
    slash: bool,
}

impl Folder<'_> {
    fn len(self) -> usize {
        self.path.len() + usize::from(self.slash)
    }

    fn byte(self, at: usize) -> Option<u8> {
        let thought = (self.slash && at == self.path.len()).then_some(b'/');
        self.path.get(at).copied().or(thought)
    }
}

impl Ord for Folder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let written = self.path.len().min(other.path.len());
        let (a, _) = self.path.split_at(written);
        let (b, _) = other.path.split_at(written);
        // Past the written bytes of the shorter one it has at most the thought slash, so that after that byte
        // the lengths decide.
        a.cmp(b)
            .then_with(|| self.byte(written).cmp(&other.byte(written)))
            .then_with(|| self.len().cmp(&other.len()))
    }
}

impl PartialOrd for Folder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Folder<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.cmp(other).is_eq()
    }
}

impl Eq for Folder<'_> {}

/// Marks a directory in the place of the start of its last component. No name is that long.
const DIRECTORY: u32 = u32::MAX;
