//! Databases that rows are read from, written to, or changed in: one adapter for each scheme.

use std::sync::Arc;

use metaferry_app_db::h2::{H2Source, file_of};
use metaferry_app_db::load::LoadOptions;
use metaferry_app_db::mysql::{FreshMySql, MySqlRekey, MySqlServer, MySqlSource, MySqlTarget};
use metaferry_app_db::postgres::{
    FreshPostgres, PostgresRekey, PostgresServer, PostgresSource, PostgresTarget,
};
use metaferry_app_db::rekey::Rekeying;
use metaferry_domain::ports::{LoadTarget, Source};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::OpenOptions;
use metaferry_metabase::env::address::AppDbAddress;

use crate::password::with_password;

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

/// The app DB as a source for who holds the lease, and for nobody before that: whoever takes the lease ends its sessions.
pub(super) fn source_of_worker(address: &AppDbAddress, source: &Arc<dyn Source>) -> Arc<dyn Source> {
    match address {
        AppDbAddress::Postgres(server) => {
            Arc::new(PostgresSource::new(PostgresServer::new(server).of_worker()))
        }
        AppDbAddress::MySql(server) => Arc::new(MySqlSource::new(MySqlServer::new(server).of_worker())),
        AppDbAddress::H2 { .. } => Arc::clone(source),
    }
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
        (AppDbAddress::Postgres(_), AppDbAddress::MySql(_) | AppDbAddress::H2 { .. })
        | (AppDbAddress::MySql(_), AppDbAddress::Postgres(_) | AppDbAddress::H2 { .. })
        | (AppDbAddress::H2 { .. }, _) => Ok(false),
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
