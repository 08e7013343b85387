//! A database that Metabase has set up: its rows are replaced in one transaction. No statement in it changes a
//! definition, for that would commit it.
//!
//! Foreign keys are not looked at while rows come, in whatever order; before the commit a query of our own looks at all
//! of them, for the server itself never does afterwards.

use std::collections::BTreeSet;
use std::sync::Arc;

use metaferry_domain::ports::{FinishedTarget, Snapshot};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::MySqlConnection;

use super::insert::Limits;
use super::plan::{self, TablePlan};
use super::pool::Pool;
use super::{WAIT_SECONDS, run};
use crate::error::{failed, kind, mysql_number};
use crate::load::UnknownColumns;
use crate::mysql::connect::{close, quoted};
use crate::mysql::schema::ReadCatalogue;
use crate::mysql::snapshot::{Sessions, written};

/// A transaction that is being filled.
pub(super) struct InPlace {
    there: ReadCatalogue,
    database: String,
    pub(super) plans: Vec<TablePlan>,
    pub(super) limits: Limits,
    /// The one session.
    pub(super) pool: Arc<Pool>,
    /// Where the session is once it reads.
    reading: Option<Arc<Sessions>>,
}

impl InPlace {
    /// Opens the transaction and empties the tables in it.
    pub(super) async fn begin(
        mut leader: MySqlConnection,
        database: &str,
        there: ReadCatalogue,
        source: &Catalogue,
        kept: &BTreeSet<String>,
        unknown: UnknownColumns,
    ) -> Result<Self, PortError> {
        let plans = plan::plans(source, &there.catalogue, kept, unknown)?;
        let limits = Limits::of(&mut leader).await?;
        let open = format!(
            "SET SESSION foreign_key_checks = 0, innodb_lock_wait_timeout = {WAIT_SECONDS}, \
             lock_wait_timeout = {WAIT_SECONDS}; \
             SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION"
        );
        run(&mut leader, open)
            .await
            .map_err(|error| failed("open a transaction in the target", error))?;
        for plan in &plans {
            // Not TRUNCATE, which would commit.
            let delete = format!("DELETE FROM {}.{}", quoted(database), quoted(&plan.name));
            run(&mut leader, delete)
                .await
                .map_err(|error| unemptied(&plan.key, error))?;
        }
        Ok(Self {
            there,
            database: database.to_owned(),
            plans,
            limits,
            pool: Pool::of_one(leader),
            reading: None,
        })
    }

    /// Looks at the foreign keys; gives the rows as the transaction sees them.
    pub(super) async fn reread(&mut self) -> Result<Box<dyn Snapshot>, PortError> {
        let mut connection = self.pool.get().await?.take();
        let database = quoted(&self.database);
        let catalogue = &self.there.catalogue;
        let place = |key: &str| {
            let table = catalogue.table(key)?;
            Some(format!("{database}.{}", quoted(table.name.as_str())))
        };
        let is_written = |key: &str| self.plans.iter().any(|plan| plan.key == key);
        plan::check_foreign_keys(&mut connection, catalogue, place, is_written).await?;
        let (snapshot, sessions) = written(self.there.clone(), connection);
        self.reading = Some(sessions);
        Ok(snapshot)
    }

    /// The session, wherever it is.
    async fn session(&self) -> Result<MySqlConnection, PortError> {
        match &self.reading {
            Some(sessions) => sessions.get(),
            None => Ok(self.pool.get().await?.take()),
        }
    }

    /// Shows everything at once.
    pub(super) async fn commit(self) -> Result<FinishedTarget, PortError> {
        let mut connection = self.session().await?;
        let bytes: i64 = sqlx::query_scalar(
            "SELECT CAST(coalesce(sum(data_length + index_length), 0) AS SIGNED) FROM information_schema.tables
             WHERE table_schema = ?",
        )
        .bind(&self.database)
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failed("look at the size of the tables", error))?;
        run(&mut connection, "COMMIT".to_owned()).await.map_err(unshown)?;
        close(connection).await;
        Ok(FinishedTarget {
            bytes: bytes.unsigned_abs(),
            notes: Vec::new(),
        })
    }

    /// A transaction that is not committed has never been; saying so spares the server the finding out.
    pub(super) async fn abandon(self) -> Result<(), PortError> {
        // Gone with whatever failed, where there is none.
        let Ok(mut connection) = self.session().await else {
            return Ok(());
        };
        let rolled_back = run(&mut connection, "ROLLBACK".to_owned()).await;
        close(connection).await;
        rolled_back.map_err(|error| failed("take the rows back", error))
    }
}

/// A commit that the server refused, or whose answer got lost.
fn unshown(error: sqlx::Error) -> PortError {
    if kind(&error) == ErrorKind::Unavailable {
        failed(
            "show the new rows; whether the server still did it is not known",
            error,
        )
        .advising("compare the target with the source (`metaferry verify`); where they differ, load again")
    } else {
        failed("show the new rows; nothing is changed", error)
    }
}

fn unemptied(table: &str, error: sqlx::Error) -> PortError {
    let busy = matches!(mysql_number(&error), Some(1205 | 1213));
    let failure = failed(format!("empty table {table} of the target"), error);
    if busy {
        PortError::new(
            ErrorKind::Conflict,
            "somebody uses the target's tables; stop the Metabase that runs on it, then retry",
        )
        .because(failure)
        .advising("stop whatever is connected to the target (SHOW PROCESSLIST lists it), then retry")
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::unshown;

    /// It read like a failure: the rows may be there.
    #[test]
    fn a_lost_answer_to_the_commit_is_told_as_unknown() {
        let lost = sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into());
        let error = unshown(lost);
        assert!(error.what.ends_with("is not known"), "{error:?}");
        assert!(
            error
                .remedy()
                .is_some_and(|remedy| remedy.contains("metaferry verify"))
        );
    }
}
