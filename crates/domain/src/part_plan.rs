//! From the size of an object to its parts: whole or in parts, how long each part is, where it begins.
//!
//! Numbers only. Which bytes they are and how they travel is left to the uploader.

use std::fmt;

use thiserror::Error;

/// Objects of at most this many bytes go in one PUT; larger ones in parts.
pub const SINGLE_PUT_DEFAULT_BYTES: u64 = 100_000_000;
/// How long a part is unless configured otherwise.
pub const PART_SIZE_DEFAULT_BYTES: u64 = 100_000_000;
/// The shortest part that may be configured. S3's own floor, for every part but the last, is 5 242 880 bytes.
pub const PART_SIZE_MIN_BYTES: u64 = 6_000_000;
/// S3 takes at most 5 GiB in one PUT, whether a whole object or a part.
pub const PUT_MAX_BYTES: u64 = 5 << 30;
/// S3 takes at most this many parts.
pub const PARTS_MAX: u32 = 10_000;
/// The largest object that every S3 service takes: 5 TiB. Some take more: raise
/// [`PartRules::object_size_max_bytes`] for those.
pub const OBJECT_SIZE_MAX_BYTES: u64 = 5 << 40;

/// A part's number: S3 counts parts from 1 and refuses 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PartNumber(pub u32);

impl PartNumber {
    /// The number of the part at a position counted from 0.
    #[must_use]
    pub fn from_index(index: u32) -> Self {
        Self(index + 1)
    }

    /// The position counted from 0.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0.saturating_sub(1)
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an object cannot go, or a setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartPlanError {
    /// The part size is outside what S3 takes.
    #[error(
        "a part size of {part_size_bytes} bytes is not possible: choose {min_bytes} to {max_bytes} bytes"
    )]
    PartSize {
        /// What was asked for.
        part_size_bytes: u64,
        /// The least.
        min_bytes: u64,
        /// The most.
        max_bytes: u64,
    },
    /// The largest whole object is beyond one PUT.
    #[error("{threshold_bytes} bytes in one PUT are not possible: choose at most {max_bytes} bytes")]
    SinglePut {
        /// What was asked for.
        threshold_bytes: u64,
        /// The most.
        max_bytes: u64,
    },
    /// A limit of no parts.
    #[error("an upload needs at least 1 part: choose a part limit of 1 to {max}")]
    PartLimit {
        /// The most that S3 takes.
        max: u32,
    },
    /// The object is larger than the store takes.
    #[error(
        "an object of {size_bytes} bytes is larger than the {max_bytes} bytes that the store takes: leave tables out with --exclude"
    )]
    ObjectTooLarge {
        /// Size of the object.
        size_bytes: u64,
        /// The most.
        max_bytes: u64,
    },
    /// What an earlier process remembered of an upload does not fit the object.
    #[error(
        "an upload of {size_bytes} bytes in parts of {part_size_bytes} bytes needs {parts} parts, more than {parts_max}: begin a new upload"
    )]
    TooManyParts {
        /// Size of the object.
        size_bytes: u64,
        /// Size of the parts.
        part_size_bytes: u64,
        /// How many that would be.
        parts: u64,
        /// The most.
        parts_max: u32,
    },
}

/// What decides between one PUT and parts. Made by [`PartRules::default`] and the `with_…` functions, which
/// check what they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRules {
    /// Objects of at most this many bytes go in one PUT.
    pub single_put_max_bytes: u64,
    /// Bytes of a part, unless it must grow.
    pub part_size_bytes: u64,
    /// The store's limit of parts.
    pub parts_max: u32,
    /// The store's limit of bytes.
    pub object_size_max_bytes: u64,
}

impl Default for PartRules {
    fn default() -> Self {
        Self {
            single_put_max_bytes: SINGLE_PUT_DEFAULT_BYTES,
            part_size_bytes: PART_SIZE_DEFAULT_BYTES,
            parts_max: PARTS_MAX,
            object_size_max_bytes: OBJECT_SIZE_MAX_BYTES,
        }
    }
}

impl PartRules {
    /// The same with another part size, in bytes.
    ///
    /// # Errors
    /// [`PartPlanError::PartSize`] below 6 MB or above 5 GiB.
    pub fn with_part_size(self, part_size_bytes: u64) -> Result<Self, PartPlanError> {
        if (PART_SIZE_MIN_BYTES..=PUT_MAX_BYTES).contains(&part_size_bytes) {
            Ok(Self {
                part_size_bytes,
                ..self
            })
        } else {
            Err(PartPlanError::PartSize {
                part_size_bytes,
                min_bytes: PART_SIZE_MIN_BYTES,
                max_bytes: PUT_MAX_BYTES,
            })
        }
    }

    /// The same with another largest size of a single PUT, in bytes; 0 sends everything but an empty object in parts.
    ///
    /// # Errors
    /// [`PartPlanError::SinglePut`] above 5 GiB.
    pub fn with_single_put_max(self, threshold_bytes: u64) -> Result<Self, PartPlanError> {
        if threshold_bytes <= PUT_MAX_BYTES {
            Ok(Self {
                single_put_max_bytes: threshold_bytes,
                ..self
            })
        } else {
            Err(PartPlanError::SinglePut {
                threshold_bytes,
                max_bytes: PUT_MAX_BYTES,
            })
        }
    }

    /// The same for a store that takes fewer parts than S3.
    ///
    /// # Errors
    /// [`PartPlanError::PartLimit`] if that is none.
    pub fn with_parts_max(self, parts_max: u32) -> Result<Self, PartPlanError> {
        if parts_max == 0 {
            Err(PartPlanError::PartLimit { max: PARTS_MAX })
        } else {
            Ok(Self { parts_max, ..self })
        }
    }

    /// How an object of that size goes.
    ///
    /// # Errors
    /// [`PartPlanError::ObjectTooLarge`].
    pub fn plan(&self, size_bytes: u64) -> Result<UploadPlan, PartPlanError> {
        let most = u64::from(self.parts_max)
            .saturating_mul(PUT_MAX_BYTES)
            .min(self.object_size_max_bytes);
        if size_bytes > most {
            return Err(PartPlanError::ObjectTooLarge {
                size_bytes,
                max_bytes: most,
            });
        }
        if size_bytes <= self.single_put_max_bytes {
            return Ok(UploadPlan::Single { size_bytes });
        }
        // Grown only as far as the part limit forces it: the last part may be short, none is empty.
        let part_size_bytes = self
            .part_size_bytes
            .max(size_bytes.div_ceil(u64::from(self.parts_max)));
        Ok(UploadPlan::Parts(PartPlan {
            size_bytes,
            part_size_bytes,
        }))
    }

    /// The plan of an upload that an earlier process began with parts of `part_size_bytes`.
    ///
    /// # Errors
    /// [`PartPlanError::TooManyParts`], [`PartPlanError::PartSize`] or [`PartPlanError::ObjectTooLarge`]: what is
    /// remembered does not fit this object, begin anew.
    pub fn resume(&self, size_bytes: u64, part_size_bytes: u64) -> Result<PartPlan, PartPlanError> {
        if part_size_bytes == 0 || part_size_bytes > PUT_MAX_BYTES {
            return Err(PartPlanError::PartSize {
                part_size_bytes,
                min_bytes: 1,
                max_bytes: PUT_MAX_BYTES,
            });
        }
        if size_bytes > self.object_size_max_bytes {
            return Err(PartPlanError::ObjectTooLarge {
                size_bytes,
                max_bytes: self.object_size_max_bytes,
            });
        }
        let parts = size_bytes.div_ceil(part_size_bytes);
        if parts > u64::from(self.parts_max) {
            return Err(PartPlanError::TooManyParts {
                size_bytes,
                part_size_bytes,
                parts,
                parts_max: self.parts_max,
            });
        }
        Ok(PartPlan {
            size_bytes,
            part_size_bytes,
        })
    }
}

/// How an object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadPlan {
    /// In one PUT.
    Single {
        /// Bytes of the object.
        size_bytes: u64,
    },
    /// In parts.
    Parts(PartPlan),
}

impl UploadPlan {
    /// Bytes of the object.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Single { size_bytes } => *size_bytes,
            Self::Parts(plan) => plan.size_bytes,
        }
    }
}

/// The parts of one object: consecutive, all of one size but the last, which may be shorter and is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    size_bytes: u64,
    part_size_bytes: u64,
}

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which, from 1.
    pub number: PartNumber,
    /// Its first byte in the object.
    pub offset: u64,
    /// How many bytes.
    pub size_bytes: u64,
}

impl PartPlan {
    /// Bytes of the object.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes of every part but the last.
    #[must_use]
    pub fn part_size_bytes(&self) -> u64 {
        self.part_size_bytes
    }

    /// How many parts.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.size_bytes.div_ceil(self.part_size_bytes)).expect("a plan has at most u32 parts")
    }

    /// That part, if the object has it.
    #[must_use]
    pub fn part(&self, number: PartNumber) -> Option<Part> {
        if number.0 == 0 || number.0 > self.count() {
            return None;
        }
        let offset = u64::from(number.index()) * self.part_size_bytes;
        Some(Part {
            number,
            offset,
            size_bytes: self.part_size_bytes.min(self.size_bytes - offset),
        })
    }

    /// Every part, in order.
    pub fn parts(self) -> impl Iterator<Item = Part> {
        (1..=self.count()).filter_map(move |number| self.part(PartNumber(number)))
    }
}

#[cfg(test)]
mod tests;
