//! What is there already: nothing, a Metabase's tables, or somebody else's.

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::INTERNAL_USER_ID;
use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::error::failed;
use crate::load::Users;
use crate::mysql::connect::{MySqlServer, Session, quoted, text};
use crate::mysql::schema::{self, ReadCatalogue, Which};

/// Names that an error quotes at most.
const NAMES_MAX: u32 = 5;

/// What a database holds.
#[derive(Debug)]
pub(super) enum Occupancy {
    /// Nothing of anybody's.
    Empty,
    /// A Metabase's tables; without users, or with such as may be replaced.
    Metabase(Box<ReadCatalogue>),
}

/// Looks, and refuses what must not or cannot be written to.
pub(super) async fn look(
    session: &mut Session,
    server: &MySqlServer,
    users: Users,
) -> Result<Occupancy, PortError> {
    let database = server.database();
    let names = relations(&mut session.connection, database).await?;
    if names.is_empty() {
        return Ok(Occupancy::Empty);
    }
    let tables = schema::list(&mut session.connection, database).await?;
    schema::refuse_engines(&tables)?;
    let there = schema::read_catalogue(session, database, Which::Shown).await?;
    let is_metabase =
        there.catalogue.table("core_user").is_some() && there.catalogue.table("databasechangelog").is_some();
    if !is_metabase {
        return Err(PortError::new(
            ErrorKind::Conflict,
            format!(
                "{} holds tables that are not Metabase's ({}, …); name an empty database, or one that Metabase has set up",
                server.describe(),
                names.join(", ")
            ),
        ));
    }
    refuse_narrow_text(&mut session.connection, server).await?;
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {}.core_user WHERE id <> ?",
        quoted(database)
    )))
    .bind(INTERNAL_USER_ID)
    .fetch_one(&mut session.connection)
    .await
    .map_err(|error| failed("count the users", error))?;
    match users {
        Users::Refuse if count > 0 => Err(PortError::new(
            ErrorKind::Conflict,
            format!(
                "{} has {count} users in it already; name another target, or say --force to replace everything in it",
                server.describe()
            ),
        )),
        Users::Refuse | Users::Replace => Ok(Occupancy::Metabase(Box::new(there))),
    }
}

/// Some of the tables and views that stand in the way of new ones.
async fn relations(connection: &mut MySqlConnection, database: &str) -> Result<Vec<String>, PortError> {
    let look = |error| failed(format!("look into database {database:?}"), error);
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT table_name FROM information_schema.tables
         WHERE table_schema = ? AND left(lower(table_name), 10) <> 'metaferry_' ORDER BY table_name LIMIT {NAMES_MAX}"
    )))
    .bind(database)
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        names.extend(text(row, 0).map_err(look)?);
    }
    Ok(names)
}

/// Triggers that this user sees, each with its table. There are none of ours.
pub(super) async fn triggers(
    connection: &mut MySqlConnection,
    database: &str,
) -> Result<Vec<String>, PortError> {
    let look = |error| failed("look for triggers in the target", error);
    let rows = sqlx::query(
        "SELECT concat(event_object_table, '.', trigger_name) FROM information_schema.triggers
         WHERE event_object_schema = ? AND left(lower(trigger_name), 10) <> 'metaferry_' ORDER BY 1",
    )
    .bind(database)
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let named = rows
        .iter()
        .map(|row| Ok(text(row, 0).map_err(look)?.unwrap_or_default()));
    named.collect()
}

/// A column of three bytes a letter takes no emoji, and the error would come in the middle.
async fn refuse_narrow_text(connection: &mut MySqlConnection, server: &MySqlServer) -> Result<(), PortError> {
    let look = |error| failed("look at the character sets of the target", error);
    let rows = sqlx::query(
        "SELECT DISTINCT concat(c.table_name, ' (', c.character_set_name, ')')
         FROM information_schema.columns c
         JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
         WHERE c.table_schema = ? AND t.table_type = 'BASE TABLE' AND c.character_set_name <> 'utf8mb4'
           AND left(c.table_name, 10) <> 'metaferry_' ORDER BY 1",
    )
    .bind(server.database())
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let mut narrow = Vec::with_capacity(rows.len());
    for row in &rows {
        narrow.extend(text(row, 0).map_err(look)?);
    }
    if narrow.is_empty() {
        return Ok(());
    }
    Err(PortError::new(
        ErrorKind::Unsupported,
        format!(
            "tables of {} cannot hold every letter: {}; convert them by ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4, \
             then retry",
            server.describe(),
            narrow.join(", ")
        ),
    ))
}
