//! What a migration would stumble over later, looked for beforehand: values that no H2 file can hold, and rights that
//! are missing. Looks only; changes nothing.

use async_trait::async_trait;
use metaferry_domain::PortError;
use metaferry_domain::schema::{Catalogue, DataType, Table};
use sqlx::{AssertSqlSafe, Connection as _, PgPool, Row as _};

use super::connect::{PostgresServer, quoted};
use crate::error::failed;
use crate::probe::{MissingRight, Probe, TABLE_MAX, Unholdable, Values, WRITTEN};

/// Looks at a Postgres app DB before a migration.
#[derive(Debug, Clone)]
pub struct PostgresProbe {
    server: PostgresServer,
    pool: PgPool,
}

impl PostgresProbe {
    /// A probe of that server's database, with a pool for everything that is quick.
    #[must_use]
    pub fn new(server: PostgresServer, pool: PgPool) -> Self {
        Self { server, pool }
    }
}

#[async_trait]
impl Probe for PostgresProbe {
    async fn values(&self, catalogue: &Catalogue, tables: &[String]) -> Result<Values, PortError> {
        let mut connection = self.server.connect().await?.connection;
        sqlx::raw_sql(AssertSqlSafe(format!(
            "SET statement_timeout = {}; SET lock_timeout = '2s'",
            TABLE_MAX.as_millis()
        )))
        .execute(&mut connection)
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
                .map(|suspect| format!("coalesce(bool_or({}), false)", suspect.test))
                .collect();
            let sql = format!(
                "SELECT {} FROM {}.{}",
                tests.join(", "),
                quoted(table.schema.as_str()),
                quoted(table.name.as_str())
            );
            match sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await {
                Ok(row) => {
                    for (position, suspect) in suspects.into_iter().enumerate() {
                        let holds = row.try_get::<bool, _>(position);
                        if holds.map_err(|error| failed("look through values", error))? {
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
        connection
            .close()
            .await
            .map_err(|error| failed("end a session", error))?;
        Ok(found)
    }

    async fn missing_rights(&self) -> Result<Vec<MissingRight>, PortError> {
        let mut missing = Vec::new();
        for (table, rights) in WRITTEN {
            let lacking: Vec<String> = sqlx::query_scalar(
                "SELECT wanted FROM unnest($2::text[]) AS wanted
                 WHERE to_regclass($1) IS NOT NULL AND NOT has_table_privilege(to_regclass($1), wanted)",
            )
            .bind(table)
            .bind(rights)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| failed("look up rights", error))?;
            if !lacking.is_empty() {
                missing.push(MissingRight {
                    table: table.to_owned(),
                    rights: lacking,
                });
            }
        }
        Ok(missing)
    }

    async fn may_keep_own_tables(&self) -> Result<bool, PortError> {
        sqlx::query_scalar(
            "SELECT to_regclass('metaferry.lease') IS NOT NULL OR to_regclass('metaferry_lease') IS NOT NULL
                 OR has_database_privilege(current_database(), 'CREATE')
                 OR has_schema_privilege(current_schema(), 'CREATE')",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(|error| failed("look up rights", error))
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
                DataType::Date | DataType::Timestamp | DataType::TimestampTz => {
                    (format!("NOT isfinite({name})"), "infinity")
                }
                DataType::Time => (format!("{name} = '24:00'"), "24:00:00"),
                DataType::TimeTz => (format!("{name}::time = '24:00'"), "24:00:00"),
                DataType::Decimal(_) => (
                    format!("{name}::text IN ('NaN', 'Infinity', '-Infinity')"),
                    "NaN or infinity as an exact number",
                ),
                DataType::Boolean
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
