//! How much memory there is.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::OnceLock;

use super::operator::{Input, Trust, open_read};

/// Files of the kernel about control groups are a few lines.
const FILE_LEN: u64 = 64 << 10;

/// Bytes of memory that this process may use: those of the machine, or fewer if a control group (systemd's `MemoryMax=`, a
/// container) says so. As it was at the first call.
#[must_use]
pub fn machine_memory() -> u64 {
    static MEMORY: OnceLock<u64> = OnceLock::new();
    *MEMORY.get_or_init(|| {
        let system = rustix::system::sysinfo();
        #[allow(
            clippy::useless_conversion,
            reason = "the width of the number depends on the machine"
        )]
        let total = u64::from(system.totalram);
        let machine = total.saturating_mul(system.mem_unit.into());
        group_memory(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"))
            .map_or(machine, |group| machine.min(group))
    })
}

/// The smallest limit of the control groups (version 2) that `membership` names; `None` if there is none.
fn group_memory(membership: &Path, groups: &Path) -> Option<u64> {
    let text = content(membership)?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |group: &Path| {
        let text = content(&groups.join(group).join("memory.max"))?;
        text.trim().parse().ok()
    };
    // The group itself, and those it lies in.
    Path::new(group).ancestors().filter_map(limit).min()
}

fn content(path: &Path) -> Option<String> {
    let (fd, _) = open_read(path, Trust::OwnLinks, Input::Regular).ok()?;
    let mut text = String::new();
    let read = File::from(fd).take(FILE_LEN).read_to_string(&mut text);
    read.is_ok().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_group_counts() {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("groups/system.slice/syncline.service")).expect("mkdir");
        std::fs::write(
            at("self"),
            "1:name=x:/y\n0::/system.slice/syncline.service\n",
        )
        .expect("write");
        let found = || group_memory(&at("self"), &at("groups"));
        assert_eq!(found(), None);
        for (group, text, expected) in [
            ("system.slice/syncline.service", "max\n", None),
            ("system.slice", "3000000\n", Some(3_000_000)),
            (
                "system.slice/syncline.service",
                "2000000\n",
                Some(2_000_000),
            ),
            ("system.slice", "1000000\n", Some(1_000_000)),
        ] {
            std::fs::write(at("groups").join(group).join("memory.max"), text).expect("write");
            assert_eq!(found(), expected, "{group} {text}");
        }
        assert_eq!(group_memory(&at("none"), &at("groups")), None);
        assert!(machine_memory() > 1 << 20);
    }
}
