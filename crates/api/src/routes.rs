//! One file per resource.

pub(crate) mod cloud_migration;
pub(crate) mod health;
pub(crate) mod history;
