//! What a session does to files, in the module's log (04-daemon 18.3).

use rsync_delta::Checksum;
use rsync_engine::{Cost, Event, Events, Item};
use rsync_proto::item::ItemFlags;

use crate::logfmt::{LoggedItem, Operation};
use crate::session::SessionLog;

/// Writes what happens to files to the module's log.
pub(super) struct Logged {
    pub(super) log: SessionLog,
    /// The path of a push's names in the module.
    pub(super) prefix: Vec<u8>,
    /// Modification times are kept.
    pub(super) times: bool,
    /// Groups are kept.
    pub(super) group: bool,
    /// Nothing is moved or deleted; as in rsync's log there is no line then.
    pub(super) dry_run: bool,
}

impl Logged {
    /// Something that was not deleted.
    fn moved(&self, item: &Item<'_>, cost: Cost) {
        let operation = if item.sending {
            Operation::Send
        } else {
            Operation::Receive
        };
        self.item(operation, item, cost);
    }

    fn item(&self, operation: Operation, item: &Item<'_>, cost: Cost) {
        let prefix = if item.sending {
            item.place
        } else {
            &self.prefix
        };
        let path = match prefix {
            b"" => item.name.to_vec(),
            prefix => [prefix, b"/", item.name].concat(),
        };
        let checksum = item.checksum.map(|sum| item.algorithm.shown(sum));
        self.log.item(&LoggedItem {
            operation,
            name: item.name,
            path: &path,
            mode: item.mode,
            size: item.size,
            mtime: item.mtime,
            uid: item.uid,
            gid: self.group.then_some(item.gid),
            link_target: item.link_target,
            hard_link: item.xname,
            checksum: checksum.as_deref(),
            checksum_len: item.algorithm.digest_len(),
            bytes: cost.data,
            sums: cost.sums,
            itemized: &item.flags.itemized(item.mode, item.sending, self.times),
        });
    }
}

impl Events for Logged {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Failed(failure) => self.log.warn(format!("rsync: {failure}")),
            _ if self.dry_run => {}
            Event::Transferred { item, cost, .. } if self.log.wants_items() => {
                self.moved(&item, cost);
            }
            // What has no data; the rest is logged when that has moved.
            Event::Item(item)
                if self.log.wants_itemized() && !item.flags.contains(ItemFlags::TRANSFER) =>
            {
                let named = item.xname.is_some_and(|name| !name.is_empty());
                if named || item.flags.is_significant() {
                    self.moved(&item, Cost::default());
                }
            }
            Event::Deleted { name, is_dir, mode } if self.log.wants_items() => {
                let item = Item {
                    flags: ItemFlags::default(),
                    name,
                    mode: mode.unwrap_or(if is_dir { 0o040_000 } else { 0o100_000 }),
                    size: 0,
                    mtime: 0,
                    uid: 0,
                    gid: 0,
                    link_target: None,
                    xname: None,
                    sending: false,
                    place: b"",
                    checksum: None,
                    algorithm: Checksum::None,
                };
                self.item(Operation::Delete, &item, Cost::default());
            }
            _ => {}
        }
    }

    fn wants_deleted_modes(&self) -> bool {
        self.log.wants_modes()
    }
}
