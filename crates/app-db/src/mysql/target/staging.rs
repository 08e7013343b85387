//! An empty database: filled in tables of another name, several at once, which one `RENAME TABLE` shows. Secondary
//! indexes and foreign keys are made when the rows are there.
//!
//! The tables are in the database itself, and not in one of their own, because that is where a Metabase's user may
//! make tables: to make a database is a right that it seldom has. Renaming them is one statement either way.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use metaferry_domain::ports::{FinishedTarget, Snapshot};
use metaferry_domain::schema::{Catalogue, Name};
use metaferry_domain::{ErrorKind, PortError};

use sqlx::{Connection as _, MySqlConnection};

use super::insert::Limits;
use super::plan::{self, Bounds, Holds, Place, TablePlan, key_positions};
use super::pool::Pool;
use super::{WRITERS, leftovers, lock, run};
use crate::error::{failed, failed_at_secrets, kind};
use crate::mysql::connect::{MySqlServer, Session, close, quoted, text};
use crate::mysql::schema::{self, Which};
use crate::mysql::snapshot::staged;
use crate::mysql::translate::own_changes::complete_history;
use crate::mysql::translate::{
    SESSION_OF_VIEWS, Supply, TranslatedTable, Translation, auto_increment, translate,
};
use crate::row_names::is_secret;

/// Sessions that read the rows again at once.
const READERS: usize = 2;
/// How long a definition that somebody uses is waited for.
const LOCK_WAIT_SECONDS: u32 = 15;

/// Tables that are being filled.
pub(super) struct Staging {
    server: MySqlServer,
    leader: Session,
    /// The load's name.
    load: String,
    /// The source's tables.
    catalogue: Catalogue,
    /// What tables and views are called meanwhile, by the name that they will have.
    staged: HashMap<String, String>,
    /// Statements with the names that there will be.
    shown: Translation,
    /// Statements with the names meanwhile.
    meanwhile: Translation,
    moments: Moments,
    pub(super) plans: Vec<TablePlan>,
    pub(super) limits: Limits,
    pub(super) pool: Arc<Pool>,
}

/// What a moment without a default does at this server: `explicit_defaults_for_timestamp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moments {
    AsDeclared,
    FillThemselves,
}

impl Moments {
    async fn of(connection: &mut MySqlConnection) -> Result<Self, PortError> {
        let explicit: i64 = sqlx::query_scalar("SELECT CAST(@@explicit_defaults_for_timestamp AS SIGNED)")
            .fetch_one(connection)
            .await
            .map_err(|error| failed("ask what moments without a default do", error))?;
        Ok(if explicit == 0 {
            Self::FillThemselves
        } else {
            Self::AsDeclared
        })
    }
}

impl Staging {
    /// Makes the tables, with nothing but their columns and primary keys.
    pub(super) async fn begin(
        server: &MySqlServer,
        mut leader: Session,
        catalogue: &Catalogue,
    ) -> Result<(Self, Vec<String>), PortError> {
        let mut shown = translate(catalogue, &str::to_owned)?;
        let notes = std::mem::take(&mut shown.notes);
        let limits = Limits::of(&mut leader.connection).await?;
        let moments = Moments::of(&mut leader.connection).await?;
        let load = leftovers::register(&mut leader.connection).await?;
        let tables = shown.tables.iter().map(|table| &table.name);
        let views = shown.views.iter().map(|view| &view.name);
        let staged: HashMap<String, String> = tables
            .chain(views)
            .enumerate()
            .map(|(number, name)| (name.clone(), format!("{load}_{number}")))
            .collect();
        let meanwhile = translate(catalogue, &|name| {
            staged.get(name).cloned().unwrap_or_else(|| name.to_owned())
        })?;
        let set_up = format!(
            "SET SESSION foreign_key_checks = 0, lock_wait_timeout = {LOCK_WAIT_SECONDS}, \
             innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS}"
        );
        run(&mut leader.connection, set_up)
            .await
            .map_err(|error| failed("set up the session that makes the tables", error))?;
        let mut plans = Vec::with_capacity(meanwhile.tables.len());
        for (table, translated) in catalogue.tables.iter().zip(&meanwhile.tables) {
            run(&mut leader.connection, translated.create.clone())
                .await
                .map_err(|error| failed(format!("make table {}", translated.name), error))?;
            plans.push(TablePlan {
                key: table.name.key(),
                name: staged.get(&translated.name).cloned().unwrap_or_default(),
                columns: translated
                    .columns
                    .iter()
                    .map(|column| match column.source {
                        Supply::Generated => None,
                        Supply::Rows | Supply::Identity { .. } => Some(Place {
                            name: column.name.clone(),
                            holds: if column.is_timestamp {
                                Holds::FewMoments
                            } else {
                                Holds::Anything
                            },
                        }),
                    })
                    .collect(),
                primary_key: key_positions(table),
                bounds: Bounds::OfTable,
            });
        }
        let staging = Self {
            server: server.clone(),
            leader,
            load,
            catalogue: catalogue.clone(),
            staged,
            shown,
            meanwhile,
            moments,
            plans,
            limits,
            pool: Pool::of_server(server.clone(), WRITERS),
        };
        Ok((staging, notes))
    }

    /// Secondary indexes, next keys, and foreign keys after a look at them.
    pub(super) async fn build(&mut self) -> Result<(), PortError> {
        let largest_first = self.largest_first().await?;
        let tables = &self.meanwhile.tables;
        let jobs: VecDeque<Vec<String>> = largest_first
            .iter()
            .filter_map(|place| tables.iter().find(|table| self.place(&table.name) == *place))
            .filter_map(|table| self.alter(table, completions(table, self.moments)))
            .map(|statement| vec![statement])
            .collect();
        let secret = self.secret_places();
        let because = move |statement: &str, error| unbuilt(&secret, statement, error);
        // Of two equal keys the server must say so now.
        self.pool
            .work_off("SET SESSION unique_checks = 1", jobs, because.clone())
            .await?;
        let places: HashMap<String, String> = self
            .plans
            .iter()
            .map(|plan| (plan.key.clone(), quoted(&plan.name)))
            .collect();
        let place = |key: &str| places.get(key).cloned();
        plan::check_foreign_keys(&mut self.leader.connection, &self.catalogue, place, |_| true).await?;
        // One after the other: each takes the definition of another table too.
        for table in &self.meanwhile.tables {
            if let Some(statement) = self.alter(table, table.foreign_keys.clone()) {
                run(&mut self.leader.connection, statement.clone())
                    .await
                    .map_err(|error| because(&statement, error))?;
            }
        }
        self.try_views().await
    }

    /// Tells the history of what was made here because Metabase makes it on MySQL.
    async fn complete_history(&mut self) -> Result<(), PortError> {
        let tables = &self.meanwhile.tables;
        let is_history = |table: &&TranslatedTable| table.name.eq_ignore_ascii_case("databasechangelog");
        let Some(history) = tables.iter().find(is_history) else {
            return Ok(());
        };
        let statements = complete_history(&self.meanwhile, self.place(&history.name)).join("; ");
        run(&mut self.leader.connection, statements)
            .await
            .map_err(|error| failed("complete the schema history", error))
    }

    /// What a table or view is called meanwhile.
    fn place<'a>(&'a self, name: &'a str) -> &'a str {
        self.staged.get(name).map_or(name, String::as_str)
    }

    /// Where tables are filled whose keys are credentials, as statements name them.
    fn secret_places(&self) -> Vec<String> {
        let secret = self.plans.iter().filter(|plan| is_secret(&plan.key));
        secret.map(|plan| quoted(&plan.name)).collect()
    }

    fn alter(&self, table: &TranslatedTable, clauses: Vec<String>) -> Option<String> {
        let place = quoted(self.place(&table.name));
        (!clauses.is_empty()).then(|| format!("ALTER TABLE {place} {}", clauses.join(", ")))
    }

    /// Makes each view under another name and takes it away: so that none fails when the tables have been shown.
    async fn try_views(&mut self) -> Result<(), PortError> {
        run(&mut self.leader.connection, SESSION_OF_VIEWS.to_owned())
            .await
            .map_err(|error| failed("set up the session that makes the views", error))?;
        for view in &self.meanwhile.views {
            run(&mut self.leader.connection, view.create.clone())
                .await
                .map_err(|error| failed(format!("make view {}", view.name), error))?;
        }
        let drop: Vec<String> = self
            .meanwhile
            .views
            .iter()
            .map(|view| format!("DROP VIEW {}", quoted(self.place(&view.name))))
            .collect();
        run(&mut self.leader.connection, drop.join(";"))
            .await
            .map_err(|error| failed("take views away", error))
    }

    /// The tables, the largest first, so that no long job is begun last.
    async fn largest_first(&mut self) -> Result<Vec<String>, PortError> {
        let look = |error| failed("look at the sizes of the tables", error);
        let rows = sqlx::query(
            "SELECT table_name FROM information_schema.tables
             WHERE table_schema = ? AND left(table_name, char_length(?) + 1) = concat(?, '_')
             ORDER BY data_length DESC, table_name",
        )
        .bind(self.server.database())
        .bind(&self.load)
        .bind(&self.load)
        .fetch_all(&mut self.leader.connection)
        .await
        .map_err(look)?;
        let mut names = Vec::with_capacity(rows.len());
        for row in &rows {
            names.extend(text(row, 0).map_err(look)?);
        }
        Ok(names)
    }

    /// The rows as they are now, under the names that the tables will have.
    pub(super) async fn reread(&mut self) -> Result<Box<dyn Snapshot>, PortError> {
        let which = Which::Staged(&self.load);
        let mut there = schema::read_catalogue(&mut self.leader, self.server.database(), which).await?;
        let mut places = HashMap::with_capacity(self.plans.len());
        for (table, plan) in self.meanwhile.tables.iter().zip(&self.plans) {
            let Some(found) = there
                .catalogue
                .tables
                .iter_mut()
                .find(|found| found.name.key() == plan.name)
            else {
                continue;
            };
            if let Some(readings) = there.readings.remove(&plan.name) {
                there.readings.insert(plan.key.clone(), readings);
            }
            found.name = Name::new(table.name.clone());
            places.insert(plan.key.clone(), plan.name.clone());
        }
        there.catalogue.tables.sort_by_key(|table| table.name.key());
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            readers.push(self.server.connect().await?.connection);
        }
        Ok(staged(there, places, readers))
    }

    /// Shows everything at once.
    pub(super) async fn swap(mut self) -> Result<FinishedTarget, PortError> {
        self.pool.close().await;
        let database = self.server.database().to_owned();
        let bytes: i64 = sqlx::query_scalar(
            "SELECT CAST(coalesce(sum(data_length + index_length), 0) AS SIGNED) FROM information_schema.tables
             WHERE table_schema = ?",
        )
        .bind(&database)
        .fetch_one(&mut self.leader.connection)
        .await
        .map_err(|error| failed("look at the size of the tables", error))?;
        self.complete_history().await?;
        let views: Vec<String> = self.shown.views.iter().map(|view| view.create.clone()).collect();
        leftovers::promise(&mut self.leader.connection, &self.load, &views).await?;
        let renames: Vec<String> = self
            .meanwhile
            .tables
            .iter()
            .map(|table| format!("{} TO {}", quoted(self.place(&table.name)), quoted(&table.name)))
            .collect();
        let mut statements = Vec::with_capacity(views.len() + 2);
        if !renames.is_empty() {
            statements.push(format!("RENAME TABLE {}", renames.join(", ")));
        }
        statements.extend(views);
        statements.push(format!("DROP TABLE {}", quoted(&self.load)));
        let swap = self.leader.flavour.to_the_end(&statements);
        if let Err(error) = run(&mut self.leader.connection, swap).await {
            let lives =
                matches!(error, sqlx::Error::Database(_)) && self.leader.connection.ping().await.is_ok();
            let session = if lives {
                Some(self.leader)
            } else {
                // Nothing more is learnt from this one, and the lock is to be given up.
                drop(self.leader);
                None
            };
            let failure = failed("show the new tables", error);
            let views = self.shown.views.iter().map(|view| view.name.clone());
            let names = self.shown.tables.iter().map(|table| table.name.clone());
            let names = names.chain(views).collect();
            let answer = look_again(&self.server, session, &self.load, names).await;
            return match answer {
                Ok(Shown::Yes) => Ok(FinishedTarget {
                    bytes: bytes.unsigned_abs(),
                    notes: vec![format!(
                        "the last step is done, although the server did not say so ({})",
                        failure.chain()
                    )],
                }),
                Ok(Shown::No) => Err(failure),
                Err(unsettled) => {
                    // The first error is what the caller must hear.
                    tracing::warn!(error = %unsettled.chain(), "not everything could be taken back");
                    Err(failure.advising(
                        "load again: that removes what is left, or says that the new tables have been shown after all",
                    ))
                }
            };
        }
        close(self.leader.connection).await;
        Ok(FinishedTarget {
            bytes: bytes.unsigned_abs(),
            notes: Vec::new(),
        })
    }

    /// Removes the tables.
    pub(super) async fn abandon(mut self) -> Result<(), PortError> {
        self.pool.close().await;
        let settled =
            leftovers::settle(&mut self.leader.connection, self.server.database(), &self.load).await;
        close(self.leader.connection).await;
        settled
    }
}

/// Have the new tables and views been shown?
enum Shown {
    Yes,
    No,
}

/// After a step that was not answered well: removes the tables of the load, or completes what was shown, and says which it
/// was. A session that has broken is replaced by a new one, which gets the lock once the server has ended the old one.
async fn look_again(
    server: &MySqlServer,
    session: Option<Session>,
    load: &str,
    names: BTreeSet<String>,
) -> Result<Shown, PortError> {
    let mut connection = match session {
        Some(session) => session.connection,
        None => {
            let mut connection = server.connect().await?.connection;
            lock(&mut connection, server).await?;
            connection
        }
    };
    let database = server.database();
    // The register goes last: without it there is nothing to settle.
    if leftovers::is_registered(&mut connection, database, load).await? {
        leftovers::settle(&mut connection, database, load).await?;
    }
    let look = |error| failed("look whether the new tables are shown", error);
    let rows = sqlx::query("SELECT table_name FROM information_schema.tables WHERE table_schema = ?")
        .bind(database)
        .fetch_all(&mut connection)
        .await
        .map_err(look)?;
    let mut there = BTreeSet::new();
    for row in &rows {
        there.extend(text(row, 0).map_err(look)?.map(|name| name.to_lowercase()));
    }
    close(connection).await;
    let shown = !names.is_empty() && names.iter().all(|name| there.contains(&name.to_lowercase()));
    Ok(if shown { Shown::Yes } else { Shown::No })
}

/// What is added to a table when its rows are there, but for its foreign keys.
fn completions(table: &TranslatedTable, moments: Moments) -> Vec<String> {
    let next = table.columns.iter().find_map(|column| match column.source {
        Supply::Identity { next } => next,
        Supply::Rows | Supply::Generated => None,
    });
    // The server itself takes the next free one if that is later.
    let next = next.map(auto_increment);
    let undefaulted: &[String] = match moments {
        Moments::AsDeclared => &table.undefaulted,
        Moments::FillThemselves => &[],
    };
    let clauses = table.after_rows.iter().chain(undefaulted).cloned();
    clauses.chain(next).collect()
}

/// A key that the rows break is what the rows are, not a conflict with somebody. `secret`: how statements name the tables
/// whose keys are credentials.
fn unbuilt(secret: &[String], statement: &str, error: sqlx::Error) -> PortError {
    let is_data = kind(&error) == ErrorKind::Conflict;
    let what = format!("run {statement}");
    let failure = if secret.iter().any(|place| statement.contains(place)) {
        failed_at_secrets(what, error)
    } else {
        failed(what, error)
    };
    if is_data {
        PortError::new(ErrorKind::Corrupt, "the rows break a key").because(failure)
    } else {
        failure
    }
}
