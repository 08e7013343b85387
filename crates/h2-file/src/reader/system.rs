//! What has to be read before tables can be: which transactions were open, and the catalogue's rows.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::bytes::Cursor;
use crate::catalogue::CatalogueRow;
use crate::error::{Malformed, ReadError, Unsupported};
use crate::file_header::Format;
use crate::map::last_long_key;
use crate::reader::entries::{Entries, KeyKind, ValueKind, begin_row};
use crate::reader::layout::Maps;
use crate::store::Store;
use crate::value::{Text, Value};
use crate::value_decode::{Shape, decode_inline};
use crate::versioned::OpenTransactions;

/// Before H2 1.4.198 one undo log served all transactions, and held values that are nowhere else.
const UNDO_LOG_OF_ALL: &str = "undoLog";
/// Columns of the catalogue: ID, HEAD, TYPE, SQL.
pub(crate) const CATALOGUE_COLUMNS: usize = 4;

/// Reads the undo logs.
pub(crate) fn open_transactions(store: &Store, maps: &Maps) -> Result<OpenTransactions, ReadError> {
    let mut open = OpenTransactions::default();
    for (name, map) in maps.iter().filter(|(name, _)| name.starts_with("undoLog")) {
        let last_key = last_long_key(store, map)?;
        if name == UNDO_LOG_OF_ALL && last_key.is_some() {
            return Err(ReadError::Unsupported(Unsupported::OpenTransactionsOfOldH2));
        }
        open.add_undo_log(name, last_key);
    }
    Ok(open)
}

/// The rows of the catalogue by id. A store without `table.0` is one that no database was made in yet.
pub(crate) fn catalogue_rows(
    store: &Store,
    maps: &Maps,
    open: &OpenTransactions,
) -> Result<Vec<CatalogueRow>, ReadError> {
    let mut rows = Vec::new();
    let Some(map) = maps.get("table.0") else {
        return Ok(rows);
    };
    let mut entries = Entries::new(store, map, KeyKind::RowKey, ValueKind::Row(CATALOGUE_COLUMNS));
    while entries.advance(store, open)? {
        let leaf = entries.leaf();
        let malformed = |problem| leaf.position.malformed(map.id, problem);
        let id = entries.row_key().map_err(malformed)?;
        let mut cursor = entries.value();
        let row = catalogue_row(id, &mut cursor, store.format).map_err(malformed)?;
        let end = cursor.at();
        if id > 0 {
            rows.push(row);
        }
        entries.value_ended(end)?;
    }
    Ok(rows)
}

fn catalogue_row(id: i64, cursor: &mut Cursor<'_>, format: Format) -> Result<CatalogueRow, Malformed> {
    begin_row(cursor, CATALOGUE_COLUMNS, format)?;
    let mut column = |what| {
        let value = decode_inline(cursor, &Shape::Plain, format)?;
        Ok((value, cursor.malformed(what)))
    };
    let (row_id, wrong_id) = column("the ID of a catalogue row is not its key")?;
    let (_head, _) = column("")?;
    let (kind, wrong_kind) = column("the TYPE of a catalogue row is no INTEGER")?;
    let (sql, wrong_sql) = column("the SQL of a catalogue row is no text")?;
    match row_id {
        Value::Integer(row_id) if i64::from(row_id) == id => {}
        _ => return Err(wrong_id),
    }
    let Value::Integer(kind) = kind else {
        return Err(wrong_kind);
    };
    let (Value::Varchar(Text::Utf8(sql)) | Value::Clob(Text::Utf8(sql))) = sql else {
        return Err(wrong_sql);
    };
    Ok(CatalogueRow {
        id,
        kind,
        sql: sql.into_owned(),
    })
}
