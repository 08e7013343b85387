#![doc = include_str!("../README.md")]

pub mod env;
pub mod error;
pub mod secret;
pub mod version;

pub mod columns;
pub mod copy_policy;
pub mod encryption;
pub mod quartz;
pub mod read_only;
pub mod session;
pub mod settings;

pub use env::MetabaseEnv;
pub use env::address::AppDbAddress;
pub use secret::Secret;

/// The user that Metabase's own content belongs to; made by its migrations, in every instance.
pub const INTERNAL_USER_ID: i64 = 13_371_338;
