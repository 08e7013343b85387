//! Every reason why a migration would fail, found before it starts.

mod room;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use metaferry_app_db::h2;
use metaferry_app_db::probe::Probe;
use metaferry_domain::copy_policy::{CopyPolicy, Origin, TablePolicy};
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{DeadMansSwitch, Finding, Preflight, ReadOnlyGuard, Severity, Source};
use metaferry_domain::schema::{Catalogue, Table};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::read_only::ReadOnlyMode;
use metaferry_transfer::dump::PolicyMaker;
use metaferry_uploader::StoreApiClient;

use crate::policy::MetabasePolicy;
use crate::wiring::Guarded;

/// Looks at the source, the configuration and the folder for dumps.
pub(crate) struct MigrationPreflight {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) policy: Arc<MetabasePolicy>,
    /// Where the dump is made.
    pub(crate) folder: PathBuf,
    pub(crate) version_known: bool,
    pub(crate) read_only_overridden: Option<ReadOnlyMode>,
    pub(crate) strength: ReadOnlyStrength,
    /// `MB_MIGRATION_DUMP_FILE`.
    pub(crate) dump_file: Option<PathBuf>,
    /// Looks at rights and values of an app DB that is a server's.
    pub(crate) probe: Option<Arc<dyn Probe>>,
    pub(crate) read_only: Arc<dyn ReadOnlyGuard>,
    pub(crate) switch: Arc<dyn DeadMansSwitch>,
    pub(crate) guarded: Guarded,
    /// The store that is migrated to, unless it is a bucket.
    pub(crate) store: Option<StoreApiClient>,
}

/// An id that no store gave: asking for it changes nothing and shows whether anybody answers.
const NOBODYS_MIGRATION: &str = "00000000-0000-0000-0000-000000000000";

#[async_trait]
impl Preflight for MigrationPreflight {
    async fn check(&self) -> Result<Vec<Finding>, PortError> {
        let mut findings = self.of_configuration();
        if let Some(store) = &self.store
            && let Err(error) = store.status(NOBODYS_MIGRATION).await
            && error.kind == ErrorKind::Unavailable
        {
            findings.push(finding(
                Severity::Blocker,
                "store_unreachable",
                format!(
                    "the store does not answer; check MB_STORE_API_URL and the network: {}",
                    error.chain()
                ),
            ));
        }
        findings.extend(self.of_undoing().await?);
        if let Some(why) = self.read_only.why_not(self.strength).await? {
            findings.push(finding(
                Severity::Blocker,
                "read_only_strength",
                format!("read-only of this strength cannot be: {why}; or say --read-only flag or none"),
            ));
        }
        if self.strength != ReadOnlyStrength::None
            && let Some(why) = self.read_only.why_not_switched().await?
        {
            findings.push(finding(
                Severity::Blocker,
                "read_only_setting",
                format!("the setting read-only-mode cannot be switched: {why}"),
            ));
        }
        match self.source.snapshot().await {
            Ok(snapshot) => {
                match self.policy.decide(&*snapshot).await {
                    Ok(decided) => {
                        for table in &snapshot.catalogue().tables {
                            let key = table.name.key();
                            if let TablePolicy::Carry {
                                origin: Origin::Unknown,
                                ..
                            } = decided.policy.table(&key)
                                && !self.policy.include.contains(&key)
                            {
                                findings.push(finding(
                                    Severity::Warning,
                                    "unknown_table",
                                    format!(
                                        "table {key} (about {} rows, {} bytes) is not Metabase's and would leave the house; \
                                         say --include {key}, --exclude {key} or --yes",
                                        table.rows_estimate, table.bytes_estimate
                                    ),
                                ));
                            }
                        }
                        self.of_rows(snapshot.catalogue(), &decided.policy, &mut findings)
                            .await?;
                        findings.extend(
                            decided
                                .notes
                                .into_iter()
                                .map(|note| finding(Severity::Note, "policy", note)),
                        );
                        if snapshot.catalogue().table("core_user").is_none() {
                            findings.push(finding(
                                Severity::Blocker,
                                "no_metabase",
                                "there is no table core_user: this is not the app DB of a Metabase that was set up".to_owned(),
                            ));
                        }
                    }
                    Err(error) => findings.push(finding(Severity::Blocker, "policy", error.chain())),
                }
                snapshot.close().await?;
            }
            Err(error) => findings.push(finding(Severity::Blocker, "source", error.chain())),
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(findings)
    }
}

impl MigrationPreflight {
    /// What happens should every metaferry be gone in the middle.
    async fn of_undoing(&self) -> Result<Option<Finding>, PortError> {
        match self.guarded {
            Guarded::Yes => {}
            Guarded::ReadOnlyByApi => match self.strength {
                ReadOnlyStrength::Flag | ReadOnlyStrength::Enforced => {}
                ReadOnlyStrength::None => return Ok(None),
            },
            Guarded::No => {
                return Ok(Some(finding(
                    Severity::Note,
                    "not_guarded",
                    "an H2 app DB cannot be switched to read-only nor its scheduler paused from outside: the dump is one \
                     snapshot all the same, and nothing will have to be put back"
                        .to_owned(),
                )));
            }
        }
        let (stays, by_hand) = match self.guarded {
            Guarded::Yes | Guarded::No => ("schedules stay paused and read-only on", "undo.sql is run"),
            Guarded::ReadOnlyByApi => ("read-only stays on", "an administrator switches it off"),
        };
        Ok(self.switch.obstacle().await?.map(|why| {
            finding(
                Severity::Warning,
                "no_dead_mans_switch",
                format!(
                    "there will be no dead man's switch: {why}. Should every metaferry be gone in the middle, {stays} until \
                     one starts again, or {by_hand}; say --yes to accept that"
                ),
            )
        }))
    }

    /// What the dump would stumble over, and what would not fit.
    async fn of_rows(
        &self,
        catalogue: &Catalogue,
        policy: &CopyPolicy,
        findings: &mut Vec<Finding>,
    ) -> Result<(), PortError> {
        match h2::translation_notes(catalogue) {
            Ok(notes) => findings.extend(
                notes
                    .into_iter()
                    .map(|note| finding(Severity::Note, "translation", note)),
            ),
            Err(error) => findings.push(finding(
                Severity::Blocker,
                "untranslatable",
                format!("{}; change it, or drop it, in the app DB", error.chain()),
            )),
        }
        let carried: Vec<&Table> = catalogue
            .tables
            .iter()
            .filter(|table| matches!(policy.table(&table.name.key()), TablePolicy::Carry { .. }))
            .collect();
        let wanted_bytes: u64 = carried.iter().map(|table| table.bytes_estimate).sum();
        findings.extend(room::finding(&self.folder, wanted_bytes));
        let Some(probe) = &self.probe else { return Ok(()) };
        let names: Vec<String> = carried.iter().map(|table| table.name.key()).collect();
        let values = probe.values(catalogue, &names).await?;
        findings.extend(values.unholdable.iter().map(|found| {
            let (table, column, what) = (&found.table, &found.column, found.what);
            finding(
                Severity::Blocker,
                "unholdable_value",
                format!(
                    "table {table}, column {column} holds {what}, which an H2 file cannot; correct those rows, or say \
                     --exclude {table}"
                ),
            )
        }));
        if !values.unknown.is_empty() {
            findings.push(finding(
                Severity::Note,
                "values_not_looked_at",
                format!(
                    "these tables were not looked through for values that H2 cannot hold, for it took too long or was \
                     not allowed: {}",
                    values.unknown.join(", ")
                ),
            ));
        }
        for missing in probe.missing_rights().await? {
            let (table, rights) = (&missing.table, missing.rights.join(", "));
            findings.push(finding(
                Severity::Blocker,
                "right_missing",
                format!("this user may not {rights} on table {table}; GRANT {rights} ON {table} to it, or use its owner"),
            ));
        }
        if let Some(hidden) = probe.hidden_views().await? {
            findings.push(finding(
                Severity::Blocker,
                "view_hidden",
                format!(
                    "this user is not shown the queries of these views, which would be left out: {}; {}",
                    hidden.names.join(", "),
                    hidden.remedy
                ),
            ));
        }
        if !probe.may_keep_own_tables().await? {
            findings.push(finding(
                Severity::Blocker,
                "own_tables",
                "this user may create neither a schema nor a table for Metaferry's journal and lease; GRANT CREATE on the \
                 database, or on Metabase's schema, to it"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn of_configuration(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if !self.version_known {
            findings.push(finding(
                Severity::Blocker,
                "version_unknown",
                "the store wants the version of the Metabase that is moved, which its app DB does not hold; set \
                 METAFERRY_METABASE_VERSION to the tag that Metabase shows, such as v0.55.3"
                    .to_owned(),
            ));
        }
        if self.read_only_overridden.is_some() && self.strength != ReadOnlyStrength::None {
            findings.push(finding(
                Severity::Warning,
                "read_only_overridden",
                "MB_READ_ONLY_MODE is set: nodes with it do not look at the setting that we switch"
                    .to_owned(),
            ));
        }
        if self.guarded == Guarded::ReadOnlyByApi {
            findings.push(finding(
                Severity::Note,
                "h2_by_api",
                "of an H2 app DB only read-only can be switched, through Metabase's own API: schedules go on, and the dump is one \
                 snapshot all the same"
                    .to_owned(),
            ));
        }
        if let Some(file) = self.dump_file.as_ref().filter(|file| !file.is_file()) {
            findings.push(finding(
                Severity::Blocker,
                "dump_file",
                format!(
                    "MB_MIGRATION_DUMP_FILE names {}, which is no file",
                    file.display()
                ),
            ));
        }
        let probe = self.folder.join(format!(".write-probe-{}", std::process::id()));
        match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
            Ok(()) => {}
            Err(error) => findings.push(finding(
                Severity::Blocker,
                "data_dir",
                format!(
                    "the folder {} cannot be written: {error}; set METAFERRY_DATA_DIR to one that can",
                    self.folder.display()
                ),
            )),
        }
        findings
    }
}

fn finding(severity: Severity, code: &str, message: String) -> Finding {
    Finding {
        severity,
        code: code.to_owned(),
        message,
    }
}
