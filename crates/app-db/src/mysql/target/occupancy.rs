//! What is there already, and how it compares texts.

use std::collections::HashSet;

use metaferry_domain::schema::{Catalogue, DataType};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::INTERNAL_USER_ID;
use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::error::failed;
use crate::load::Users;
use crate::mysql::connect::{MySqlServer, Session, quoted, text};
use crate::mysql::schema::{self, ReadCatalogue};

/// Names that an error quotes at most.
const NAMES_MAX: usize = 5;

/// Looks, and refuses what must not or cannot be written to.
pub(super) async fn look(
    session: &mut Session,
    server: &MySqlServer,
    users: Users,
) -> Result<ReadCatalogue, PortError> {
    let database = server.database();
    let tables = schema::list(&mut session.connection, database).await?;
    if tables.is_empty() {
        return Err(PortError::new(
            ErrorKind::Unsupported,
            format!(
                "{} is empty; let a Metabase of the source's version set it up (start it once and stop it), then retry",
                server.describe()
            ),
        ));
    }
    schema::refuse_engines(&tables)?;
    let there = schema::read_catalogue(session, database).await?;
    let is_metabase =
        there.catalogue.table("core_user").is_some() && there.catalogue.table("databasechangelog").is_some();
    if !is_metabase {
        let names: Vec<&str> = tables
            .iter()
            .take(NAMES_MAX)
            .map(|table| table.name.as_str())
            .collect();
        return Err(PortError::new(
            ErrorKind::Conflict,
            format!(
                "{} holds tables that are not Metabase's ({}, …); name a database that Metabase has set up",
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
        Users::Refuse | Users::Replace => Ok(there),
    }
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

/// The catalogue with every text that is compared without regard to case marked as such, for its keys refuse more than
/// those of other databases do.
pub(super) async fn as_compared(
    connection: &mut MySqlConnection,
    database: &str,
    there: &Catalogue,
) -> Result<Catalogue, PortError> {
    let look = |error| failed("look at the collations of the target", error);
    let rows = sqlx::query(
        "SELECT table_name, column_name FROM information_schema.columns
         WHERE table_schema = ? AND right(collation_name, 3) = '_ci'",
    )
    .bind(database)
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let mut folded = HashSet::with_capacity(rows.len());
    for row in &rows {
        let name = |position| text(row, position).map_err(look).map(Option::unwrap_or_default);
        folded.insert((name(0)?, name(1)?));
    }
    let mut compared = there.clone();
    for table in &mut compared.tables {
        for column in &mut table.columns {
            let is_text = matches!(
                column.data_type,
                DataType::Varchar(_) | DataType::Char(_) | DataType::Text
            );
            let name = (table.name.as_str().to_owned(), column.name.as_str().to_owned());
            if is_text && folded.contains(&name) {
                column.data_type = DataType::VarcharIgnoreCase(None);
            }
        }
    }
    Ok(compared)
}
