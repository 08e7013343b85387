//! What is ours in an app DB, for commands that look, cancel, recover or uninstall.

use std::sync::Arc;

use metaferry_app_db::mysql::{MySqlAppDb, MySqlServer};
use metaferry_app_db::postgres::{PostgresAppDb, PostgresServer};
use metaferry_app_db::sqlite::SqliteState;
use metaferry_app_db::{Effort, Leftovers};
use metaferry_domain::ports::{JournalStore, MigrationRows};
use metaferry_metabase::env::address::AppDbAddress;

use super::app_db::{CONNECTIONS_MAX, app_db, state_file};
use super::folder::folder_of;
use super::{Purpose, READ_ONLY_MAX};
use crate::config::Config;
use crate::exit::CommandError;

/// What is written of migrations, for commands that look, or cancel.
pub(crate) struct Ledger {
    pub(crate) rows: Arc<dyn MigrationRows>,
    /// Fails with [`metaferry_domain::ErrorKind::NotFound`] where there are no tables of ours.
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
        AppDbAddress::H2 { .. } => SqliteState::uninstall(&state_file(&folder_of(config, address))).await,
    };
    Ok(removed?)
}

/// Triggers of ours that settled migrations have left in an app DB, each with its table.
pub(crate) async fn leftovers(address: &AppDbAddress) -> Result<Vec<String>, CommandError> {
    match address {
        AppDbAddress::Postgres(server) => {
            let pool = PostgresServer::new(server).pool(CONNECTIONS_MAX).await?;
            let there = PostgresAppDb::leftovers(&pool).await;
            pool.close().await;
            Ok(there?)
        }
        AppDbAddress::MySql(server) => {
            let pool = MySqlServer::new(server).pool(CONNECTIONS_MAX).await?;
            let there = MySqlAppDb::leftovers(&pool).await;
            pool.close().await;
            Ok(there?)
        }
        // There are no triggers of ours.
        AppDbAddress::H2 { .. } => Ok(Vec::new()),
    }
}

/// Takes them away.
pub(crate) async fn remove_leftovers(
    address: &AppDbAddress,
    effort: Effort,
) -> Result<Leftovers, CommandError> {
    match address {
        AppDbAddress::Postgres(server) => {
            let pool = PostgresServer::new(server).pool(CONNECTIONS_MAX).await?;
            let swept = PostgresAppDb::remove_leftovers(pool.clone(), effort).await;
            pool.close().await;
            Ok(swept?)
        }
        AppDbAddress::MySql(server) => {
            let pool = MySqlServer::new(server).pool(CONNECTIONS_MAX).await?;
            let swept = MySqlAppDb::remove_leftovers(pool.clone(), effort).await;
            pool.close().await;
            Ok(swept?)
        }
        AppDbAddress::H2 { .. } => Ok(Leftovers::default()),
    }
}
