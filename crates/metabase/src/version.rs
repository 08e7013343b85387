//! Metabase's version tags (`v0.55.3`, `v1.55.3.1`, `-SNAPSHOT`, `-RC2`, `vLOCAL_DEV`) and the schema's major
//! version as its changelog tells it. Which rule depends on which version is said by the modules that hold the
//! rule.

use crate::error::VersionError;
use std::fmt;
use std::str::FromStr;

/// The tag of a Metabase build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionTag {
    /// A build with numbers.
    Numbered(NumberedTag),
    /// `vLOCAL_DEV`: built by a developer.
    LocalDev,
}

/// `v<edition>.<major>[.<minor>[.<patch>…]][-suffix]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedTag {
    /// First number of the tag.
    pub edition: Edition,
    /// What people call the version: 55 in `v0.55.3`.
    pub major: u32,
    /// Everything after the major version, as far as given.
    pub rest: Vec<u32>,
    /// What follows the numbers.
    pub stage: Stage,
}

/// Open source or Enterprise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edition {
    /// `v0.…`
    OpenSource,
    /// `v1.…`
    Enterprise,
}

/// How finished a build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// No suffix.
    Release,
    /// `-SNAPSHOT`.
    Snapshot,
    /// `-RC` and a number, if one is given.
    Candidate(Option<u32>),
    /// Any other suffix, without its dash (`beta` and the like).
    Other(String),
}

impl VersionTag {
    /// The major version; unknown for a developer's build.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        match self {
            Self::Numbered(tag) => Some(tag.major),
            Self::LocalDev => None,
        }
    }
}

impl FromStr for VersionTag {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let malformed = || VersionError::Malformed { tag: text.to_owned() };
        if text == "vLOCAL_DEV" {
            return Ok(Self::LocalDev);
        }
        let body = text.strip_prefix('v').ok_or_else(malformed)?;
        let (numbers, stage) = match body.split_once('-') {
            None => (body, Stage::Release),
            Some((numbers, "SNAPSHOT")) => (numbers, Stage::Snapshot),
            Some((_, "")) => return Err(malformed()),
            Some((numbers, suffix)) => (numbers, candidate(suffix)),
        };
        let mut numbers = numbers
            .split('.')
            .map(|digits| number(digits).ok_or_else(malformed));
        let edition = match numbers.next().ok_or_else(malformed)?? {
            0 => Edition::OpenSource,
            1 => Edition::Enterprise,
            _ => return Err(malformed()),
        };
        let major = numbers.next().ok_or_else(malformed)??;
        let rest = numbers.collect::<Result<Vec<u32>, VersionError>>()?;
        Ok(Self::Numbered(NumberedTag {
            edition,
            major,
            rest,
            stage,
        }))
    }
}

fn number(digits: &str) -> Option<u32> {
    // `parse` alone would also take a sign.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

fn candidate(suffix: &str) -> Stage {
    match suffix.strip_prefix("RC") {
        Some("") => Stage::Candidate(None),
        Some(digits) => {
            number(digits).map_or_else(|| Stage::Other(suffix.to_owned()), |n| Stage::Candidate(Some(n)))
        }
        None => Stage::Other(suffix.to_owned()),
    }
}

impl fmt::Display for VersionTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Numbered(tag) = self else {
            return f.write_str("vLOCAL_DEV");
        };
        let edition = match tag.edition {
            Edition::OpenSource => 0,
            Edition::Enterprise => 1,
        };
        write!(f, "v{edition}.{}", tag.major)?;
        for number in &tag.rest {
            write!(f, ".{number}")?;
        }
        match &tag.stage {
            Stage::Release => Ok(()),
            Stage::Snapshot => f.write_str("-SNAPSHOT"),
            Stage::Candidate(None) => f.write_str("-RC"),
            Stage::Candidate(Some(number)) => write!(f, "-RC{number}"),
            Stage::Other(suffix) => write!(f, "-{suffix}"),
        }
    }
}

/// The major version of a schema: the largest `N` among changelog ids of the form `v<N>.…`. Ids of other forms
/// (the oldest are plain numbers, those of late 2026 begin with a year) say nothing.
///
/// `None`: no id has that form, so this is not a Metabase changelog that can be read.
pub fn schema_major<'a>(change_ids: impl IntoIterator<Item = &'a str>) -> Option<u32> {
    change_ids
        .into_iter()
        .filter_map(|id| number(id.strip_prefix('v')?.split_once('.')?.0))
        .max()
}

#[cfg(test)]
mod tests {
    use super::{Edition, NumberedTag, Stage, VersionTag, schema_major};

    fn tag(edition: Edition, major: u32, rest: &[u32], stage: Stage) -> VersionTag {
        VersionTag::Numbered(NumberedTag {
            edition,
            major,
            rest: rest.to_vec(),
            stage,
        })
    }

    #[test]
    fn reads_and_writes_every_form_of_tag() {
        let facts = [
            ("v0.55.3", tag(Edition::OpenSource, 55, &[3], Stage::Release)),
            ("v1.55.3.1", tag(Edition::Enterprise, 55, &[3, 1], Stage::Release)),
            ("v0.63", tag(Edition::OpenSource, 63, &[], Stage::Release)),
            (
                "v1.51.0-SNAPSHOT",
                tag(Edition::Enterprise, 51, &[0], Stage::Snapshot),
            ),
            (
                "v0.54.0-RC2",
                tag(Edition::OpenSource, 54, &[0], Stage::Candidate(Some(2))),
            ),
            (
                "v0.54.0-RC",
                tag(Edition::OpenSource, 54, &[0], Stage::Candidate(None)),
            ),
            (
                "v0.57.0-beta",
                tag(Edition::OpenSource, 57, &[0], Stage::Other("beta".into())),
            ),
            ("vLOCAL_DEV", VersionTag::LocalDev),
        ];
        for (text, expected) in facts {
            let read: VersionTag = text.parse().unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_tag() {
        for text in [
            "", "v", "0.55.3", "v2.55.3", "v0", "v0.", "v0.x", "v0.+5", "v0.55.3-", "v0..5", "vUNKNOWN",
        ] {
            assert!(text.parse::<VersionTag>().is_err(), "{text:?} was read as a tag");
        }
    }

    #[test]
    fn schema_major_is_the_largest_numbered_change() {
        let ids = [
            "v00.00-000",
            "v55.2025-05-16T04:00:00",
            "v49.00-059",
            "1",
            "2026-09-02-x",
            "v60.2026-01-01",
        ];
        assert_eq!(schema_major(ids), Some(60));
        assert_eq!(schema_major(["1", "2026-10-01"]), None);
    }
}
