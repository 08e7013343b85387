//! The tables that must be still while a snapshot is read, with the columns that count.

use metaferry_domain::PortError;
use metaferry_metabase::read_only::is_guarded;
use sqlx::MySqlConnection;

use super::connect::{quoted, text};
use crate::error::failed;
use crate::still::counts;

/// A table that must be still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StillTable {
    pub(super) name: String,
    /// In declared order, without those that the server computes.
    columns: Vec<StillColumn>,
}

/// One of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StillColumn {
    name: String,
    /// As the catalogue has it, in lower case, such as `varchar`.
    data_type: String,
    /// The most bytes that a value has, where it is of letters or bytes.
    octets_max: u64,
    is_key: bool,
    /// A change of it is a write that is not exempt.
    counts: bool,
}

/// Longer values go into a digest by digests of their own: what is put together of a row must fit into a packet of
/// the server's.
const PLAIN_OCTETS_MAX: u64 = 4_096;

impl StillColumn {
    /// An SQL expression of its exact bytes, for `row` (a table's alias, OLD or NEW): what one collation takes for equal,
    /// or a number's usual text for the same, is told apart.
    fn exact(&self, row: &str) -> String {
        let value = format!("{row}.{}", quoted(&self.name));
        match self.data_type.as_str() {
            "float" => format!("CAST({value} + 0e0 AS BINARY)"),
            _ => format!("CAST({value} AS BINARY)"),
        }
    }

    /// A text that begins by telling how long it is, and differs for values that differ.
    fn framed(&self) -> String {
        let exact = self.exact("t");
        // Of MySQL's JSON the catalogue tells no length.
        if self.octets_max > PLAIN_OCTETS_MAX || self.data_type == "json" {
            format!("COALESCE(MD5({exact}), 'N')")
        } else {
            format!("COALESCE(CONCAT(LENGTH({exact}), ':', {exact}), 'N')")
        }
    }
}

impl StillTable {
    /// The digest of a row `t`, of the columns that count: 32 hexadecimal digits.
    pub(super) fn row_digest(&self) -> String {
        let columns = self.columns.iter().filter(|column| column.counts);
        let columns: Vec<String> = columns.map(StillColumn::framed).collect();
        if columns.is_empty() {
            return "MD5('')".to_owned();
        }
        format!("MD5(CONCAT({}))", columns.join(", ',', "))
    }

    /// For an update: that it changes a column that counts; `None` if none does.
    pub(super) fn differs(&self) -> Option<String> {
        let columns = self.columns.iter().filter(|column| column.counts);
        let differs: Vec<String> = columns
            .map(|column| format!("NOT ({} <=> {})", column.exact("NEW"), column.exact("OLD")))
            .collect();
        (!differs.is_empty()).then(|| differs.join(" OR "))
    }

    /// The primary key of a row `t` as one text; `None` where there is none.
    pub(super) fn key(&self) -> Option<String> {
        let columns = self.columns.iter().filter(|column| column.is_key);
        let key: Vec<String> = columns
            .map(|column| format!("t.{}", quoted(&column.name)))
            .collect();
        (!key.is_empty()).then(|| format!("CONCAT_WS('/', {})", key.join(", ")))
    }
}

/// The tables that must be still, by name.
pub(super) async fn read(connection: &mut MySqlConnection) -> Result<Vec<StillTable>, PortError> {
    let look = |error| failed("read which tables must be still", error);
    let rows = sqlx::query(
        "SELECT c.table_name, c.column_name, lower(c.data_type), CAST(coalesce(c.character_octet_length, 0) AS CHAR),
             c.column_key = 'PRI'
         FROM information_schema.columns c
         JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
         WHERE c.table_schema = database() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')
             AND coalesce(c.generation_expression, '') = ''
         ORDER BY c.table_name, c.ordinal_position",
    )
    .fetch_all(connection)
    .await
    .map_err(look)?;
    let mut tables: Vec<StillTable> = Vec::new();
    for row in rows {
        let word = |position| text(&row, position).map(Option::unwrap_or_default).map_err(look);
        let table = word(0)?;
        if !is_guarded(&table) {
            continue;
        }
        let name = word(1)?;
        let is_key = sqlx::Row::try_get::<i64, _>(&row, 4).map_err(look)? != 0;
        let column = StillColumn {
            counts: is_key || counts(&table, &name),
            name,
            data_type: word(2)?,
            octets_max: word(3)?.parse().unwrap_or(u64::MAX),
            is_key,
        };
        match tables.last_mut() {
            Some(last) if last.name == table => last.columns.push(column),
            Some(_) | None => tables.push(StillTable {
                name: table,
                columns: vec![column],
            }),
        }
    }
    Ok(tables)
}
