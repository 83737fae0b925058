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
    coalescer,
    daemon_config,
    delta,
    demux,
    files_from,
    filter_text,
    filter_wire,
    flist,
    flist_order,
    generator_stream,
    glob,
    greeting,
    hostile_sums,
    hosts_access,
    id_lists,
    inotify_records,
    names_file,
    ndx,
    peer_text,
    receiving,
    replies,
    request_paths,
    requests,
    sender_stream,
    sending,
    server_options,
    setup_client,
    setup_server,
    stats,
    wire_in,
    wire_integers,
}
