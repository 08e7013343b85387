//! Is there room on the disk for a dump?

use std::path::Path;

use metaferry_domain::ports::{Finding, Severity};

/// Temporary files of sorted indexes beside the file itself, in parts of its size.
const BESIDE: u64 = 4;

/// A finding if `folder` has less room than a dump of so many bytes at the source may take.
pub(super) fn finding(folder: &Path, wanted_bytes: u64) -> Option<Finding> {
    let free_bytes = free_bytes(folder)?;
    against(&folder.display().to_string(), free_bytes, wanted_bytes)
}

/// What whoever is no superuser may still write; `None` where nobody tells.
fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What the source stores may be compressed, or mostly empty: a file of a quarter of it may do, and one of more than
/// all of it may be needed.
fn against(folder: &str, free_bytes: u64, wanted_bytes: u64) -> Option<Finding> {
    let wanted = wanted_bytes + wanted_bytes / BESIDE;
    let (severity, may) = if free_bytes < wanted_bytes / BESIDE {
        (Severity::Blocker, "will")
    } else if free_bytes < wanted {
        (Severity::Warning, "may")
    } else {
        return None;
    };
    Some(super::finding(
        severity,
        "room",
        format!(
            "{folder} has {} MB free, and the dump {may} need about {} MB; make room, or set METAFERRY_DATA_DIR to a folder \
             on another disk",
            free_bytes / 1_000_000,
            wanted.div_ceil(1_000_000),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use metaferry_domain::ports::Severity;

    use super::{against, finding};

    #[test]
    fn little_room_is_a_warning_and_none_a_blocker() {
        let severity = |free, wanted| against("/dumps", free, wanted).map(|found| found.severity);
        assert_eq!(severity(1_250_000_000, 1_000_000_000), None);
        assert_eq!(severity(1_249_999_999, 1_000_000_000), Some(Severity::Warning));
        assert_eq!(severity(249_999_999, 1_000_000_000), Some(Severity::Blocker));
        let found = against("/dumps", 1_000_000, 1_000_000_000).unwrap();
        assert!(
            found.message.contains("/dumps has 1 MB free") && found.message.contains("1250 MB"),
            "{}",
            found.message
        );
    }

    #[test]
    fn a_real_disk_is_asked() {
        let folder = std::env::temp_dir();
        assert_eq!(finding(&folder, 0), None);
        assert!(finding(&folder, u64::MAX / 2).is_some());
    }
}
