//! Which Metabase versions the store takes.

/// Decides about version tags: `v0.<major>.<minor>` (open source) and `v1.…` (Enterprise), with an optional
/// suffix such as `-RC1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRule {
    /// The oldest major version that is taken.
    pub major_min: u32,
    /// The newest major version that is taken.
    pub major_max: u32,
}

impl Default for VersionRule {
    /// From 50, the first with `cloud_migration`, on.
    fn default() -> Self {
        Self {
            major_min: 50,
            major_max: u32::MAX,
        }
    }
}

impl VersionRule {
    /// Why this tag is not taken.
    pub(crate) fn reason_against(self, tag: &str) -> Option<String> {
        let Some(major) = major(tag) else {
            return Some("this is no Metabase release: expected a tag such as v0.58.1".to_owned());
        };
        if major < self.major_min {
            return Some(format!(
                "Metabase {major} is too old: upgrade to {} or later",
                self.major_min
            ));
        }
        if major > self.major_max {
            return Some(format!(
                "Metabase {major} is too new: up to {} is taken here",
                self.major_max
            ));
        }
        None
    }
}

fn major(tag: &str) -> Option<u32> {
    let rest = tag.strip_prefix("v0.").or_else(|| tag.strip_prefix("v1."))?;
    let digits = rest.split(['.', '-']).next()?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_from_fifty_on_are_taken() {
        for tag in ["v0.50.0", "v1.50", "v0.63.14", "v1.58.0-RC1", "v0.64.0-SNAPSHOT"] {
            assert_eq!(VersionRule::default().reason_against(tag), None, "{tag}");
        }
    }

    #[test]
    fn old_and_unreadable_tags_are_refused_with_the_reason() {
        let reason = |tag| VersionRule::default().reason_against(tag).unwrap();
        assert!(reason("v0.49.9").contains("upgrade to 50"));
        for tag in [
            "",
            "vLOCAL_DEV",
            "0.50.0",
            "v2.50",
            "v0.",
            "v0.x",
            "v0.+50",
            "v0.99999999999",
        ] {
            assert!(reason(tag).contains("no Metabase release"), "{tag}");
        }
        let rule = VersionRule {
            major_max: 60,
            ..VersionRule::default()
        };
        assert!(rule.reason_against("v0.61.1").unwrap().contains("too new"));
    }
}
