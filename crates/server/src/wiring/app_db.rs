//! The app DB of a migration: its rows, journal, lease, read-only mode and scheduler, each in the database itself or, where
//! that is a file Metabase has open, beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metaferry_app_db::h2::file_of;
use metaferry_app_db::mysql::{MySqlAppDb, MySqlProbe, MySqlQuartz, MySqlServer, MySqlUndoScript};
use metaferry_app_db::postgres::{
    PostgresAppDb, PostgresProbe, PostgresQuartz, PostgresServer, PostgresUndoScript,
};
use metaferry_app_db::probe::Probe;
use metaferry_app_db::sqlite::SqliteState;
use metaferry_domain::ports::{
    Authenticator, DeadMansSwitch, JournalStore, LeaseStore, MigrationRows, ReadOnlyGuard, Scheduler, Source,
    UndoScript,
};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_metabase_client::{ApiConfig, Behind, NodeApi, Route, ToldReadOnly};
use metaferry_uploader::Proxies;

use super::Purpose;
use super::database::{source, source_of_worker};
use super::folder::{folder_of, make_folder};
use super::objects::proxies_towards;
use crate::config::{Config, Salvage};
use crate::exit::CommandError;
use crate::unguarded::Unguarded;

/// Connections to the app DB beside those that copy rows: the journal, the lease, the row, the API.
pub(super) const CONNECTIONS_MAX: u32 = 4;

/// The app DB's side of the ports.
pub(super) struct AppDbPorts {
    /// For files of this app DB alone.
    pub(super) folder: PathBuf,
    pub(super) source: Arc<dyn Source>,
    pub(super) source_of_worker: Arc<dyn Source>,
    pub(super) rows: Arc<dyn MigrationRows>,
    pub(super) journal: Arc<dyn JournalStore>,
    pub(super) lease: Arc<dyn LeaseStore>,
    pub(super) read_only: Arc<dyn ReadOnlyGuard>,
    pub(super) switch: Arc<dyn DeadMansSwitch>,
    pub(super) scheduler: Arc<dyn Scheduler>,
    pub(super) undo_script: Arc<dyn UndoScript>,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) probe: Option<Arc<dyn Probe>>,
    pub(super) guarded: Guarded,
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

pub(super) async fn app_db(
    config: &Config,
    address: &AppDbAddress,
    purpose: Purpose,
    read_only_max: Duration,
) -> Result<AppDbPorts, CommandError> {
    let folder = folder_of(config, address);
    let source = source(address, config.h2_files(Salvage::No))?;
    let source_of_worker = source_of_worker(address, &source);
    match address {
        AppDbAddress::Postgres(server) => {
            let pool = PostgresServer::new(server).pool(CONNECTIONS_MAX).await?;
            let app_db = match purpose {
                Purpose::Look => PostgresAppDb::open_to_look(pool.clone()).await?,
                Purpose::Migrate => PostgresAppDb::open(pool.clone()).await?,
            }
            .with_guard_max(read_only_max);
            let app_db = match config.metabase_api {
                Some(_) => app_db.switched_by_metabase(),
                None => app_db,
            };
            let probe = PostgresProbe::new(PostgresServer::new(server), pool.clone());
            let authenticator = metaferry_app_db::postgres::authenticator(
                pool,
                config.metabase.max_session_age_minutes,
                session_key(config)?,
            );
            Ok(AppDbPorts {
                folder: folder.clone(),
                source,
                source_of_worker,
                scheduler: Arc::new(PostgresQuartz::new(app_db.clone())),
                undo_script: Arc::new(PostgresUndoScript::new(app_db.clone(), folder)),
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
            make_folder(&folder)?;
            let state = SqliteState::open(&state_file(&folder)).await?;
            let (unguarded, guarded) = match &config.metabase_api {
                Some(api) => (
                    Unguarded::ReadOnlyByApi(api.addresses.join(", ")),
                    Guarded::ReadOnlyByApi,
                ),
                None => (Unguarded::Untouched, Guarded::No),
            };
            let unguarded = Arc::new(unguarded);
            Ok(AppDbPorts {
                folder,
                source,
                source_of_worker,
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
            let app_db = match config.metabase_api {
                Some(_) => app_db.switched_by_metabase(),
                None => app_db,
            };
            let authenticator = metaferry_app_db::mysql::authenticator(
                pool,
                config.metabase.max_session_age_minutes,
                session_key(config)?,
            );
            Ok(AppDbPorts {
                folder: folder.clone(),
                source,
                source_of_worker,
                scheduler: Arc::new(MySqlQuartz::new(app_db.clone())),
                undo_script: Arc::new(MySqlUndoScript::new(app_db.clone(), folder)),
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
pub(super) fn state_file(folder: &Path) -> PathBuf {
    folder.join("state.sqlite")
}
