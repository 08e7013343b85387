//! Which adapters stand behind the ports of a migration, a copy or a store. Commands that are about one adapter alone name
//! that one themselves.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metaferry_app_db::h2::{H2Source, file_of};
use metaferry_app_db::load::LoadOptions;
use metaferry_app_db::mysql::{
    FreshMySql, MySqlAppDb, MySqlProbe, MySqlQuartz, MySqlRekey, MySqlServer, MySqlSource, MySqlTarget,
    MySqlUndoScript,
};
use metaferry_app_db::postgres::{
    FreshPostgres, Leftovers, PostgresAppDb, PostgresProbe, PostgresQuartz, PostgresRekey, PostgresServer,
    PostgresSource, PostgresTarget, PostgresUndoScript,
};
use metaferry_app_db::probe::Probe;
use metaferry_app_db::rekey::Rekeying;
use metaferry_app_db::sqlite::SqliteState;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::part_plan::PartRules;
use metaferry_domain::plan::{DumpRetention, MigrationPlan, SchedulerPlan, Scope, Strictness};
use metaferry_domain::ports::{
    Authenticator, Clock, DeadMansSwitch, JournalStore, LeaseStore, LoadTarget, MigrationRows, ReadOnlyGuard,
    Scheduler, Source, UndoScript, Uploader,
};
use metaferry_domain::retry::RetryPolicy;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::OpenOptions;
use metaferry_metabase::copy_policy::Logs;
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_metabase_client::{ApiConfig, Behind, NodeApi, Route, ToldReadOnly};
use metaferry_orchestrator::in_process::{LogNotifier, RandomIds, SystemClock};
use metaferry_orchestrator::{Orchestrator, OtherShore, Ports, Settings, Warnings};
use metaferry_transfer::dump::{Existing, FileDumper, Reread};
use metaferry_uploader::{
    ContentMd5, HttpClient, HttpConfig, PatientStoreClient, Proxies, S3Client, S3Config, S3Encryption,
    S3ObjectStore, StoreApiClient, Stores, UploadConfig, UploadEngine,
};

use crate::cli::TableArgs;
use crate::config::{Config, Salvage};
use crate::exit::CommandError;
use crate::h2_dump::H2Format;
use crate::password::with_password;
use crate::policy::MetabasePolicy;
use crate::preflight::MigrationPreflight;
use crate::secrecy::Secrecy;
use crate::system::random_fraction;
use crate::unguarded::Unguarded;

/// Connections to the app DB beside those that copy rows: the journal, the lease, the row, the API.
const CONNECTIONS_MAX: u32 = 4;

/// A database as a source of rows. `h2_files`: how H2 files are opened.
pub(crate) fn source(address: &AppDbAddress, h2_files: OpenOptions) -> Result<Arc<dyn Source>, PortError> {
    Ok(match address {
        AppDbAddress::Postgres(server) => Arc::new(PostgresSource::new(PostgresServer::new(server))),
        AppDbAddress::H2 { path } => {
            let file = file_of(path);
            let options = with_password(&file, h2_files)?;
            Arc::new(H2Source::new(file).with_options(options))
        }
        AppDbAddress::MySql(server) => Arc::new(MySqlSource::new(MySqlServer::new(server))),
    })
}

/// A database as a target of rows. An H2 file is made by a dump instead.
pub(crate) fn target(address: &AppDbAddress, options: LoadOptions) -> Result<Box<dyn LoadTarget>, PortError> {
    match address {
        AppDbAddress::Postgres(server) => Ok(Box::new(PostgresTarget::new(
            PostgresServer::new(server),
            options,
        ))),
        AppDbAddress::H2 { .. } => Err(PortError::new(
            ErrorKind::Unsupported,
            "an H2 file is written by `dump` or `copy`",
        )),
        AppDbAddress::MySql(server) => Ok(Box::new(MySqlTarget::new(MySqlServer::new(server), options))),
    }
}

/// Do both addresses lead to one database of a server?
pub(crate) async fn is_same(one: &AppDbAddress, other: &AppDbAddress) -> Result<bool, PortError> {
    match (one, other) {
        (AppDbAddress::Postgres(one), AppDbAddress::Postgres(other)) => {
            PostgresServer::new(one)
                .is_same_as(&PostgresServer::new(other))
                .await
        }
        (AppDbAddress::MySql(one), AppDbAddress::MySql(other)) => {
            MySqlServer::new(one).is_same_as(&MySqlServer::new(other)).await
        }
        // Files are told apart where they are written.
        _ => Ok(false),
    }
}

/// A database whose encryption key is to be changed where it is.
pub(crate) fn rekeying(address: &AppDbAddress) -> Result<Box<dyn Rekeying>, PortError> {
    match address {
        AppDbAddress::Postgres(server) => Ok(Box::new(PostgresRekey::new(PostgresServer::new(server)))),
        AppDbAddress::MySql(server) => Ok(Box::new(MySqlRekey::new(MySqlServer::new(server)))),
        AppDbAddress::H2 { .. } => Err(PortError::new(
            ErrorKind::Unsupported,
            "an H2 file is not changed where it is: `dump --plaintext` it with the old key, and `load --encrypt` that with \
             the new one",
        )),
    }
}

/// A database made for one load.
#[derive(Debug)]
pub(crate) enum FreshDatabase {
    Postgres(FreshPostgres),
    MySql(FreshMySql),
}

impl FreshDatabase {
    /// Makes it.
    pub(crate) async fn create(address: &AppDbAddress) -> Result<Self, PortError> {
        match address {
            AppDbAddress::Postgres(server) => FreshPostgres::create(server).await.map(Self::Postgres),
            AppDbAddress::MySql(server) => FreshMySql::create(server).await.map(Self::MySql),
            AppDbAddress::H2 { .. } => Err(PortError::new(
                ErrorKind::Unsupported,
                "an H2 file is a database of its own; name it as the target",
            )),
        }
    }

    /// The database in words.
    pub(crate) fn describe(&self) -> &str {
        match self {
            Self::Postgres(fresh) => fresh.describe(),
            Self::MySql(fresh) => fresh.describe(),
        }
    }

    /// Removes it with everything in it.
    pub(crate) async fn discard(self) -> Result<(), PortError> {
        match self {
            Self::Postgres(fresh) => fresh.discard().await,
            Self::MySql(fresh) => fresh.discard().await,
        }
    }
}

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

/// Everything around the app DB of one migration.
pub(crate) struct Shores {
    pub(crate) orchestrator: Orchestrator,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) preflight: Arc<MigrationPreflight>,
}

/// The app DB's side of the ports.
struct AppDbPorts {
    source: Arc<dyn Source>,
    rows: Arc<dyn MigrationRows>,
    journal: Arc<dyn JournalStore>,
    lease: Arc<dyn LeaseStore>,
    read_only: Arc<dyn ReadOnlyGuard>,
    switch: Arc<dyn DeadMansSwitch>,
    scheduler: Arc<dyn Scheduler>,
    undo_script: Arc<dyn UndoScript>,
    authenticator: Arc<dyn Authenticator>,
    probe: Option<Arc<dyn Probe>>,
    guarded: Guarded,
}

/// Whether there is a setting and a scheduler that can be switched from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guarded {
    Yes,
    /// An H2 file that Metabase has open, whose API is known: the setting can be asked for there, and nothing else.
    ReadOnlyByApi,
    /// An H2 file that Metabase has open.
    No,
}

/// Wires a migration of `address`.
pub(crate) async fn shores(
    config: &Config,
    address: &AppDbAddress,
    choices: Choices,
) -> Result<Shores, CommandError> {
    make_folder(&config.data_dir)?;
    let app_db = app_db(config, address, choices.purpose, choices.read_only_max).await?;
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
    let shore = match choices.to.strip_prefix("s3://") {
        Some(rest) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_end_matches('/');
            let prefix = if prefix.is_empty() {
                String::new()
            } else {
                format!("{prefix}/")
            };
            OtherShore::Bucket {
                bucket: bucket.to_owned(),
                prefix,
            }
        }
        None if choices.to == "store" => OtherShore::Store {
            client: Arc::new(PatientStoreClient {
                inner: store_api.clone(),
                policy: RetryPolicy::default(),
                clock: Arc::clone(&clock),
                jitter: Arc::new(random_fraction),
            }),
            version: version.clone().unwrap_or_default(),
        },
        None => {
            return Err(CommandError::usage(format!(
                "--to: {:?} is neither `store` nor s3://BUCKET/PREFIX",
                choices.to
            )));
        }
    };
    let secrecy = Secrecy::for_the_cloud(&config.metabase)?;
    let plaintext = secrecy.plaintext();
    let policy = Arc::new(MetabasePolicy::new(&choices.tables, Logs::LeaveOut).with(secrecy));
    let preflight = Arc::new(MigrationPreflight {
        source: Arc::clone(&app_db.source),
        policy: Arc::clone(&policy),
        data_dir: config.data_dir.clone(),
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
            app_db.source,
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
        dump_folder: config.data_dir.clone(),
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

/// No proxy reaches a store on this machine.
fn proxies_towards(store: &str) -> Proxies {
    let loopback = url::Url::parse(store).is_ok_and(|store| match store.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    });
    if loopback {
        Proxies::None
    } else {
        Proxies::OfEnvironment
    }
}

/// As `--read-only-max` is where it is not said.
pub(crate) const READ_ONLY_MAX: Duration = Duration::from_secs(30 * 60);

/// What is written of migrations, for commands that look, or cancel.
pub(crate) struct Ledger {
    pub(crate) rows: Arc<dyn MigrationRows>,
    /// Fails with [`ErrorKind::NotFound`] where there are no tables of ours.
    pub(crate) journal: Arc<dyn JournalStore>,
}

/// Opens the app DB without creating anything in it.
pub(crate) async fn ledger(config: &Config, address: &AppDbAddress) -> Result<Ledger, CommandError> {
    let app_db = app_db(config, address, Purpose::Look, READ_ONLY_MAX).await?;
    Ok(Ledger {
        rows: app_db.rows,
        journal: app_db.journal,
    })
}

/// Removes what is ours from an app DB, and answers its names.
pub(crate) async fn uninstall(config: &Config, address: &AppDbAddress) -> Result<Vec<String>, CommandError> {
    let removed = match address {
        AppDbAddress::Postgres(server) => {
            PostgresAppDb::uninstall(PostgresServer::new(server).pool(CONNECTIONS_MAX).await?).await
        }
        AppDbAddress::MySql(server) => {
            MySqlAppDb::uninstall(MySqlServer::new(server).pool(CONNECTIONS_MAX).await?).await
        }
        AppDbAddress::H2 { path } => SqliteState::uninstall(&state_file(config, &file_of(path))).await,
    };
    Ok(removed?)
}

/// Triggers of ours that settled migrations have left in an app DB, each with its table.
pub(crate) async fn leftovers(address: &AppDbAddress) -> Result<Vec<String>, CommandError> {
    match address {
        AppDbAddress::Postgres(server) => {
            let pool = PostgresServer::new(server).pool(CONNECTIONS_MAX).await?;
            Ok(PostgresAppDb::leftovers(&pool).await?)
        }
        AppDbAddress::MySql(server) => {
            let pool = MySqlServer::new(server).pool(CONNECTIONS_MAX).await?;
            Ok(MySqlAppDb::leftovers(&pool).await?)
        }
        // There are no triggers of ours.
        AppDbAddress::H2 { .. } => Ok(Vec::new()),
    }
}

/// Takes them away.
pub(crate) async fn remove_leftovers(address: &AppDbAddress) -> Result<Leftovers, CommandError> {
    match address {
        AppDbAddress::Postgres(server) => {
            let pool = PostgresServer::new(server).pool(CONNECTIONS_MAX).await?;
            Ok(PostgresAppDb::remove_leftovers(pool).await?)
        }
        AppDbAddress::MySql(server) => {
            let pool = MySqlServer::new(server).pool(CONNECTIONS_MAX).await?;
            Ok(MySqlAppDb::remove_leftovers(pool).await?)
        }
        AppDbAddress::H2 { .. } => Ok(Leftovers::default()),
    }
}

/// What an app DB is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look, or to cancel: nothing is created in it.
    Look,
    /// To migrate it: our own tables are made.
    Migrate,
}

async fn app_db(
    config: &Config,
    address: &AppDbAddress,
    purpose: Purpose,
    read_only_max: Duration,
) -> Result<AppDbPorts, CommandError> {
    let source = source(address, config.h2_files(Salvage::No))?;
    match address {
        AppDbAddress::Postgres(server) => {
            let pool = PostgresServer::new(server).pool(CONNECTIONS_MAX).await?;
            let app_db = match purpose {
                Purpose::Look => PostgresAppDb::open_to_look(pool.clone()).await?,
                Purpose::Migrate => PostgresAppDb::open(pool.clone()).await?,
            }
            .with_guard_max(read_only_max);
            let probe = PostgresProbe::new(PostgresServer::new(server), pool.clone());
            let authenticator = metaferry_app_db::postgres::authenticator(
                pool,
                config.metabase.max_session_age_minutes,
                session_key(config)?,
            );
            Ok(AppDbPorts {
                source,
                scheduler: Arc::new(PostgresQuartz::new(app_db.clone())),
                undo_script: Arc::new(PostgresUndoScript::new(app_db.clone(), config.data_dir.clone())),
                authenticator: Arc::new(authenticator),
                probe: Some(Arc::new(probe)),
                rows: Arc::new(app_db.clone()),
                journal: Arc::new(app_db.clone()),
                lease: Arc::new(app_db.clone()),
                switch: Arc::new(app_db.clone()),
                read_only: told(config, Arc::new(app_db.clone()), Arc::new(app_db), Guarded::Yes)?,
                guarded: Guarded::Yes,
            })
        }
        AppDbAddress::H2 { path } => {
            let file = file_of(path);
            if !file.is_file() {
                let what = format!(
                    "there is no H2 file {}; name the app DB by --from or MB_DB_*",
                    file.display()
                );
                return Err(PortError::new(ErrorKind::NotFound, what).into());
            }
            make_folder(&config.data_dir)?;
            let state = SqliteState::open(&state_file(config, &file)).await?;
            let (unguarded, guarded) = match &config.metabase_api {
                Some(api) => (
                    Unguarded::ReadOnlyByApi(api.addresses.join(", ")),
                    Guarded::ReadOnlyByApi,
                ),
                None => (Unguarded::Untouched, Guarded::No),
            };
            let unguarded = Arc::new(unguarded);
            Ok(AppDbPorts {
                source,
                read_only: told(config, unguarded.clone(), Arc::new(state.clone()), guarded)?,
                rows: Arc::new(state.clone()),
                journal: Arc::new(state.clone()),
                lease: Arc::new(state),
                switch: unguarded.clone(),
                scheduler: unguarded.clone(),
                undo_script: unguarded.clone(),
                authenticator: unguarded,
                probe: None,
                guarded,
            })
        }
        AppDbAddress::MySql(server) => {
            let pool = MySqlServer::new(server).pool(CONNECTIONS_MAX).await?;
            let app_db = match purpose {
                Purpose::Look => MySqlAppDb::open_to_look(pool.clone()),
                Purpose::Migrate => MySqlAppDb::open(pool.clone()).await?,
            }
            .with_guard_max(read_only_max);
            let authenticator = metaferry_app_db::mysql::authenticator(
                pool,
                config.metabase.max_session_age_minutes,
                session_key(config)?,
            );
            Ok(AppDbPorts {
                source,
                scheduler: Arc::new(MySqlQuartz::new(app_db.clone())),
                undo_script: Arc::new(MySqlUndoScript::new(app_db.clone(), config.data_dir.clone())),
                authenticator: Arc::new(authenticator),
                probe: Some(Arc::new(MySqlProbe::new(MySqlServer::new(server)))),
                rows: Arc::new(app_db.clone()),
                journal: Arc::new(app_db.clone()),
                lease: Arc::new(app_db.clone()),
                switch: Arc::new(app_db.clone()),
                read_only: told(config, Arc::new(app_db.clone()), Arc::new(app_db), Guarded::Yes)?,
                guarded: Guarded::Yes,
            })
        }
    }
}

/// Read-only by way of Metabase's own API where that is known, else as `guard` has it.
fn told(
    config: &Config,
    guard: Arc<dyn ReadOnlyGuard>,
    lease: Arc<dyn LeaseStore>,
    guarded: Guarded,
) -> Result<Arc<dyn ReadOnlyGuard>, CommandError> {
    let Some(api) = &config.metabase_api else {
        return Ok(guard);
    };
    let node = |address: &String| {
        let route = match proxies_towards(address) {
            Proxies::None => Route::Direct,
            Proxies::OfEnvironment => Route::ByProxies,
        };
        let config = ApiConfig {
            route,
            ..ApiConfig::default()
        };
        NodeApi::new(address, &api.key, config)
            .map_err(|error| CommandError::usage(format!("METAFERRY_METABASE_URL: {}", error.chain())))
    };
    let nodes = api.addresses.iter().map(node).collect::<Result<Vec<_>, _>>()?;
    let behind = match guarded {
        Guarded::Yes => Behind::AppDb(guard),
        Guarded::ReadOnlyByApi | Guarded::No => Behind::OneNode,
    };
    Ok(Arc::new(ToldReadOnly::new(nodes, behind, lease)))
}

fn session_key(config: &Config) -> Result<Option<DerivedKey>, CommandError> {
    match &config.metabase.session_secret {
        Some(secret) => DerivedKey::derive(secret)
            .map(Some)
            .map_err(|error| CommandError::usage(error.to_string())),
        None => Ok(None),
    }
}

/// Where the rows, journal and lease of an H2 source live: nothing can be written into a file that Metabase has open.
fn state_file(config: &Config, h2: &std::path::Path) -> PathBuf {
    let name = h2
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    config.data_dir.join(format!("{name}.metaferry.sqlite"))
}

fn make_folder(folder: &std::path::Path) -> Result<(), CommandError> {
    // Dumps hold everything that the app DB holds, and by default lie in a folder that everybody can list.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            let kind = ErrorKind::Denied;
            PortError::new(
                kind,
                format!("make the folder {} (METAFERRY_DATA_DIR)", folder.display()),
            )
            .because(error)
            .into()
        })
}

fn s3(config: &Config) -> Result<Option<S3Client>, PortError> {
    let s3 = &config.s3;
    let (Some(access_key_id), Some(secret_access_key)) = (&s3.access_key_id, &s3.secret_access_key) else {
        return Ok(None);
    };
    S3Client::new(S3Config {
        access_key_id: access_key_id.clone(),
        secret_access_key: secret_access_key.clone(),
        session_token: s3.session_token.clone(),
        region: s3.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
        endpoint: s3.endpoint.clone(),
        encryption: S3Encryption::OfBucket,
    })
    .map(Some)
}

/// An object of S3, by its URL.
pub(crate) fn object(config: &Config, url: &str) -> Result<S3ObjectStore, CommandError> {
    let place = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = place.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) else {
        return Err(CommandError::usage(format!(
            "--from: {url:?} is not s3://BUCKET/KEY"
        )));
    };
    let Some(s3) = s3(config)? else {
        return Err(CommandError::usage(
            "--from s3://… needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    };
    Ok(s3.object(bucket, key, Arc::default()))
}

/// Makes the folder for files of our own.
pub(crate) fn data_folder(config: &Config) -> Result<&std::path::Path, CommandError> {
    make_folder(&config.data_dir)?;
    Ok(&config.data_dir)
}

fn upload_config(config: &Config) -> Result<UploadConfig, CommandError> {
    let mut upload = UploadConfig::default();
    if let Some(bytes) = config.part_size_bytes {
        upload.rules = PartRules::default()
            .with_part_size(bytes)
            .map_err(|error| CommandError::usage(format!("METAFERRY_PART_SIZE_BYTES: {error}")))?;
    }
    if let Some(concurrency) = config.upload_concurrency {
        upload.concurrency = concurrency;
    }
    Ok(upload)
}
