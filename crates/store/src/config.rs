//! What an operator decides about a store. Reading files and the environment is left to the server.

use std::path::PathBuf;
use std::time::Duration;

use crate::VersionRule;

/// How a store is set up.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Everything the store keeps lies here: objects, records and the key that signs URLs.
    pub data_dir: PathBuf,
    /// Where clients reach the store, such as `https://store.example.com`, without a slash at the end. `None`: by
    /// plain HTTP at whatever `Host` a client asked.
    pub public_url: Option<String>,
    /// How long a handed-out URL is good for.
    pub url_lifetime: Duration,
    /// Which Metabase versions are taken.
    pub versions: VersionRule,
    /// Every limit.
    pub limits: Limits,
}

impl StoreConfig {
    /// The defaults, over that folder: URLs live a day.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            public_url: None,
            url_lifetime: Duration::from_secs(24 * 60 * 60),
            versions: VersionRule::default(),
            limits: Limits::default(),
        }
    }
}

/// The named limits of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an object.
    pub object_bytes_max: u64,
    /// Bytes of one PUT, whether a whole object or a part. S3's own limit is 5 GiB.
    pub put_bytes_max: u64,
    /// Parts of an object. S3's own limit is 10 000.
    pub parts_max: u32,
    /// Migrations kept in the folder, ended ones included.
    pub migrations_max: usize,
    /// Bodies received at the same time.
    pub receiving_max: usize,
    /// Migrations waiting for verification.
    pub verifications_queued_max: usize,
    /// How long a sender may be silent in the middle of a body.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes_max: 1 << 40,
            put_bytes_max: 5 << 30,
            parts_max: 10_000,
            migrations_max: 10_000,
            receiving_max: 64,
            verifications_queued_max: 1_000,
            idle: Duration::from_secs(60),
        }
    }
}
