//! The itemize string `%i` (06-client 3.3).

use super::entry::{Entry, ItemFlags};

/// The eleven characters. `local`: both ends are on this machine; `times`: modification times are set.
pub(super) fn itemize(entry: &Entry<'_>, local: bool, times: bool) -> String {
    if entry.deleted {
        return "*deleting  ".to_owned();
    }
    let flags = entry.flags;
    let kind = match entry.type_letter() {
        'd' => 'd',
        'l' => 'L',
        'b' | 'c' => 'D',
        'p' | 's' => 'S',
        _ => 'f',
    };
    let action = match () {
        () if flags.any(ItemFlags::LOCAL_CHANGE) && flags.any(ItemFlags::XNAME_FOLLOWS) => 'h',
        () if flags.any(ItemFlags::LOCAL_CHANGE) => 'c',
        () if !flags.any(ItemFlags::TRANSFER) => '.',
        () if entry.sending && !local => '<',
        () => '>',
    };
    let mut text = String::with_capacity(11);
    text.push(action);
    text.push(kind);
    if flags.any(ItemFlags::IS_NEW) {
        text.push_str("+++++++++");
        return text;
    }
    let column = |bits: u16, letter: char| if flags.any(bits) { letter } else { '.' };
    let size = column(ItemFlags::REPORT_SIZE, 's');
    let time_kept = times && !(entry.is_link() && size == 's');
    let access = match (
        flags.any(ItemFlags::REPORT_ATIME),
        flags.any(ItemFlags::REPORT_CRTIME),
    ) {
        (true, true) => 'b',
        (true, false) => 'u',
        (false, true) => 'n',
        (false, false) => '.',
    };
    let columns = [
        column(ItemFlags::REPORT_CHANGE, 'c'),
        if entry.is_link() { '.' } else { size },
        column(ItemFlags::REPORT_TIME, if time_kept { 't' } else { 'T' }),
        column(ItemFlags::REPORT_PERMS, 'p'),
        column(ItemFlags::REPORT_OWNER, 'o'),
        column(ItemFlags::REPORT_GROUP, 'g'),
        access,
        column(ItemFlags::REPORT_ACL, 'a'),
        column(ItemFlags::REPORT_XATTR, 'x'),
    ];
    let unchanged = action != '<' && action != '>' && columns == ['.'; 9];
    text.extend(columns.map(|letter| if unchanged { ' ' } else { letter }));
    text
}
