//! A MySQL or MariaDB database as the target of a copy: an empty one, filled in tables that nobody knows and shown by one
//! statement, or one that Metabase has set up, whose rows are replaced in one transaction.

mod collation;
mod in_place;
mod insert;
mod leftovers;
mod occupancy;
mod plan;
mod pool;
mod staging;

use std::collections::BTreeSet;

use async_trait::async_trait;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{FinishedTarget, LoadTarget, RowOrder, Snapshot, Survey, TableWriter, Target};
use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::connect::{MySqlServer, Session, close};
use super::translate::translate;
use crate::error::failed;
use crate::load::LoadOptions;
use crate::load::fit::{self, Texts};
use collation::Collations;
use in_place::InPlace;
use occupancy::Occupancy;
use staging::Staging;

/// How long another load, or whoever uses the tables, is waited for.
const WAIT_SECONDS: u32 = 15;
/// Sessions that write, and build indexes, at once: the server's own work per row is several times ours.
const WRITERS: usize = 3;

/// Rows into a MySQL or MariaDB database.
#[derive(Debug)]
pub struct MySqlTarget {
    server: MySqlServer,
    options: LoadOptions,
    stage: Stage,
}

/// How far it is.
enum Stage {
    New,
    Surveyed(Box<Surveyed>),
    Staging(Box<Staging>),
    InPlace(Box<InPlace>),
    /// A step failed half-way; the session of it is gone, and its transaction with it.
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
    session: Session,
    occupancy: Occupancy,
    collations: Collations,
    /// Tables that keep their rows.
    kept: BTreeSet<String>,
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
    /// New tables keep their rows by key: those that come in that order are appended.
    fn row_order(&self) -> RowOrder {
        match &self.stage {
            Stage::Surveyed(surveyed) => match surveyed.occupancy {
                Occupancy::Empty => RowOrder::PrimaryKey,
                Occupancy::Metabase(_) => RowOrder::Any,
            },
            Stage::New | Stage::Staging(_) | Stage::InPlace(_) | Stage::Lost => RowOrder::Any,
        }
    }

    async fn prepare(&mut self, catalogue: &Catalogue) -> Result<Vec<String>, PortError> {
        let Stage::Surveyed(surveyed) = std::mem::replace(&mut self.stage, Stage::Lost) else {
            return Err(self.out_of_turn());
        };
        match surveyed.occupancy {
            Occupancy::Empty => {
                let (staging, notes) = Staging::begin(&self.server, surveyed.session, catalogue).await?;
                self.stage = Stage::Staging(Box::new(staging));
                Ok(notes)
            }
            Occupancy::Metabase(there) => {
                let in_place = InPlace::begin(
                    surveyed.session.connection,
                    self.server.database(),
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
        let (plans, limits, pool) = match &self.stage {
            Stage::Staging(staging) => (&staging.plans, staging.limits, &staging.pool),
            Stage::InPlace(in_place) => (&in_place.plans, in_place.limits, &in_place.pool),
            Stage::New | Stage::Surveyed(_) | Stage::Lost => return Err(self.out_of_turn()),
        };
        let key = table.to_lowercase();
        let plan = plans.iter().find(|plan| plan.key == key).ok_or_else(|| {
            PortError::new(
                ErrorKind::NotFound,
                format!("table {key} is not among those prepared"),
            )
        })?;
        let writer = insert::start(self.server.database(), plan, columns, limits, pool).await?;
        Ok(Box::new(writer))
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
impl LoadTarget for MySqlTarget {
    async fn survey(&mut self, catalogue: &Catalogue, policy: &CopyPolicy) -> Result<Survey, PortError> {
        let mut session = self.server.connect().await?;
        lock(&mut session.connection, &self.server).await?;
        leftovers::settle_all(&mut session.connection, self.server.database()).await?;
        let occupancy = occupancy::look(&mut session, &self.server, self.options.users).await?;
        let (survey, collations) = match &occupancy {
            Occupancy::Empty => {
                let unique = fit::collated_rules(catalogue);
                let survey = Survey {
                    unique,
                    ..Survey::default()
                };
                let translation = translate(catalogue, &str::to_owned)?;
                (survey, Collations::translated(&translation))
            }
            Occupancy::Metabase(there) => {
                let there = &there.catalogue;
                let mut survey =
                    fit::survey(catalogue, policy, there, self.options.unknown, Texts::Collated)?;
                let triggers = occupancy::triggers(&mut session.connection, self.server.database()).await?;
                survey.notes.extend(
                    self.options
                        .users
                        .judge_triggers(&triggers, self.server.describe())?,
                );
                let collations = Collations::of(&mut session.connection, self.server.database()).await?;
                (survey, collations)
            }
        };
        self.stage = Stage::Surveyed(Box::new(Surveyed {
            session,
            occupancy,
            collations,
            kept: survey.kept.iter().map(|table| table.name.clone()).collect(),
        }));
        Ok(survey)
    }

    async fn collation_keys(
        &mut self,
        table: &str,
        column: &str,
        texts: &[&str],
    ) -> Result<Vec<Vec<u8>>, PortError> {
        let Stage::Surveyed(surveyed) = &mut self.stage else {
            return Err(self.out_of_turn());
        };
        match surveyed.collations.of_column(table, column) {
            Some(collation) => collation::keys(&mut surveyed.session.connection, collation, texts).await,
            // No text there: compared as it is.
            None => Ok(texts.iter().map(|text| text.as_bytes().to_vec()).collect()),
        }
    }

    async fn reread(&mut self) -> Result<Box<dyn Snapshot>, PortError> {
        match &mut self.stage {
            Stage::Staging(staging) => {
                staging.build().await?;
                staging.reread().await
            }
            Stage::InPlace(in_place) => in_place.reread().await,
            Stage::New | Stage::Surveyed(_) | Stage::Lost => Err(self.out_of_turn()),
        }
    }

    async fn abandon(self: Box<Self>) -> Result<(), PortError> {
        match self.stage {
            Stage::Staging(staging) => staging.abandon().await,
            Stage::InPlace(in_place) => in_place.abandon().await,
            Stage::Surveyed(surveyed) => {
                close(surveyed.session.connection).await;
                Ok(())
            }
            Stage::New => Ok(()),
            Stage::Lost => {
                // What a failed beginning left is like what a dead load left.
                let mut leader = self.server.connect().await?.connection;
                lock(&mut leader, &self.server).await?;
                leftovers::settle_all(&mut leader, self.server.database()).await?;
                close(leader).await;
                Ok(())
            }
        }
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

/// Runs statements, all in one message.
async fn run(connection: &mut MySqlConnection, sql: String) -> Result<(), sqlx::Error> {
    // Which the server would call a mistake.
    if sql.is_empty() {
        return Ok(());
    }
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map(drop)
}
