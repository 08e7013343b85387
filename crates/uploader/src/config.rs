//! What an operator decides about uploads. Reading files and the environment is left to the server.

use metaferry_domain::part_plan::PartRules;
use metaferry_domain::retry::RetryPolicy;

/// How the engine works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadConfig {
    /// When an object goes in parts, and how long they are.
    pub rules: PartRules,
    /// Parts under way at the same time. Each takes well under 1 MiB of memory: bodies stream from the file.
    pub concurrency: usize,
    /// For every call that sends or completes.
    pub retry: RetryPolicy,
    /// For aborts.
    pub undo: RetryPolicy,
    /// How often an upload may be renewed or begun anew because its URLs expired or the store dropped it.
    pub renewals_max: u32,
}

impl Default for UploadConfig {
    fn default() -> Self {
        Self {
            rules: PartRules::default(),
            concurrency: 4,
            retry: RetryPolicy::upload(),
            undo: RetryPolicy::undo(),
            renewals_max: 8,
        }
    }
}
