//! Rows as multi-row inserts. Their size is bounded by what the server takes at once; their literals mean the same
//! whatever a text holds, for our sessions read no backslash as an escape.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use metaferry_domain::ports::TableWriter;
use metaferry_domain::row_batch::{Cell, Instant, RowBatch};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::MySqlConnection;
use tokio::task::JoinHandle;

use super::plan::{Bounds, Holds, Place, TablePlan};
use super::pool::{Lent, Pool};
use super::run;
use crate::error::{failed, failed_at_rows, failed_at_secrets};
use crate::h2::calendar::{date_of, moment_of};
use crate::mysql::connect::{quoted, text};
use crate::mysql::flavour::Version;
use crate::row_names::{is_secret, show};

/// An insert is sent when it has so many bytes.
const INSERT_BYTES: usize = 1 << 20;
/// The longest packet that the protocol knows, less what is around a statement.
const PACKET_BYTES: u64 = (1 << 24) - 1024;
const WRITING: &str = "writing to a string cannot fail";

/// What the server takes at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    statement_bytes: usize,
    /// The last second that a TIMESTAMP holds, of the Unix epoch.
    last_timestamp: i64,
}

impl Limits {
    pub(super) async fn of(connection: &mut MySqlConnection) -> Result<Self, PortError> {
        let packet: i64 = sqlx::query_scalar("SELECT CAST(@@max_allowed_packet AS SIGNED)")
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| failed("ask how long a packet may be", error))?;
        let version = sqlx::query("SELECT VERSION()")
            .fetch_one(connection)
            .await
            .and_then(|row| text(&row, 0))
            .map_err(|error| failed("ask for the server's version", error))?;
        let bytes = packet.unsigned_abs().saturating_sub(1024).min(PACKET_BYTES);
        Ok(Self {
            statement_bytes: usize::try_from(bytes).unwrap_or(INSERT_BYTES),
            last_timestamp: Version::parse(&version.unwrap_or_default()).last_timestamp(),
        })
    }
}

/// Writes one table. While the server takes one insert the next is put together.
pub(super) struct InsertWriter {
    table: String,
    columns: Vec<Place>,
    /// Cells of the primary key, unless it is a credential.
    key: Vec<usize>,
    beginning: String,
    statement: String,
    limits: Limits,
    bounds: Bounds,
    session: Session,
    rows: u64,
}

/// Where the session is.
enum Session {
    Idle(Lent),
    /// With an insert that is under way.
    Sending(JoinHandle<(Lent, Result<(), sqlx::Error>)>),
    /// Gone with an insert that failed.
    Lost,
}

/// Begins to write.
pub(super) async fn start(
    database: &str,
    plan: &TablePlan,
    columns: &[usize],
    limits: Limits,
    pool: &Arc<Pool>,
) -> Result<InsertWriter, PortError> {
    let mut places = Vec::with_capacity(columns.len());
    for &position in columns {
        let place = plan.columns.get(position).and_then(Option::as_ref);
        let place = place.ok_or_else(|| {
            PortError::new(
                ErrorKind::Precondition,
                format!("table {} takes nothing from column {position}", plan.key),
            )
        })?;
        places.push(place.clone());
    }
    let list: Vec<String> = places.iter().map(|place| quoted(&place.name)).collect();
    let key = if is_secret(&plan.key) {
        Vec::new()
    } else {
        plan.primary_key
            .iter()
            .filter_map(|wanted| columns.iter().position(|position| position == wanted))
            .collect()
    };
    let mut lent = pool.get().await?;
    match plan.bounds {
        Bounds::OfTable => run(&mut lent.connection, "START TRANSACTION".to_owned())
            .await
            .map_err(|error| failed(format!("write table {}", plan.key), error))?,
        Bounds::Around => {}
    }
    Ok(InsertWriter {
        table: plan.key.clone(),
        beginning: format!(
            "INSERT INTO {}.{} ({}) VALUES ",
            quoted(database),
            quoted(&plan.name),
            list.join(", ")
        ),
        columns: places,
        key,
        statement: String::new(),
        limits,
        bounds: plan.bounds,
        session: Session::Idle(lent),
        rows: 0,
    })
}

impl InsertWriter {
    /// Sends what is put together, once the insert before it has arrived.
    async fn send(&mut self) -> Result<(), PortError> {
        if self.statement.is_empty() {
            return Ok(());
        }
        let mut lent = self.arrived().await?;
        let statement = std::mem::take(&mut self.statement);
        self.session = Session::Sending(tokio::spawn(async move {
            let sent = run(&mut lent.connection, statement).await;
            (lent, sent)
        }));
        Ok(())
    }

    /// The session, when it has nothing to do any more.
    async fn arrived(&mut self) -> Result<Lent, PortError> {
        match std::mem::replace(&mut self.session, Session::Lost) {
            Session::Idle(lent) => Ok(lent),
            Session::Sending(sending) => match sending.await {
                Ok((lent, Ok(()))) => Ok(lent),
                Ok((_, Err(error))) => Err(self.refused(error)),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(self.lost()),
                },
            },
            Session::Lost => Err(self.lost()),
        }
    }

    fn refused(&self, error: sqlx::Error) -> PortError {
        let what = format!("write table {}", self.table);
        if is_secret(&self.table) {
            failed_at_secrets(what, error)
        } else {
            failed_at_rows(what, error)
        }
    }

    fn lost(&self) -> PortError {
        PortError::new(
            ErrorKind::Cancelled,
            format!("table {} is not written any further", self.table),
        )
    }

    fn unfit(&self, batch: &RowBatch, row: usize, column: usize, why: &str) -> PortError {
        let key: Option<Vec<String>> = self
            .key
            .iter()
            .map(|&cell| {
                Some(format!(
                    "{} = {}",
                    self.columns.get(cell)?.name,
                    show(batch.cell(row, cell))?
                ))
            })
            .collect();
        let place = match key {
            Some(key) if !key.is_empty() => format!("row {}", key.join(", ")),
            Some(_) | None => format!("row number {}", self.rows + 1),
        };
        let column = self.columns.get(column).map_or("", |place| &place.name);
        PortError::new(
            ErrorKind::Unsupported,
            format!("table {}, column {column}, {place}: {why}", self.table),
        )
    }
}

#[async_trait]
impl TableWriter for InsertWriter {
    async fn write(&mut self, batch: &RowBatch) -> Result<(), PortError> {
        let mut values = String::new();
        for row in 0..batch.rows() {
            values.clear();
            values.push('(');
            for column in 0..batch.columns() {
                if column > 0 {
                    values.push(',');
                }
                let cell = batch.cell(row, column);
                let holds = self
                    .columns
                    .get(column)
                    .map_or(Holds::Anything, |place| place.holds);
                match holds {
                    Holds::FewMoments => within(cell, self.limits.last_timestamp)
                        .map_err(|why| self.unfit(batch, row, column, &why))?,
                    Holds::Anything => {}
                }
                push(&mut values, cell).map_err(|why| self.unfit(batch, row, column, why))?;
            }
            values.push(')');
            if self.beginning.len() + values.len() > self.limits.statement_bytes {
                let why = format!(
                    "the row has {} bytes and the server takes {} at once; raise max_allowed_packet (16 MiB are the \
                     most that is used), or leave the table out (--exclude {})",
                    values.len(),
                    self.limits.statement_bytes,
                    self.table
                );
                return Err(self.unfit(batch, row, 0, &why));
            }
            let bound = self.limits.statement_bytes.min(INSERT_BYTES);
            if !self.statement.is_empty() && self.statement.len() + values.len() + 1 > bound {
                self.send().await?;
            }
            if self.statement.is_empty() {
                self.statement.push_str(&self.beginning);
            } else {
                self.statement.push(',');
            }
            self.statement.push_str(&values);
            self.rows += 1;
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, PortError> {
        self.send().await?;
        let mut lent = self.arrived().await?;
        match self.bounds {
            Bounds::OfTable => run(&mut lent.connection, "COMMIT".to_owned())
                .await
                .map_err(|error| self.refused(error))?,
            Bounds::Around => {}
        }
        lent.put_back();
        Ok(self.rows)
    }
}

/// Refuses a moment that a TIMESTAMP whose last second that is does not hold. Its first is not the epoch itself, which
/// stands for no moment there.
fn within(cell: Cell<'_>, last: i64) -> Result<(), String> {
    match cell {
        Cell::Timestamp(instant) | Cell::TimestampTz(instant, _) => {
            let seconds = instant.micros.div_euclid(1_000_000);
            if (1..=last).contains(&seconds) {
                return Ok(());
            }
            let shown = |seconds: i64| {
                let mut text = String::new();
                let micros = seconds.saturating_mul(1_000_000);
                match moment(&mut text, Instant { micros, nanos: 0 }) {
                    Ok(()) => text.trim_matches('\'').trim_end_matches(".000000").to_owned(),
                    Err(_) => "what is outside of the years 1 to 9999".to_owned(),
                }
            };
            Err(format!(
                "{} is no moment for a TIMESTAMP of MySQL, which holds those from {} to {} (UTC); change the value at the \
                 source, or leave the table out",
                shown(seconds),
                shown(1),
                shown(last)
            ))
        }
        Cell::Null
        | Cell::Boolean(_)
        | Cell::Int(_)
        | Cell::Real(_)
        | Cell::Double(_)
        | Cell::Decimal(_)
        | Cell::Text(_)
        | Cell::Bytes(_)
        | Cell::Uuid(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::TimeTz(..) => Ok(()),
    }
}

/// Pushes a value as a literal.
fn push(sql: &mut String, cell: Cell<'_>) -> Result<(), &'static str> {
    match cell {
        Cell::Null => sql.push_str("NULL"),
        Cell::Boolean(value) => sql.push(if value { '1' } else { '0' }),
        Cell::Int(value) => write!(sql, "{value}").expect(WRITING),
        Cell::Real(value) if value.is_finite() => write!(sql, "{value:e}").expect(WRITING),
        Cell::Double(value) if value.is_finite() => write!(sql, "{value:e}").expect(WRITING),
        Cell::Real(_) | Cell::Double(_) => return Err("MySQL has no infinite numbers and no NaN"),
        Cell::Decimal(digits) => sql.push_str(digits),
        Cell::Text(text) => {
            sql.push('\'');
            for (at, piece) in text.split('\'').enumerate() {
                if at > 0 {
                    sql.push_str("''");
                }
                sql.push_str(piece);
            }
            sql.push('\'');
        }
        Cell::Bytes(bytes) => hex(sql, bytes),
        Cell::Uuid(bytes) => write!(sql, "'{}'", uuid::Uuid::from_bytes(bytes)).expect(WRITING),
        Cell::Date(days) => {
            let date = date_of(days).filter(|date| (1..=9999).contains(&date.year));
            let date = date.ok_or("MySQL's years are 1 to 9999")?;
            write!(sql, "'{:04}-{:02}-{:02}'", date.year, date.month, date.day).expect(WRITING);
        }
        Cell::Time(time) => {
            sql.push('\'');
            clock(sql, time.nanos);
            sql.push('\'');
        }
        Cell::TimeTz(..) => return Err("MySQL has no time of day with an offset"),
        Cell::Timestamp(instant) | Cell::TimestampTz(instant, _) => moment(sql, instant)?,
    }
    Ok(())
}

/// Bytes, two digits each.
fn hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    sql.reserve(bytes.len() * 2 + 3);
    sql.push_str("x'");
    for byte in bytes {
        sql.push(char::from(DIGITS[usize::from(byte >> 4)]));
        sql.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    sql.push('\'');
}

fn moment(sql: &mut String, instant: Instant) -> Result<(), &'static str> {
    let (date, time) = moment_of(instant)
        .filter(|(date, _)| (1..=9999).contains(&date.year))
        .ok_or("MySQL's years are 1 to 9999")?;
    write!(sql, "'{:04}-{:02}-{:02} ", date.year, date.month, date.day).expect(WRITING);
    clock(sql, time.nanos);
    sql.push('\'');
    Ok(())
}

/// Hours to microseconds; what is finer the server would round.
fn clock(sql: &mut String, nanos: u64) {
    let micros = nanos / 1000;
    let seconds = micros / 1_000_000;
    write!(
        sql,
        "{:02}:{:02}:{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        micros % 1_000_000
    )
    .expect(WRITING);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(cell: Cell<'_>) -> String {
        let mut sql = String::new();
        push(&mut sql, cell).unwrap();
        sql
    }

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(Cell::Text(r"it's \ '; DROP")), r"'it''s \ ''; DROP'");
        assert_eq!(literal(Cell::Text("'")), "''''");
        assert_eq!(literal(Cell::Text("")), "''");
        assert_eq!(literal(Cell::Bytes(&[0, 0xff])), "x'00ff'");
    }

    /// The server said so in the middle of a load, with the name of a table that nobody knows.
    #[test]
    fn a_moment_that_a_timestamp_does_not_hold_is_told_with_both_ends() {
        let last = Version::parse("10.11.6-MariaDB").last_timestamp();
        let at = |micros| within(Cell::TimestampTz(Instant { micros, nanos: 0 }, 0), last);
        let ends = (1_000_000, 2_147_483_647_999_999);
        assert_eq!((at(ends.0), at(ends.1)), (Ok(()), Ok(())));
        assert!(
            at(ends.0 - 1)
                .unwrap_err()
                .starts_with("1970-01-01 00:00:00 is no moment")
        );
        let beyond = at(ends.1 + 1).unwrap_err();
        assert!(
            beyond.starts_with("2038-01-19 03:14:08 is no moment")
                && beyond.contains("from 1970-01-01 00:00:01 to 2038-01-19 03:14:07 (UTC)"),
            "{beyond}"
        );
        assert_eq!(within(Cell::Null, last), Ok(()));
        // Since MariaDB 11.5 they end later.
        assert_eq!(Version::parse("11.8.2-MariaDB").last_timestamp(), 4_294_967_295);
        assert_eq!(Version::parse("8.4.0").last_timestamp(), last);
    }

    #[test]
    fn moments_are_utc() {
        let instant = Instant {
            micros: -1,
            nanos: 999,
        };
        assert_eq!(
            literal(Cell::TimestampTz(instant, 3600)),
            "'1969-12-31 23:59:59.999999'"
        );
        assert_eq!(literal(Cell::Date(0)), "'1970-01-01'");
        let far = Cell::Date(10_000_000);
        assert!(push(&mut String::new(), far).is_err());
        assert!(push(&mut String::new(), Cell::Double(f64::NAN)).is_err());
    }
}
