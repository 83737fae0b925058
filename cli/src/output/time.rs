//! Local time in rsync's forms.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Seconds since 1970 as `format` (jiff's strftime) in `zone`. A time that no calendar holds is shown as it is.
pub(super) fn format(seconds: i64, format: &str, zone: &TimeZone) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(zone.clone()).strftime(format).to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

/// `2023/11/14 22:13:20`, the form of listings.
pub(super) const LISTING: &str = "%Y/%m/%d %H:%M:%S";
/// `2023/11/14-22:13:20`, the form of `%M`.
pub(super) const MTIME: &str = "%Y/%m/%d-%H:%M:%S";
