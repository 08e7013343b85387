//! Which adapters stand behind the ports of a migration, a copy or a store. Commands that are about one adapter alone name
//! that one themselves.

mod app_db;
mod database;
mod folder;
mod ledger;
mod objects;

use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::plan::{DumpRetention, MigrationPlan, SchedulerPlan, Scope, Strictness};
use metaferry_domain::ports::{Authenticator, Clock, Uploader};
use metaferry_metabase::copy_policy::Logs;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_orchestrator::in_process::{LogNotifier, RandomIds, SystemClock};
use metaferry_orchestrator::{Orchestrator, OtherShore, Ports, Settings, Warnings};
use metaferry_transfer::dump::{Existing, FileDumper, Reread};
use metaferry_uploader::{ContentMd5, HttpClient, HttpConfig, StoreApiClient, Stores, UploadEngine};

use crate::cli::TableArgs;
use crate::config::Config;
use crate::exit::CommandError;
use crate::h2_dump::H2Format;
use crate::policy::MetabasePolicy;
use crate::preflight::MigrationPreflight;
use crate::secrecy::Secrecy;
use crate::system::random_fraction;

pub(crate) use self::app_db::Guarded;
use self::app_db::app_db;
pub(crate) use self::database::{FreshDatabase, is_same, rekeying, source, target};
pub(crate) use self::folder::data_folder;
use self::folder::make_folder;
pub(crate) use self::ledger::{ledger, leftovers, remove_leftovers, uninstall};
pub(crate) use self::objects::object;
use self::objects::{other_shore, proxies_towards, s3, upload_config};

/// As `--read-only-max` is where it is not said.
pub(crate) const READ_ONLY_MAX: Duration = Duration::from_secs(30 * 60);

/// What a migration is to be like.
#[derive(Debug, Clone)]
pub(crate) struct Choices {
    pub(crate) purpose: Purpose,
    pub(crate) to: String,
    pub(crate) strength: ReadOnlyStrength,
    /// When `enforced` ends, whatever has become of us.
    pub(crate) read_only_max: Duration,
    /// How many nodes of Metabase there are, as the operator says.
    pub(crate) nodes: Option<u32>,
    pub(crate) retention: DumpRetention,
    pub(crate) strictness: Strictness,
    pub(crate) warnings: Warnings,
    pub(crate) tables: TableArgs,
}

/// What an app DB is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look, or to cancel: nothing is created in it.
    Look,
    /// To migrate it: our own tables are made.
    Migrate,
}

/// Everything around the app DB of one migration.
pub(crate) struct Shores {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) preflight: Arc<MigrationPreflight>,
}

/// Wires a migration of `address`.
pub(crate) async fn shores(
    config: &Config,
    address: &AppDbAddress,
    choices: Choices,
) -> Result<Shores, CommandError> {
    let app_db = app_db(config, address, choices.purpose, choices.read_only_max).await?;
    make_folder(&app_db.folder)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let proxies = proxies_towards(&config.metabase.store_api_url);
    let http = HttpClient::new(HttpConfig {
        proxies,
        ..HttpConfig::default()
    })?;
    let store_api = StoreApiClient::new(http.clone(), &config.metabase.store_api_url)?;
    let version = config
        .metabase
        .migration_dump_version
        .clone()
        .or_else(|| config.metabase_version.clone());
    let shore = other_shore(&choices.to, &store_api, version.as_deref(), &clock)?;
    let secrecy = Secrecy::for_the_cloud(&config.metabase)?;
    let plaintext = secrecy.plaintext();
    let policy = Arc::new(MetabasePolicy::new(&choices.tables, Logs::LeaveOut).with(secrecy));
    let preflight = Arc::new(MigrationPreflight {
        source: app_db.source,
        policy: Arc::clone(&policy),
        folder: app_db.folder.clone(),
        version_known: version.is_some() || matches!(shore, OtherShore::Bucket { .. }),
        read_only_overridden: config.metabase.read_only_mode,
        strength: choices.strength,
        dump_file: config.metabase.migration_dump_file.clone(),
        probe: app_db.probe,
        read_only: Arc::clone(&app_db.read_only),
        switch: Arc::clone(&app_db.switch),
        guarded: app_db.guarded,
        store: matches!(shore, OtherShore::Store { .. }).then(|| store_api.clone()),
    });
    let stores = Stores {
        http,
        store_api: Some(store_api),
        content_md5: ContentMd5::Sent,
        s3: s3(config)?,
    };
    let uploader: Arc<dyn Uploader> = Arc::new(UploadEngine::new(
        Arc::new(stores),
        Arc::clone(&clock),
        Arc::new(random_fraction),
        upload_config(config)?,
    ));
    let ports = Ports {
        rows: app_db.rows,
        journal: app_db.journal,
        lease: app_db.lease,
        read_only: app_db.read_only,
        switch: app_db.switch,
        scheduler: app_db.scheduler,
        preflight: preflight.clone(),
        undo_script: app_db.undo_script,
        dumper: Arc::new(FileDumper::new(
            app_db.source_of_worker,
            Arc::new(H2Format::default()),
            policy,
            Existing::Replace,
            Reread::Verify,
        )),
        uploader,
        shore,
        notifier: Arc::new(LogNotifier),
        clock,
        ids: Arc::new(RandomIds),
    };
    let (strength, scheduler) = match app_db.guarded {
        Guarded::Yes => (choices.strength, SchedulerPlan::Quiesce),
        Guarded::ReadOnlyByApi => (choices.strength, SchedulerPlan::LeaveAlone),
        Guarded::No => (ReadOnlyStrength::None, SchedulerPlan::LeaveAlone),
    };
    let settings = Settings {
        plan: MigrationPlan {
            strength,
            scheduler,
            retention: choices.retention,
            strictness: choices.strictness,
            scope: Some(Scope {
                exclude: choices.tables.exclude,
                include: choices.tables.include,
                read_only_max_seconds: choices.read_only_max.as_secs(),
            }),
        },
        node: config.node.clone(),
        lease_term: config.lease_term,
        watch_every: Duration::from_millis(500),
        jobs_wait_max: config.jobs_wait_max,
        propagation: config.propagation,
        nodes: choices.nodes,
        dump_folder: app_db.folder,
        dump_file: config.metabase.migration_dump_file.clone(),
        plaintext,
        warnings: choices.warnings,
    };
    Ok(Shores {
        orchestrator: Orchestrator::new(ports, settings).with_faults(config.faults.clone()),
        authenticator: app_db.authenticator,
        preflight,
    })
}
