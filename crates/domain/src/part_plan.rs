//! From the size of an object to its parts.

/// A part's number: S3 counts parts from 1 and refuses 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PartNumber(pub u32);

impl PartNumber {
    /// The number of the part at a position counted from 0.
    #[must_use]
    pub fn from_index(index: u32) -> Self {
        Self(index + 1)
    }
}
