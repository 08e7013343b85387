//! Metabase's copy policy for the copy engine: decided from the snapshot's catalogue and its changelog.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use metaferry_domain::ports::{RowOrder, Snapshot, TableRead};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::copy_policy::{Changelog, Logs, PolicyOptions, decide};
use metaferry_metabase::version::schema_major;
use metaferry_transfer::dump::{DecidedPolicy, PolicyMaker};

use crate::cli::TableArgs;
use crate::secrecy::Secrecy;

/// What a person chose about tables.
#[derive(Debug, Clone)]
pub(crate) struct MetabasePolicy {
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) logs: Logs,
    pub(crate) secrecy: Secrecy,
    pub(crate) changelog: Changelog,
    /// Of what was decided last.
    pub(crate) unknown_tables: Arc<Mutex<Vec<String>>>,
}

impl MetabasePolicy {
    /// Tables that go along and are not Metabase's, as it was decided last.
    pub(crate) fn unknown_tables(&self) -> Vec<String> {
        self.unknown_tables
            .lock()
            .expect("nothing panics while it holds this")
            .clone()
    }

    pub(crate) fn new(tables: &TableArgs, logs: Logs) -> Self {
        Self {
            include: tables.include.clone(),
            exclude: tables.exclude.clone(),
            logs,
            secrecy: Secrecy::Keep,
            changelog: Changelog::Carry,
            unknown_tables: Arc::default(),
        }
    }

    /// The same with encrypted values treated so.
    pub(crate) fn with(self, secrecy: Secrecy) -> Self {
        Self { secrecy, ..self }
    }

    /// Nothing included, nothing excluded.
    pub(crate) fn usual() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            logs: Logs::LeaveOut,
            secrecy: Secrecy::Keep,
            changelog: Changelog::Carry,
            unknown_tables: Arc::default(),
        }
    }
}

#[async_trait]
impl PolicyMaker for MetabasePolicy {
    async fn decide(&self, snapshot: &dyn Snapshot) -> Result<DecidedPolicy, PortError> {
        not_empty(snapshot.catalogue())?;
        let major = major(snapshot).await?;
        let mut options = PolicyOptions::for_dump(major, self.secrecy.plaintext());
        options.logs = self.logs;
        options.changelog = self.changelog;
        options.include.clone_from(&self.include);
        options.exclude.clone_from(&self.exclude);
        let decision = decide(snapshot.catalogue(), &options).map_err(|errors| {
            PortError::new(ErrorKind::Unsupported, "the tables cannot be copied as asked").because(errors)
        })?;
        let mut policy = decision.policy;
        let mut notes = decision.notes;
        notes.extend(self.secrecy.apply(snapshot, major, &mut policy).await?);
        if is_not_metabase(snapshot.catalogue()) {
            notes.push(
                "no tables of Metabase were found in this database; everything goes along as it is"
                    .to_owned(),
            );
        }
        *self
            .unknown_tables
            .lock()
            .expect("nothing panics while it holds this") = decision.unknown_tables;
        Ok(DecidedPolicy { policy, notes })
    }
}

/// Of nothing nothing can be said.
pub(crate) fn not_empty(catalogue: &Catalogue) -> Result<(), PortError> {
    if catalogue.tables.is_empty() {
        let what = "there are no tables in this database, or none that this user may see: is it the app DB?";
        return Err(PortError::new(ErrorKind::NotFound, what));
    }
    Ok(())
}

/// Not one of the tables that every Metabase since its first version has.
fn is_not_metabase(catalogue: &Catalogue) -> bool {
    ["core_user", "databasechangelog", "setting"]
        .iter()
        .all(|table| catalogue.table(table).is_none())
}

/// Metabase's major version, from the largest change in its changelog; `None` without a changelog.
pub(crate) async fn major(snapshot: &dyn Snapshot) -> Result<Option<u32>, PortError> {
    let ids = texts(snapshot, "databasechangelog", ["id"]).await?;
    Ok(schema_major(ids.iter().filter_map(|[id]| id.as_deref())))
}

/// The value of a setting, as it is stored.
pub(crate) async fn setting(snapshot: &dyn Snapshot, name: &str) -> Result<Option<String>, PortError> {
    let rows = texts(snapshot, "setting", ["key", "value"]).await?;
    let found = rows.into_iter().find(|[key, _]| key.as_deref() == Some(name));
    Ok(found.and_then(|[_, value]| value))
}

/// The texts of some columns of a small table; nothing if it has not all of them.
async fn texts<const N: usize>(
    snapshot: &dyn Snapshot,
    table: &str,
    columns: [&str; N],
) -> Result<Vec<[Option<String>; N]>, PortError> {
    let Some(found) = snapshot.catalogue().table(table) else {
        return Ok(Vec::new());
    };
    let place = |column: &str| found.columns.iter().position(|there| there.name.key() == column);
    let positions: Vec<usize> = columns.into_iter().filter_map(place).collect();
    if positions.len() < N {
        return Ok(Vec::new());
    }
    let read = TableRead {
        table: table.to_owned(),
        columns: positions,
        order: RowOrder::Any,
    };
    let mut reader = snapshot.read(&read).await?;
    let mut batch = RowBatch::new(N);
    let mut rows = Vec::new();
    loop {
        reader.next(&mut batch, 1 << 16).await?;
        if batch.rows() == 0 {
            return Ok(rows);
        }
        rows.extend((0..batch.rows()).map(|row| {
            std::array::from_fn(|column| match batch.cell(row, column) {
                Cell::Text(text) => Some(text.to_owned()),
                _ => None,
            })
        }));
    }
}
