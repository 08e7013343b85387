//! A MySQL or MariaDB database that Metabase has set up, as the target of a copy: its rows are replaced in one
//! transaction. No statement in it changes a definition, for that would commit it.
//!
//! Foreign keys are not looked at while rows come, in whatever order; before the commit a query of our own looks at all
//! of them, for the server itself never does afterwards.

mod insert;
mod occupancy;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{FinishedTarget, LoadTarget, Snapshot, Survey, TableWriter, Target};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};
use tokio::sync::Mutex;

use super::connect::{MySqlServer, Session, close, quoted};
use super::schema::ReadCatalogue;
use super::snapshot::{Sessions, written};
use crate::error::{failed, mysql_number};
use crate::load::{LoadOptions, fit};
use insert::{InsertWriter, Limits};
use plan::TablePlan;

/// How long another load, or whoever uses the tables, is waited for.
const WAIT_SECONDS: u32 = 15;

/// Rows into a MySQL or MariaDB database.
#[derive(Debug)]
pub struct MySqlTarget {
    server: MySqlServer,
    options: LoadOptions,
    stage: Stage,
}

/// How far it is.
#[derive(Debug)]
enum Stage {
    New,
    Surveyed(Box<Surveyed>),
    Filling(Box<Filling>),
    /// A step failed half-way; the session of it is gone, and its transaction with it.
    Lost,
}

/// What was found, and the session that holds the lock.
#[derive(Debug)]
struct Surveyed {
    session: Session,
    there: ReadCatalogue,
    /// Tables that keep their rows.
    kept: BTreeSet<String>,
}

/// The transaction.
#[derive(Debug)]
struct Filling {
    there: ReadCatalogue,
    plans: Vec<TablePlan>,
    limits: Limits,
    /// The one session, shared by all writers; `None` once it reads.
    session: Arc<Mutex<Option<MySqlConnection>>>,
    reading: Option<Arc<Sessions>>,
}

impl MySqlTarget {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(server: MySqlServer, options: LoadOptions) -> Self {
        Self {
            server,
            options,
            stage: Stage::New,
        }
    }

    fn out_of_turn(&self) -> PortError {
        PortError::new(
            ErrorKind::Precondition,
            format!("{} is not ready for this step", self.server.describe()),
        )
    }
}

#[async_trait]
impl Target for MySqlTarget {
    async fn prepare(&mut self, catalogue: &Catalogue) -> Result<Vec<String>, PortError> {
        let Stage::Surveyed(surveyed) = std::mem::replace(&mut self.stage, Stage::Lost) else {
            return Err(self.out_of_turn());
        };
        let Surveyed {
            mut session,
            there,
            kept,
        } = *surveyed;
        let plans = plan::plans(catalogue, &there.catalogue, &kept, self.options.unknown)?;
        let limits = Limits::of(&mut session.connection).await?;
        begin(&mut session.connection, self.server.database(), &plans).await?;
        self.stage = Stage::Filling(Box::new(Filling {
            there,
            plans,
            limits,
            session: Arc::new(Mutex::new(Some(session.connection))),
            reading: None,
        }));
        Ok(Vec::new())
    }

    async fn table(&self, table: &str, columns: &[usize]) -> Result<Box<dyn TableWriter>, PortError> {
        let Stage::Filling(filling) = &self.stage else {
            return Err(self.out_of_turn());
        };
        let key = table.to_lowercase();
        let plan = filling.plans.iter().find(|plan| plan.key == key).ok_or_else(|| {
            PortError::new(
                ErrorKind::NotFound,
                format!("table {key} is not among those prepared"),
            )
        })?;
        let writer = InsertWriter::new(
            self.server.database(),
            plan,
            columns,
            filling.limits,
            Arc::clone(&filling.session),
        )?;
        Ok(Box::new(writer))
    }

    async fn finish(self: Box<Self>) -> Result<FinishedTarget, PortError> {
        let Stage::Filling(filling) = self.stage else {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!("{} has not been filled", self.server.describe()),
            ));
        };
        let mut connection = match &filling.reading {
            Some(sessions) => sessions.get()?,
            None => filling.take().await?,
        };
        let bytes: i64 = sqlx::query_scalar(
            "SELECT CAST(coalesce(sum(data_length + index_length), 0) AS SIGNED) FROM information_schema.tables
             WHERE table_schema = ?",
        )
        .bind(self.server.database())
        .fetch_one(&mut connection)
        .await
        .map_err(|error| failed("look at the size of the tables", error))?;
        run(&mut connection, "COMMIT".to_owned())
            .await
            .map_err(|error| failed("show the new rows", error))?;
        close(connection).await;
        Ok(FinishedTarget {
            bytes: bytes.unsigned_abs(),
            notes: Vec::new(),
        })
    }
}

impl Filling {
    async fn take(&self) -> Result<MySqlConnection, PortError> {
        self.session.lock().await.take().ok_or_else(lost)
    }
}

#[async_trait]
impl LoadTarget for MySqlTarget {
    async fn survey(&mut self, catalogue: &Catalogue, policy: &CopyPolicy) -> Result<Survey, PortError> {
        let mut session = self.server.connect().await?;
        lock(&mut session.connection, &self.server).await?;
        let there = occupancy::look(&mut session, &self.server, self.options.users).await?;
        let compared =
            occupancy::as_compared(&mut session.connection, self.server.database(), &there.catalogue).await?;
        let survey = fit::survey(catalogue, policy, &compared, self.options.unknown)?;
        self.stage = Stage::Surveyed(Box::new(Surveyed {
            session,
            there,
            kept: survey.kept.iter().map(|table| table.name.clone()).collect(),
        }));
        Ok(survey)
    }

    async fn reread(&mut self) -> Result<Box<dyn Snapshot>, PortError> {
        let Stage::Filling(filling) = &mut self.stage else {
            return Err(self.out_of_turn());
        };
        let mut connection = filling.take().await?;
        plan::check_foreign_keys(
            &mut connection,
            self.server.database(),
            &filling.there.catalogue,
            &filling.plans,
        )
        .await?;
        let (snapshot, sessions) = written(filling.there.clone(), connection);
        filling.reading = Some(sessions);
        Ok(snapshot)
    }

    async fn abandon(self: Box<Self>) -> Result<(), PortError> {
        let connection = match self.stage {
            Stage::Surveyed(surveyed) => Some(surveyed.session.connection),
            Stage::Filling(filling) => match &filling.reading {
                Some(sessions) => sessions.get().ok(),
                None => filling.session.lock().await.take(),
            },
            Stage::New | Stage::Lost => None,
        };
        if let Some(mut connection) = connection {
            // A transaction that is not committed has never been; saying so spares the server the finding out.
            let rolled_back = run(&mut connection, "ROLLBACK".to_owned()).await;
            close(connection).await;
            rolled_back.map_err(|error| failed("take the rows back", error))?;
        }
        Ok(())
    }
}

/// One load at a time; the lock ends with the session.
async fn lock(connection: &mut MySqlConnection, server: &MySqlServer) -> Result<(), PortError> {
    // A lock's name is the server's, not the database's, and has 64 letters at most.
    let locked: Option<i64> =
        sqlx::query_scalar("SELECT CAST(GET_LOCK(concat('metaferry load ', sha1(?)), ?) AS SIGNED)")
            .bind(server.database())
            .bind(WAIT_SECONDS)
            .fetch_one(connection)
            .await
            .map_err(|error| failed("take the lock of loads", error))?;
    match locked {
        Some(1) => Ok(()),
        Some(_) | None => Err(PortError::new(
            ErrorKind::Conflict,
            format!(
                "another load into {} is under way; wait for it or end it",
                server.describe()
            ),
        )),
    }
}

/// Opens the transaction and empties the tables in it.
async fn begin(
    connection: &mut MySqlConnection,
    database: &str,
    plans: &[TablePlan],
) -> Result<(), PortError> {
    let open = format!(
        "SET SESSION foreign_key_checks = 0, innodb_lock_wait_timeout = {WAIT_SECONDS}, \
         lock_wait_timeout = {WAIT_SECONDS}; \
         SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION"
    );
    run(connection, open)
        .await
        .map_err(|error| failed("open a transaction in the target", error))?;
    for plan in plans {
        // Not TRUNCATE, which would commit.
        let delete = format!("DELETE FROM {}.{}", quoted(database), quoted(&plan.name));
        run(connection, delete).await.map_err(|error| {
            let busy = matches!(mysql_number(&error), Some(1205 | 1213));
            let failure = failed(format!("empty table {} of the target", plan.key), error);
            if busy {
                PortError::new(
                    ErrorKind::Unavailable,
                    "somebody uses the target's tables; stop the Metabase that runs on it, then retry",
                )
                .because(failure)
            } else {
                failure
            }
        })?;
    }
    Ok(())
}

/// Runs statements, all in one message.
async fn run(connection: &mut MySqlConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}

fn lost() -> PortError {
    PortError::new(
        ErrorKind::Unavailable,
        "the session that all rows are written in has ended",
    )
}
