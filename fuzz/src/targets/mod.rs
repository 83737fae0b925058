//! The targets, each with its seeds.

use crate::Target;

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(pub mod $name;)*

        /// Every target.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds },)*
        ];
    };
}

targets! {
    arguments,
    delta,
    demux,
    files_from,
    filter_wire,
    flist,
    flist_order,
    generator_stream,
    greeting,
    hostile_sums,
    id_lists,
    ndx,
    peer_text,
    replies,
    requests,
    sender_stream,
    server_options,
    setup_client,
    setup_server,
    stats,
    wire_in,
    wire_integers,
}
