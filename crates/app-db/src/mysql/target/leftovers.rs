//! What a load leaves in the database before it shows anything, so that whoever comes after a dead one knows what to do.
//!
//! A load has a name of its own, `metaferry_load_` and twelve hex digits, and a table of that name: the register. The tables
//! that it fills are called by the register's name and a number. While any of these is there, nothing has been shown and
//! all of them may go. Once they have been renamed, all in one statement, only the register is left, and in it the
//! statements that make the views: a view cannot be made before its tables have their names. The server runs these
//! right after the renaming, whether or not its client still lives; only where the server itself died between the two
//! is anything left to do, and the next load does it.

use metaferry_domain::{ErrorKind, PortError};
use sqlx::{AssertSqlSafe, MySqlConnection};

use super::run;
use crate::error::failed;
use crate::mysql::connect::{quoted, text};
use crate::mysql::schema::STAGED_PREFIX;
use crate::mysql::translate::SESSION_OF_VIEWS;

/// What a register's comment says: without it nothing is ever removed.
const COMMENT: &str = "metaferry: an unfinished load; may be dropped";
/// How long sessions that die are waited for.
const DROP_WAIT_SECONDS: u32 = 60;

/// Makes the register of a new load; answers its name.
pub(super) async fn register(connection: &mut MySqlConnection) -> Result<String, PortError> {
    let load = format!(
        "{STAGED_PREFIX}{}",
        &uuid::Uuid::new_v4().simple().to_string()[..12]
    );
    let sql = format!(
        "CREATE TABLE {} (position int NOT NULL PRIMARY KEY, statement longtext NOT NULL)
         ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='{COMMENT}'",
        quoted(&load)
    );
    run(connection, sql)
        .await
        .map_err(|error| failed("make a table in the target (the user needs CREATE there)", error))?;
    Ok(load)
}

/// Writes down what must follow the renaming.
pub(super) async fn promise(
    connection: &mut MySqlConnection,
    load: &str,
    statements: &[String],
) -> Result<(), PortError> {
    for (position, statement) in (0_i32..).zip(statements) {
        let sql = format!("INSERT INTO {} VALUES (?, ?)", quoted(load));
        sqlx::query(AssertSqlSafe(sql))
            .bind(position)
            .bind(statement)
            .execute(&mut *connection)
            .await
            .map_err(|error| failed("write down how the views are made", error))?;
    }
    Ok(())
}

/// Settles every load that died. Only called under the lock: none is alive.
pub(super) async fn settle_all(connection: &mut MySqlConnection, database: &str) -> Result<(), PortError> {
    let look = |error| failed("look for what dead loads left", error);
    let rows = sqlx::query(
        "SELECT table_name FROM information_schema.tables
         WHERE table_schema = ? AND table_name REGEXP '^metaferry_load_[0-9a-f]{12}$' AND table_comment = ?",
    )
    .bind(database)
    .bind(COMMENT)
    .fetch_all(&mut *connection)
    .await
    .map_err(look)?;
    for row in &rows {
        let load = text(row, 0).map_err(look)?.unwrap_or_default();
        tracing::info!(load, "settling what a dead load left");
        settle(connection, database, &load).await?;
    }
    Ok(())
}

/// Removes what was not shown, or completes what was.
pub(super) async fn settle(
    connection: &mut MySqlConnection,
    database: &str,
    load: &str,
) -> Result<(), PortError> {
    let unsettled = |error| {
        failed(
            format!("remove what load {load} left; the next load does it"),
            error,
        )
    };
    let tables = staged(connection, database, load, "BASE TABLE").await?;
    let mut drop_views: Vec<String> = staged(connection, database, load, "VIEW")
        .await?
        .iter()
        .map(|view| format!("DROP VIEW IF EXISTS {};", quoted(view)))
        .collect();
    drop_views.insert(
        0,
        format!("SET SESSION foreign_key_checks = 0, lock_wait_timeout = {DROP_WAIT_SECONDS};"),
    );
    run(connection, drop_views.concat()).await.map_err(unsettled)?;
    if tables.is_empty() {
        complete(connection, load).await?;
    } else {
        let names: Vec<String> = tables.iter().map(|name| quoted(name)).collect();
        // First of all: a register with statements and without tables is one whose tables have been shown.
        let drop = format!(
            "DELETE FROM {}; DROP TABLE IF EXISTS {}",
            quoted(load),
            names.join(", ")
        );
        run(connection, drop).await.map_err(unsettled)?;
    }
    run(connection, format!("DROP TABLE IF EXISTS {}", quoted(load)))
        .await
        .map_err(unsettled)
}

/// Runs what was promised.
async fn complete(connection: &mut MySqlConnection, load: &str) -> Result<(), PortError> {
    let look = |error| failed(format!("read what load {load} left to do"), error);
    run(connection, SESSION_OF_VIEWS.to_owned()).await.map_err(look)?;
    let sql = format!("SELECT statement FROM {} ORDER BY position", quoted(load));
    let rows = sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(&mut *connection)
        .await
        .map_err(look)?;
    let mut statements = Vec::with_capacity(rows.len());
    for row in &rows {
        let statement = text(row, 0).map_err(look)?.unwrap_or_default();
        if !makes_one_view(&statement) {
            return Err(PortError::new(
                ErrorKind::Precondition,
                format!(
                    "table {load} of the target says it is an unfinished load's, and holds something else than statements \
                     that make views; nothing of it is run: see what it is, and drop it"
                ),
            ));
        }
        statements.push(statement);
    }
    for statement in statements {
        if let Err(error) = run(connection, statement.clone()).await {
            // Those that were made before the server died are there already.
            tracing::warn!(%error, statement, "a view of a load that died was not made");
        }
    }
    Ok(())
}

/// Is it one statement that makes a view and nothing else, as [`promise`] writes them down? Whoever may make tables in the
/// database could have written another.
fn makes_one_view(statement: &str) -> bool {
    let Some(rest) = statement.strip_prefix("CREATE VIEW ") else {
        return false;
    };
    let mut letters = rest.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' | '`' => {
                // Our sessions read no backslash as an escape; a doubled quote opens the text again.
                let is_closed = letters.any(|next| next == letter);
                if !is_closed {
                    return false;
                }
            }
            // The end of a statement, and comments, in which the servers also hide statements.
            ';' | '#' => return false,
            '-' if is_comment(&mut letters.clone()) => return false,
            '/' if letters.peek() == Some(&'*') => return false,
            _ => {}
        }
    }
    let rest = rest.to_ascii_lowercase();
    [" as select ", " as (select ", " as with "]
        .iter()
        .any(|beginning| rest.contains(beginning))
}

/// Does what follows a dash make it a comment? A second one does that a blank follows.
fn is_comment(letters: &mut dyn Iterator<Item = char>) -> bool {
    letters.next() == Some('-')
        && letters
            .next()
            .is_none_or(|next| next.is_whitespace() || next.is_control())
}

/// Is the register of that load there?
pub(super) async fn is_registered(
    connection: &mut MySqlConnection,
    database: &str,
    load: &str,
) -> Result<bool, PortError> {
    sqlx::query_scalar(
        "SELECT CAST(count(*) AS SIGNED) FROM information_schema.tables WHERE table_schema = ? AND table_name = ?",
    )
    .bind(database)
    .bind(load)
    .fetch_one(connection)
    .await
    .map(|count: i64| count > 0)
    .map_err(|error| failed("look for what a load left", error))
}

async fn staged(
    connection: &mut MySqlConnection,
    database: &str,
    load: &str,
    kind: &str,
) -> Result<Vec<String>, PortError> {
    let look = |error| failed("look for what a load left", error);
    let rows = sqlx::query(
        "SELECT table_name FROM information_schema.tables
         WHERE table_schema = ? AND left(table_name, char_length(?) + 1) = concat(?, '_') AND table_type = ?",
    )
    .bind(database)
    .bind(load)
    .bind(load)
    .bind(kind)
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        names.extend(text(row, 0).map_err(look)?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::makes_one_view;

    #[test]
    fn only_what_makes_one_view_is_run() {
        for view in [
            "CREATE VIEW `v` (`a``;`) AS SELECT ';', \"--\", 'it''s # /*', 3 - -1, 4--1, 4 / 2 FROM `t`",
            "CREATE VIEW v AS select 1",
        ] {
            assert!(makes_one_view(view), "{view}");
        }
        for other in [
            "DROP TABLE core_user",
            "CREATE VIEW `v` (`a`) AS SELECT 1; DROP TABLE core_user",
            "CREATE VIEW `v` (`a`) AS SELECT '\\'; DROP TABLE core_user; -- '",
            "CREATE VIEW `v` (`a`) AS SELECT 1 /*! FROM t */",
            "CREATE VIEW `v` (`a`) AS SELECT 1 -- x",
            "CREATE VIEW `v` (`a`) AS SELECT 1 # x",
            "CREATE VIEW `v` (`a`) AS SELECT 'open",
            "CREATE TABLE t AS SELECT 1",
            "",
        ] {
            assert!(!makes_one_view(other), "{other}");
        }
    }
}
