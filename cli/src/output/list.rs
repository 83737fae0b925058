//! Lines of a listing (06-client 3.6).

use jiff::tz::TimeZone;

use super::entry::Entry;
use super::{number, time};

/// `drwxr-xr-x          4,096 2023/11/14 22:13:20 d`; the target of a symlink only if `links`.
pub(super) fn line(entry: &Entry<'_>, level: u8, links: bool, zone: &TimeZone) -> Vec<u8> {
    let mut line = if entry.mode == 0 {
        // A missing source argument that shall be deleted.
        format!("{:45} ", "*missing")
    } else {
        let width = if level == 0 { 11 } else { 14 };
        let size = match entry.type_letter() {
            'b' | 'c' => 0,
            _ => entry.size,
        };
        let size = number::bytes(size, level);
        let time = time::format(entry.mtime, time::LISTING, zone);
        format!(
            "{}{} {size:>width$} {time} ",
            entry.type_letter(),
            entry.permissions()
        )
    }
    .into_bytes();
    line.extend_from_slice(entry.name);
    if links && entry.is_link() {
        line.extend_from_slice(&entry.link_suffix());
    }
    line
}
