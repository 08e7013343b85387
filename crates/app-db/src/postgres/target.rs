//! A Postgres database as the target of a copy: an empty one, filled in a staging schema and shown by one swap, or one
//! that Metabase has set up, whose rows are replaced in one transaction.

mod arrays;
mod copy_in;
mod encode;
mod in_place;
mod occupancy;
mod pool;
mod staging;
mod written;

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{FinishedTarget, LoadTarget, Snapshot, Survey, TableWriter, Target};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, PgConnection};

use super::connect::{PostgresServer, close};
use super::translate;
use crate::error::failed;
use crate::load::LoadOptions;
use crate::load::fit::{self, Texts};
use in_place::InPlace;
use occupancy::Occupancy;
use staging::Staging;

/// Holds one load at a time per database; the ASCII text `mf load `.
const LOCK: i64 = 0x6d66_206c_6f61_6420;
/// How long another load is waited for: one that was killed is noticed by the server within a second or two.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(15);
const LOCK_PAUSE: Duration = Duration::from_millis(200);
/// Sessions that write, and build indexes, at once: the server's own work per row is several times ours.
const WRITERS: usize = 3;

/// Rows into a Postgres database.
#[derive(Debug)]
pub struct PostgresTarget {
    server: PostgresServer,
    options: LoadOptions,
    stage: Stage,
}

/// How far it is.
enum Stage {
    New,
    Surveyed(Box<Surveyed>),
    Staging(Box<Staging>),
    InPlace(Box<InPlace>),
    /// A step failed half-way; the session of it is gone.
    Lost,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "New",
            Self::Surveyed(_) => "Surveyed",
            Self::Staging(_) => "Staging",
            Self::InPlace(_) => "InPlace",
            Self::Lost => "Lost",
        })
    }
}

/// What was found, and the session that holds the lock.
struct Surveyed {
    leader: PgConnection,
    /// The schema that is filled.
    schema: String,
    occupancy: Occupancy,
    /// Tables that keep their rows.
    kept: BTreeSet<String>,
}

impl PostgresTarget {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(server: PostgresServer, options: LoadOptions) -> Self {
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
impl Target for PostgresTarget {
    async fn prepare(&mut self, catalogue: &Catalogue) -> Result<Vec<String>, PortError> {
        let Stage::Surveyed(surveyed) = std::mem::replace(&mut self.stage, Stage::Lost) else {
            return Err(self.out_of_turn());
        };
        match surveyed.occupancy {
            Occupancy::Empty => {
                let (staging, notes) =
                    Staging::begin(&self.server, surveyed.leader, surveyed.schema, catalogue).await?;
                self.stage = Stage::Staging(Box::new(staging));
                Ok(notes)
            }
            Occupancy::Metabase(there) => {
                let in_place = InPlace::begin(
                    surveyed.leader,
                    *there,
                    catalogue,
                    &surveyed.kept,
                    self.options.unknown,
                )
                .await?;
                self.stage = Stage::InPlace(Box::new(in_place));
                Ok(Vec::new())
            }
        }
    }

    async fn table(&self, table: &str, columns: &[usize]) -> Result<Box<dyn TableWriter>, PortError> {
        let (plans, pool) = match &self.stage {
            Stage::Staging(staging) => (&staging.plans, &staging.pool),
            Stage::InPlace(in_place) => (&in_place.plans, &in_place.pool),
            Stage::New | Stage::Surveyed(_) | Stage::Lost => return Err(self.out_of_turn()),
        };
        let key = table.to_lowercase();
        let plan = plans.iter().find(|plan| plan.key == key).ok_or_else(|| {
            PortError::new(
                ErrorKind::NotFound,
                format!("table {key} is not among those prepared"),
            )
        })?;
        Ok(Box::new(copy_in::start(plan, columns, pool).await?))
    }

    async fn finish(self: Box<Self>) -> Result<FinishedTarget, PortError> {
        match self.stage {
            Stage::Staging(staging) => staging.swap().await,
            Stage::InPlace(in_place) => in_place.commit().await,
            Stage::New | Stage::Surveyed(_) | Stage::Lost => Err(PortError::new(
                ErrorKind::Precondition,
                format!("{} has not been filled", self.server.describe()),
            )),
        }
    }
}

#[async_trait]
impl LoadTarget for PostgresTarget {
    async fn survey(&mut self, catalogue: &Catalogue, policy: &CopyPolicy) -> Result<Survey, PortError> {
        let session = self.server.connect().await?;
        let (mut leader, schema) = (session.connection, session.schema);
        lock(&mut leader, &self.server).await?;
        staging::remove_leftovers(&mut leader).await?;
        let occupancy = occupancy::look(&mut leader, &schema, &self.server, self.options.users).await?;
        let survey = match &occupancy {
            Occupancy::Empty => Survey {
                unique: translate::own_rules(catalogue),
                ..Survey::default()
            },
            Occupancy::Metabase(there) => {
                let there = &there.catalogue;
                let mut survey =
                    fit::survey(catalogue, policy, there, self.options.unknown, Texts::AsDeclared)?;
                let triggers = occupancy::triggers(&mut leader, &schema).await?;
                survey.notes.extend(
                    self.options
                        .users
                        .judge_triggers(&triggers, self.server.describe())?,
                );
                survey
            }
        };
        self.stage = Stage::Surveyed(Box::new(Surveyed {
            leader,
            schema,
            occupancy,
            kept: survey.kept.iter().map(|table| table.name.clone()).collect(),
        }));
        Ok(survey)
    }

    async fn reread(&mut self) -> Result<Box<dyn Snapshot>, PortError> {
        match &mut self.stage {
            Stage::Staging(staging) => {
                staging.build().await?;
                staging.reread().await
            }
            Stage::InPlace(in_place) => {
                in_place.complete().await?;
                Ok(in_place.reread())
            }
            Stage::New | Stage::Surveyed(_) | Stage::Lost => Err(self.out_of_turn()),
        }
    }

    async fn abandon(self: Box<Self>) -> Result<(), PortError> {
        match self.stage {
            Stage::Staging(staging) => staging.abandon().await,
            // A transaction that is not committed has never been.
            Stage::InPlace(in_place) => {
                in_place.pool.close().await;
                Ok(())
            }
            Stage::Surveyed(surveyed) => {
                close(surveyed.leader).await;
                Ok(())
            }
            Stage::New => Ok(()),
            Stage::Lost => {
                // What a failed beginning left is like what a dead load left.
                let mut leader = self.server.connect().await?.connection;
                lock(&mut leader, &self.server).await?;
                staging::remove_leftovers(&mut leader).await?;
                close(leader).await;
                Ok(())
            }
        }
    }
}

/// One load at a time; the lock ends with the session.
async fn lock(leader: &mut PgConnection, server: &PostgresServer) -> Result<(), PortError> {
    let begun = tokio::time::Instant::now();
    loop {
        let locked: bool = sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *leader)
            .await
            .map_err(|error| failed("take the lock of loads", error))?;
        if locked {
            return Ok(());
        }
        if begun.elapsed() > LOCK_WAIT_MAX {
            return Err(PortError::new(
                ErrorKind::Conflict,
                format!(
                    "another load into {} is under way; wait for it or end it",
                    server.describe()
                ),
            ));
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

/// Runs statements, all in one message and so in one transaction unless they say otherwise.
async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}
