//! The rows of a small table in one message: one array per column, taken apart again by the server. COPY ends with a
//! message of its own, which waits for the server's acknowledgement of the rows: sqlx 0.9.0 leaves Nagle's algorithm on
//! (transact-rs/sqlx#4335), and that is 40 ms for each of some sixty tables.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, PgConnection, Postgres, Type};

use crate::postgres::translate::PostgresType;

/// Tables whose rows are credentials or hold some. A server that logs statements logs their parameters too, and none of
/// what COPY carries.
const CREDENTIALS: [&str; 9] = [
    "api_key",
    "channel",
    "core_session",
    "core_user",
    "metabase_database",
    "oauth_client",
    "secret",
    "setting",
    "user_key_value",
];

/// Might a server's log then hold what nobody may read there? `table` in lower case.
pub(super) fn would_be_logged(table: &str) -> bool {
    CREDENTIALS.contains(&table)
}

/// Writes `rows`, which are in the form that COPY takes, to `table`; `list` are its columns, of these types.
pub(super) async fn insert(
    connection: &mut PgConnection,
    table: &str,
    list: &[String],
    types: &[PostgresType],
    rows: &[u8],
) -> Result<u64, sqlx::Error> {
    let parameters: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(at, of)| format!("${}::{}[]", at + 1, element(*of).name))
        .collect();
    // COPY writes to identities as well.
    let sql = format!(
        "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest({})",
        list.join(", "),
        parameters.join(", ")
    );
    let mut arguments = PgArguments::default();
    for array in columns(types, rows).ok_or_else(malformed)? {
        arguments.add(array).map_err(sqlx::Error::Encode)?;
    }
    let done = sqlx::query_with(AssertSqlSafe(sql), arguments)
        .persistent(false)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

fn malformed() -> sqlx::Error {
    sqlx::Error::Protocol("rows that were encoded here are not in the form of COPY".to_owned())
}

/// The arrays, or `None` if these are no rows of so many cells.
fn columns(types: &[PostgresType], mut rows: &[u8]) -> Option<Vec<Array>> {
    let mut arrays: Vec<Array> = types.iter().map(|of| Array::new(*of)).collect();
    while !rows.is_empty() {
        // How many cells come.
        let (_, mut rest) = rows.split_at_checked(2)?;
        for array in &mut arrays {
            let (length, after) = rest.split_first_chunk::<4>()?;
            // NULL is the length -1, here and there.
            let length_of_value = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
            let (value, after) = after.split_at_checked(length_of_value)?;
            array.cells.extend_from_slice(length);
            array.cells.extend_from_slice(value);
            array.count = array.count.checked_add(1)?;
            rest = after;
        }
        rows = rest;
    }
    Some(arrays)
}

/// One column's cells, each with its length before it.
#[derive(Debug)]
struct Array {
    of: PostgresType,
    count: i32,
    cells: Vec<u8>,
}

impl Array {
    fn new(of: PostgresType) -> Self {
        Self {
            of,
            count: 0,
            cells: Vec::new(),
        }
    }
}

impl Type<Postgres> for Array {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(element(PostgresType::Text).array))
    }
}

impl Encode<'_, Postgres> for Array {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        // One dimension, whose index begins with 1; "may hold NULL" asks the server to look: array_recv.
        for number in [1, 1] {
            out.extend(i32::to_be_bytes(number));
        }
        out.extend(element(self.of).oid.to_be_bytes());
        for number in [self.count, 1] {
            out.extend(number.to_be_bytes());
        }
        out.extend_from_slice(&self.cells);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(element(self.of).array)))
    }
}

/// A type that there are arrays of.
struct Element {
    name: &'static str,
    oid: u32,
    array: u32,
}

/// Type numbers are fixed for ever: `pg_type.dat`.
const fn element(of: PostgresType) -> Element {
    let (name, oid, array) = match of {
        PostgresType::Boolean => ("bool", 16, 1000),
        PostgresType::SmallInt => ("int2", 21, 1005),
        PostgresType::Integer => ("int4", 23, 1007),
        PostgresType::BigInt => ("int8", 20, 1016),
        PostgresType::Real => ("float4", 700, 1021),
        PostgresType::Double => ("float8", 701, 1022),
        PostgresType::Numeric => ("numeric", 1700, 1231),
        // The extension's own type has another number in every database, and takes text.
        PostgresType::Text | PostgresType::Citext => ("text", 25, 1009),
        PostgresType::Bytea => ("bytea", 17, 1001),
        PostgresType::Date => ("date", 1082, 1182),
        PostgresType::Time => ("time", 1083, 1183),
        PostgresType::TimeTz => ("timetz", 1266, 1270),
        PostgresType::Timestamp => ("timestamp", 1114, 1115),
        PostgresType::TimestampTz => ("timestamptz", 1184, 1185),
        PostgresType::Uuid => ("uuid", 2950, 2951),
        PostgresType::Json => ("json", 114, 199),
        PostgresType::Jsonb => ("jsonb", 3802, 3807),
    };
    Element { name, oid, array }
}
