//! How the rows of a table are read: along its primary key, or all at once where it has no usable one.

use futures_util::TryStreamExt as _;
use metaferry_domain::recoding::Recoded;
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{DataType, Table};
use metaferry_domain::{ErrorKind, PortError};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Rows, bound};
use crate::error::failed;
use crate::mysql::connect::{quoted, text};
use crate::rekey::{Form, SIZED_ROWS, Walk};

/// As much of a table without a primary key may be encrypted at the most.
const KEYLESS_BYTES_MAX: usize = 64 << 20;

/// How far a table has been read.
pub(super) enum Progress {
    /// Along its primary key; after that row, if there is one.
    Keyed {
        key: Vec<KeyColumn>,
        after: Option<Vec<Recoded>>,
        /// Columns that the server sets by itself whenever a row changes.
        kept: Vec<String>,
    },
    /// All at once.
    Keyless {
        kept: Vec<String>,
    },
    Ended,
}

/// A column of a primary key.
#[derive(Debug, Clone)]
pub(super) struct KeyColumn {
    pub(super) name: String,
    form: KeyForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// Shown and given as digits.
    Number,
    Text,
    Bytes,
}

impl KeyColumn {
    fn shown(&self) -> String {
        let name = quoted(&self.name);
        match self.form {
            KeyForm::Number => format!("CAST({name} AS CHAR)"),
            KeyForm::Text | KeyForm::Bytes => name,
        }
    }

    pub(super) fn given(&self) -> &'static str {
        match self.form {
            KeyForm::Number => "CAST(? AS SIGNED)",
            KeyForm::Text | KeyForm::Bytes => "?",
        }
    }
}

/// The primary key, if its values can be shown and given exactly.
pub(super) fn key_of(table: &Table) -> Option<Vec<KeyColumn>> {
    let key = table.primary_key.as_ref()?;
    key.columns
        .iter()
        .map(|name| {
            let column = table.columns.iter().find(|column| column.name == *name)?;
            let form = match column.data_type {
                DataType::SmallInt | DataType::Integer | DataType::BigInt => KeyForm::Number,
                DataType::Char(_) | DataType::Varchar(_) | DataType::Text => KeyForm::Text,
                DataType::Binary(_) | DataType::Blob => KeyForm::Bytes,
                DataType::Boolean
                | DataType::Real
                | DataType::Double
                | DataType::Decimal(_)
                | DataType::VarcharIgnoreCase(_)
                | DataType::Date
                | DataType::Time
                | DataType::TimeTz
                | DataType::Timestamp
                | DataType::TimestampTz
                | DataType::Uuid
                | DataType::Json
                | DataType::Other => return None,
            };
            Some(KeyColumn {
                name: name.as_str().to_owned(),
                form,
            })
        })
        .collect()
}

fn bytes(row: &MySqlRow, position: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
    row.try_get_unchecked(position)
}

/// Where a row is.
pub(super) enum Place {
    /// Its primary key.
    Keyed(Vec<Recoded>),
    /// Wherever these values are.
    ByValue,
}

impl Rows<'_> {
    /// What is shown of a row beside its key, how many bytes that is, and which rows are of interest.
    fn shown(walk: &Walk) -> (Vec<String>, String, String) {
        let mut shown = Vec::new();
        let mut sizes = Vec::new();
        let mut wanted = Vec::new();
        for (at, column) in walk.columns.iter().enumerate() {
            let name = quoted(walk.name(at));
            let enough = match column.bytes_min {
                0 => format!("{name} IS NOT NULL"),
                bytes => format!("OCTET_LENGTH({name}) >= {bytes}"),
            };
            shown.push(format!("CASE WHEN {enough} THEN {name} END"));
            sizes.push(format!("CASE WHEN {enough} THEN OCTET_LENGTH({name}) ELSE 0 END"));
            wanted.push(enough);
        }
        let size = format!("CAST({} AS SIGNED)", sizes.join(" + "));
        (shown, size, wanted.join(" OR "))
    }

    fn push(walk: &Walk, row: &MySqlRow, first: usize, batch: &mut RowBatch) -> Result<(), sqlx::Error> {
        for (at, column) in walk.columns.iter().enumerate() {
            let value = bytes(row, first + at)?;
            match (column.form, &value) {
                (_, None) => batch.push(Cell::Null),
                (Form::Bytes, Some(bytes)) => batch.push(Cell::Bytes(bytes)),
                (Form::Text, Some(bytes)) => {
                    let text =
                        std::str::from_utf8(bytes).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                    batch.push(Cell::Text(text));
                }
            }
        }
        batch.end_row();
        Ok(())
    }

    pub(super) async fn read_keyed(
        &mut self,
        walk: &Walk,
        key: &[KeyColumn],
        after: Option<&[Recoded]>,
        batch: &mut RowBatch,
        places: &mut Vec<Place>,
    ) -> Result<(), sqlx::Error> {
        let (shown, size, wanted) = Self::shown(walk);
        let keys: Vec<String> = key.iter().map(KeyColumn::shown).collect();
        let order: Vec<String> = key.iter().map(|column| quoted(&column.name)).collect();
        let mut bounds = String::new();
        let mut given: Vec<&Recoded> = Vec::new();
        if let Some(after) = after {
            // Spelled out, for the server does not walk an index by a comparison of rows.
            let longer: Vec<String> = (0..key.len())
                .map(|last| {
                    let mut terms: Vec<String> = (0..last)
                        .map(|at| format!("{} = {}", order[at], key[at].given()))
                        .collect();
                    terms.push(format!("{} > {}", order[last], key[last].given()));
                    given.extend(&after[..=last]);
                    format!("({})", terms.join(" AND "))
                })
                .collect();
            bounds = format!(" AND ({})", longer.join(" OR "));
        }
        let table = self.named(&walk.table);
        let ask = |shown: &str, rows: usize| {
            let sql = format!(
                "SELECT {shown} FROM {table} WHERE ({wanted}){bounds} ORDER BY {} LIMIT {rows} FOR UPDATE",
                order.join(", ")
            );
            let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
            given
                .iter()
                .copied()
                .fold(query, |query, value| bound(query, Some(value)))
        };
        if self.sizes.is_empty() {
            let mut rows = ask(&size, SIZED_ROWS).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                self.sizes.add(row.try_get(0)?);
            }
        }
        let count = self.sizes.next_batch();
        if count == 0 {
            return Ok(());
        }
        let columns = [keys, shown].concat().join(", ");
        let rows = ask(&columns, count).fetch_all(&mut self.connection).await?;
        for row in &rows {
            let mut place = Vec::with_capacity(key.len());
            for (at, column) in key.iter().enumerate() {
                place.push(match column.form {
                    KeyForm::Number | KeyForm::Text => Recoded::Text(text(row, at)?.unwrap_or_default()),
                    KeyForm::Bytes => Recoded::Bytes(bytes(row, at)?.unwrap_or_default()),
                });
            }
            places.push(Place::Keyed(place));
            Self::push(walk, row, key.len(), batch)?;
        }
        Ok(())
    }

    /// Everything of interest at once, since nothing says where to go on.
    pub(super) async fn read_keyless(
        &mut self,
        walk: &Walk,
        batch: &mut RowBatch,
        places: &mut Vec<Place>,
    ) -> Result<(), PortError> {
        let table = walk.table.name.key();
        let read = |error| failed(format!("read table {table}"), error);
        let (shown, _, wanted) = Self::shown(walk);
        let sql = format!(
            "SELECT DISTINCT {} FROM {} WHERE {wanted} FOR UPDATE",
            shown.join(", "),
            self.named(&walk.table)
        );
        let mut rows = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await.map_err(read)? {
            places.push(Place::ByValue);
            Self::push(walk, &row, 0, batch).map_err(read)?;
            if batch.bytes() > KEYLESS_BYTES_MAX {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "table {table} has no primary key to walk it by, and more than {} MiB that could be encrypted",
                        KEYLESS_BYTES_MAX >> 20
                    ),
                ));
            }
        }
        Ok(())
    }
}
