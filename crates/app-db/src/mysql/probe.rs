//! What a migration of a MySQL or MariaDB app DB would stumble over later.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::schema::{Catalogue, DataType, Table};
use sqlx::{AssertSqlSafe, MySqlConnection, Row as _};

use super::connect::{MySqlServer, close, quoted, text};
use super::schema::views;
use crate::error::{failed, mysql_number};
use crate::probe::{HiddenViews, MissingRight, Probe, TABLE_MAX, Unholdable, Values, WRITTEN};

/// How long a definition that somebody changes is waited for.
const LOCK_WAIT_SECONDS: u32 = 2;

/// Looks at a MySQL or MariaDB app DB before a migration.
#[derive(Debug, Clone)]
pub struct MySqlProbe {
    server: MySqlServer,
}

impl MySqlProbe {
    /// A probe of that server's database.
    #[must_use]
    pub fn new(server: MySqlServer) -> Self {
        Self { server }
    }
}

#[async_trait]
impl Probe for MySqlProbe {
    async fn values(&self, catalogue: &Catalogue, tables: &[String]) -> Result<Values, PortError> {
        let mut session = self.server.connect().await?;
        let limits = format!(
            "{}, lock_wait_timeout = {LOCK_WAIT_SECONDS}",
            session.flavour.statement_time(TABLE_MAX)
        );
        sqlx::raw_sql(AssertSqlSafe(limits))
            .execute(&mut session.connection)
            .await
            .map_err(|error| failed("limit how long a look may take", error))?;
        let mut found = Values::default();
        for table in catalogue
            .tables
            .iter()
            .filter(|table| tables.contains(&table.name.key()))
        {
            let suspects = suspects(table);
            if suspects.is_empty() {
                continue;
            }
            let tests: Vec<String> = suspects
                .iter()
                .map(|suspect| format!("CAST(coalesce(max({}), 0) AS SIGNED)", suspect.test))
                .collect();
            let sql = format!(
                "SELECT {} FROM {}.{}",
                tests.join(", "),
                quoted(table.schema.as_str()),
                quoted(table.name.as_str())
            );
            let looked = sqlx::raw_sql(AssertSqlSafe(sql))
                .fetch_one(&mut session.connection)
                .await;
            match looked {
                Ok(row) => {
                    for (position, suspect) in suspects.into_iter().enumerate() {
                        let holds = row.try_get::<i64, _>(position);
                        if holds.map_err(|error| failed("look through values", error))? != 0 {
                            found.unholdable.push(Unholdable {
                                table: table.name.key(),
                                column: suspect.column,
                                what: suspect.what,
                            });
                        }
                    }
                }
                Err(error) => {
                    tracing::debug!(table = table.name.key(), %error, "values were not looked through");
                    found.unknown.push(table.name.key());
                }
            }
        }
        close(session.connection).await;
        Ok(found)
    }

    async fn missing_rights(&self) -> Result<Vec<MissingRight>, PortError> {
        let mut connection = self.server.connect().await?.connection;
        let mut missing = Vec::new();
        for (key, rights) in WRITTEN {
            let Some((table, column)) = self.table(&mut connection, key).await? else {
                continue;
            };
            let mut lacking = Vec::new();
            for &right in rights {
                if !may(&mut connection, right, &table, &column).await? {
                    lacking.push(right.to_owned());
                }
            }
            if !lacking.is_empty() {
                missing.push(MissingRight {
                    table: key.to_owned(),
                    rights: lacking,
                });
            }
        }
        close(connection).await;
        Ok(missing)
    }

    async fn hidden_views(&self) -> Result<Option<HiddenViews>, PortError> {
        let mut connection = self.server.connect().await?.connection;
        let names = views::hidden(&mut connection, self.server.database())
            .await
            .map_err(|error| failed("look for views", error))?;
        close(connection).await;
        Ok((!names.is_empty()).then(|| HiddenViews {
            names,
            remedy: views::remedy(self.server.database()),
        }))
    }

    async fn may_keep_own_tables(&self) -> Result<bool, PortError> {
        let mut connection = self.server.connect().await?.connection;
        let mut may = true;
        if self.table(&mut connection, "metaferry_lease").await?.is_none()
            && let Some((table, _)) = self.table(&mut connection, "setting").await?
            && let Some((other, _)) = self.table(&mut connection, "core_user").await?
        {
            // Makes nothing, for it is there; whether it might is looked at first, and also what a role gives.
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {} LIKE {}",
                quoted(&table),
                quoted(&other)
            );
            may = allowed(&mut connection, sql, "look up the right to make tables").await?;
        }
        close(connection).await;
        Ok(may)
    }
}

impl MySqlProbe {
    /// A table's name as the server spells it, and that of its first column; `None` where it is not seen, which is so too
    /// where the user has no right on it at all.
    async fn table(
        &self,
        connection: &mut MySqlConnection,
        key: &str,
    ) -> Result<Option<(String, String)>, PortError> {
        let look = |error| failed("look for a table", error);
        let row = sqlx::query(
            "SELECT table_name, column_name FROM information_schema.columns
             WHERE table_schema = ? AND lower(table_name) = ? ORDER BY ordinal_position LIMIT 1",
        )
        .bind(self.server.database())
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(look)?;
        let Some(row) = row else { return Ok(None) };
        let word = |position| text(&row, position).map_err(look).map(Option::unwrap_or_default);
        Ok(Some((word(0)?, word(1)?)))
    }
}

/// Asks how a statement would be run: the server looks at rights as if it were, whoever gave them, and runs nothing.
async fn may(
    connection: &mut MySqlConnection,
    right: &str,
    table: &str,
    column: &str,
) -> Result<bool, PortError> {
    let (table, column) = (quoted(table), quoted(column));
    let statement = match right {
        "SELECT" => format!("SELECT {column} FROM {table} WHERE 1 = 0"),
        "INSERT" => format!("INSERT INTO {table} ({column}) VALUES (NULL)"),
        "UPDATE" => format!("UPDATE {table} SET {column} = NULL WHERE 1 = 0"),
        _ => format!("DELETE FROM {table} WHERE 1 = 0"),
    };
    allowed(connection, format!("EXPLAIN {statement}"), "look up rights").await
}

/// Any answer but that it is denied.
async fn allowed(connection: &mut MySqlConnection, sql: String, what: &str) -> Result<bool, PortError> {
    let answer = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await;
    match answer {
        Ok(_) => Ok(true),
        Err(error) => match mysql_number(&error) {
            // To a command, a column, an operation; or the whole server only reads.
            Some(1142 | 1143 | 1227 | 1290 | 1836) => Ok(false),
            Some(_) => Ok(true),
            None => Err(failed(what, error)),
        },
    }
}

/// A column, and how to tell that it holds what H2 cannot.
struct Suspect {
    column: String,
    test: String,
    what: &'static str,
}

fn suspects(table: &Table) -> Vec<Suspect> {
    let stored = table.columns.iter().filter(|column| !column.is_generated());
    stored
        .filter_map(|column| {
            let name = quoted(column.name.as_str());
            let (test, what) = match column.data_type {
                DataType::Date | DataType::Timestamp | DataType::TimestampTz => (
                    format!("year({name}) = 0 OR month({name}) = 0 OR dayofmonth({name}) = 0"),
                    "a year, month or day of 0",
                ),
                DataType::Time => (
                    format!("time_to_sec({name}) < 0 OR time_to_sec({name}) >= 86400"),
                    "a time outside of the 24 hours of a day",
                ),
                // One bit is always a truth value.
                DataType::Boolean if column.native_type.starts_with("tinyint") => (
                    format!("{name} NOT IN (0, 1)"),
                    "a truth value other than 0 and 1",
                ),
                DataType::Boolean
                | DataType::TimeTz
                | DataType::Decimal(_)
                | DataType::SmallInt
                | DataType::Integer
                | DataType::BigInt
                | DataType::Real
                | DataType::Double
                | DataType::Char(_)
                | DataType::Varchar(_)
                | DataType::VarcharIgnoreCase(_)
                | DataType::Text
                | DataType::Binary(_)
                | DataType::Blob
                | DataType::Uuid
                | DataType::Json
                | DataType::Other => return None,
            };
            Some(Suspect {
                column: column.name.key(),
                test,
                what,
            })
        })
        .collect()
}
