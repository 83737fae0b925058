//! Lists of algorithm names: space-separated, compared without regard to case, best first (01-session 5.2, 9.3).

/// An algorithm that has a name on the wire.
pub(crate) trait WireName: Copy + PartialEq + 'static {
    /// Every name, in the order in which a list must name them: servers of rsync 3.5.0 choose by their own
    /// order, clients by theirs, so the two agree only if both are this one. Aliases come last.
    const NAMES: &'static [(&'static str, Self)];

    /// The name on the wire; empty for what is never listed.
    fn wire_name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, value)| *value == self);
        named.map_or("", |(name, _)| name)
    }

    /// The algorithm of that name.
    fn from_wire(name: &[u8]) -> Option<Self> {
        let known = Self::NAMES
            .iter()
            .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        known.map(|(_, value)| *value)
    }
}

/// The names of a list that we know, in the order of the list.
pub(crate) fn parse_list<N: WireName>(list: &[u8]) -> Vec<N> {
    list.split(|&byte| byte == b' ')
        .filter_map(N::from_wire)
        .collect()
}

/// The list of `names`, in the order of [`WireName::NAMES`] whatever theirs.
pub(crate) fn list<N: WireName>(names: &[N]) -> String {
    let mut listed: Vec<&str> = Vec::new();
    for (name, value) in N::NAMES {
        // Of a value with two names the first one is listed.
        if names.contains(value) && value.wire_name() == *name {
            listed.push(name);
        }
    }
    listed.join(" ")
}

/// The choice that both sides come to: the first name of the client's list that the server has.
pub(crate) fn first_common<N: WireName>(client: &[N], server: &[N]) -> Option<N> {
    client.iter().copied().find(|name| server.contains(name))
}

/// `names` in the order of [`WireName::NAMES`], each once: what [`list`] writes, as values.
pub(crate) fn in_order<N: WireName>(names: &[N]) -> Vec<N> {
    let mut ordered = Vec::new();
    for (_, value) in N::NAMES {
        if names.contains(value) && !ordered.contains(value) {
            ordered.push(*value);
        }
    }
    ordered
}
