//! What is there already: nothing, a Metabase's tables, or somebody else's.

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::INTERNAL_USER_ID;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::error::failed;
use crate::load::Users;
use crate::postgres::connect::{PostgresServer, quoted};
use crate::postgres::schema::{ReadCatalogue, read_catalogue};

/// Names that an error quotes at most.
const NAMES_MAX: i64 = 5;

/// What a schema holds.
#[derive(Debug)]
pub(super) enum Occupancy {
    /// Nothing of anybody's.
    Empty,
    /// A Metabase's tables; without users, or with such as may be replaced.
    Metabase(Box<ReadCatalogue>),
}

/// Relations that stand in the way of a new schema, without extensions' and our own.
const RELATIONS: &str = "
    FROM pg_catalog.pg_class c
    WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND c.relname !~ '^metaferry_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend owner
                      WHERE owner.classid = 'pg_catalog.pg_class'::regclass AND owner.objid = c.oid
                        AND owner.deptype IN ('e', 'i', 'a'))";

/// Looks, and refuses what must not be overwritten.
pub(super) async fn look(
    connection: &mut PgConnection,
    schema: &str,
    server: &PostgresServer,
    users: Users,
) -> Result<Occupancy, PortError> {
    let names: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT c.relname::text {RELATIONS} ORDER BY c.relname LIMIT {NAMES_MAX}"
    )))
    .bind(schema)
    .fetch_all(&mut *connection)
    .await
    .map_err(|error| failed(format!("look into schema {schema:?}"), error))?;
    if names.is_empty() {
        return Ok(Occupancy::Empty);
    }
    let there = read_catalogue(connection, schema).await?;
    let is_metabase =
        there.catalogue.table("core_user").is_some() && there.catalogue.table("databasechangelog").is_some();
    if !is_metabase {
        return Err(PortError::new(
            ErrorKind::Conflict,
            format!(
                "schema {schema:?} of {} holds tables that are not Metabase's ({}, …); name an empty database, or one \
                 that Metabase has set up",
                server.describe(),
                names.join(", ")
            ),
        ));
    }
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {}.core_user WHERE id <> $1",
        quoted(schema)
    )))
    .bind(INTERNAL_USER_ID)
    .fetch_one(&mut *connection)
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

/// Triggers that somebody made and that are switched on, each with its table.
pub(super) async fn triggers(connection: &mut PgConnection, schema: &str) -> Result<Vec<String>, PortError> {
    sqlx::query_scalar(
        "SELECT c.relname || '.' || t.tgname FROM pg_catalog.pg_trigger t
         JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
         WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1)
           AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgname !~ '^metaferry_' ORDER BY 1",
    )
    .bind(schema)
    .fetch_all(connection)
    .await
    .map_err(|error| failed("look for triggers in the target", error))
}
