//! Memory of the first members of hard-link groups, by group number (02-file-list 10.1).

/// Something kept for each group. Numbers arrive in ascending order, since they are arrival indices.
#[derive(Debug)]
pub(super) struct Leaders<T> {
    sorted: Vec<(i32, T)>,
}

impl<T> Leaders<T> {
    pub(super) fn new() -> Self {
        Self { sorted: Vec::new() }
    }

    pub(super) fn push(&mut self, group: i32, leader: T) {
        debug_assert!(self.sorted.last().is_none_or(|(last, _)| *last < group));
        self.sorted.push((group, leader));
    }

    pub(super) fn get(&self, group: i32) -> Option<&T> {
        let at = self.sorted.binary_search_by_key(&group, |(g, _)| *g).ok()?;
        self.sorted.get(at).map(|(_, leader)| leader)
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        self.sorted.capacity() * size_of::<(i32, T)>()
    }

    /// Takes all out, lowest number first.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (i32, T)> {
        self.sorted.drain(..)
    }
}
