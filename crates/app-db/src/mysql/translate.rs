//! A schema from any database to MySQL: what a Metabase of the same version would have made on MySQL itself, as far as the
//! source's catalogue tells. When each statement is run is the target's business:
//!
//! 1. [`TranslatedTable::create`] makes a table with its columns, its primary key and its checks;
//! 2. rows come;
//! 3. [`TranslatedTable::after_rows`] and then, when all tables have theirs, [`TranslatedTable::foreign_keys`] are clauses
//!    of an `ALTER TABLE` over the table. The server makes the indexes of foreign keys by itself, under the keys' names,
//!    where no other index leads with their columns;
//! 4. [`auto_increment`] sets where identities go on;
//! 5. [`own_changes::complete_history`] tells Metabase's schema history of what is as it is on MySQL only;
//! 6. [`TranslatedView::create`] makes the views, in their order, with [`SESSION_OF_VIEWS`] set.
//!
//! Statements name no database: the session's is meant. What they call a table or view is `name_of`'s answer to its final
//! name, so that a table may be filled under another name and renamed. They are for our own sessions, whose mode reads no
//! backslash as an escape; nothing else depends on the server's mode, nor on whether it tells names apart by case.
//!
//! What MySQL cannot say exactly is left out with a note (checks, defaults, views, keys that are too long) or, where
//! leaving it out would lose data, refused by name.

mod column;
mod indexes;
mod keys;
mod names;
mod own;
pub(super) mod own_changes;
mod types;
mod views;

use std::collections::HashMap;

use metaferry_domain::schema::{Catalogue, Column, Dialect, Name, Table, Uniqueness};
use metaferry_domain::{ErrorKind, PortError};

use self::names::Names;
use self::types::{Extent, MySqlType};
use crate::sql;
use crate::sql::mysql_text::{identifier, literal};

/// The collation of everything but what [`TranslatedColumn::collation`] says otherwise of.
pub(super) const COLLATION: &str = "utf8mb4_unicode_ci";
/// What a session sets before it makes views: they keep the collation of their literals.
pub(super) const SESSION_OF_VIEWS: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci";
/// The longest comment on a table, in letters.
const TABLE_COMMENT_MAX: usize = 2048;

/// A catalogue in MySQL's terms.
#[derive(Debug)]
pub(super) struct Translation {
    /// Per table of the catalogue, in its order.
    pub(super) tables: Vec<TranslatedTable>,
    /// In order of use.
    pub(super) views: Vec<TranslatedView>,
    /// Does the history lack what Metabase's own has on MySQL only?
    pub(super) history: History,
    /// What could not be said exactly.
    pub(super) notes: Vec<String>,
}

/// Whose changes a schema history tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    OfMySql,
    OfAnother,
}

/// One table.
#[derive(Debug)]
pub(super) struct TranslatedTable {
    /// As Metabase's own is called, in its case.
    pub(super) name: String,
    /// Makes it with its columns, primary key and checks, without other keys and indexes.
    pub(super) create: String,
    /// Columns in declared order.
    pub(super) columns: Vec<TranslatedColumn>,
    /// Clauses of an ALTER TABLE: what is quicker to make when the rows are there.
    pub(super) after_rows: Vec<String>,
    /// More such clauses, for a server whose `explicit_defaults_for_timestamp` is on (it is unless somebody turned it off,
    /// from MariaDB 10.10 and MySQL 8.0): they take a default from moments that have none. Elsewhere such a moment would
    /// change with every update of its row.
    pub(super) undefaulted: Vec<String>,
    /// Clauses of an ALTER TABLE for when all tables have their rows and indexes.
    pub(super) foreign_keys: Vec<String>,
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct TranslatedColumn {
    pub(super) name: String,
    pub(super) source: Supply,
    /// Where it is not [`COLLATION`].
    pub(super) collation: Option<&'static str>,
    /// Is it a TIMESTAMP, which holds few decades?
    pub(super) is_timestamp: bool,
}

/// Who supplies a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Rows,
    /// Rows, and the table's counter where a row gives none.
    Identity {
        /// Where the source would have gone on, if it says so.
        next: Option<i64>,
    },
    Generated,
}

/// One view.
#[derive(Debug)]
pub(super) struct TranslatedView {
    pub(super) name: String,
    pub(super) create: String,
}

/// The clause that lets a table's identity go on at `next`, or after its highest value if that is higher.
pub(super) fn auto_increment(next: i64) -> String {
    format!("AUTO_INCREMENT = {}", next.max(1))
}

/// Says the catalogue in MySQL's terms.
pub(super) fn translate(
    catalogue: &Catalogue,
    name_of: &dyn Fn(&str) -> String,
) -> Result<Translation, PortError> {
    let dialect = sql::dialect_of(catalogue);
    let mut translator = Translator {
        catalogue,
        name_of,
        names: Names::of(dialect),
        dialect,
        types: Vec::with_capacity(catalogue.tables.len()),
        led: Vec::with_capacity(catalogue.tables.len()),
        notes: Vec::new(),
    };
    let mut table_names = Vec::with_capacity(catalogue.tables.len());
    for table in &catalogue.tables {
        table_names.push(translator.names.relation(&table.name)?);
        let types = translator.types_of(table);
        translator.types.push(types);
    }
    let mut tables = Vec::with_capacity(catalogue.tables.len());
    for (at, name) in table_names.into_iter().enumerate() {
        tables.push(translator.table(at, name)?);
    }
    // Whether a parent has the key that is wanted is known when all tables are.
    for (at, table) in tables.iter_mut().enumerate() {
        table.foreign_keys = translator.foreign_keys(at);
    }
    let views = translator.views()?;
    Ok(Translation {
        tables,
        views,
        history: match dialect {
            Some(Dialect::MySql) => History::OfMySql,
            Some(Dialect::H2 | Dialect::Postgres) | None => History::OfAnother,
        },
        notes: translator.notes,
    })
}

struct Translator<'a> {
    catalogue: &'a Catalogue,
    name_of: &'a dyn Fn(&str) -> String,
    names: Names,
    dialect: Option<Dialect>,
    /// Per table, per column.
    types: Vec<Vec<MySqlType>>,
    /// Per table: the columns of every key and index that is made, in lower case.
    led: Vec<Vec<Vec<String>>>,
    notes: Vec<String>,
}

/// The lines of a CREATE TABLE, and what comes later.
#[derive(Debug, Default)]
struct Parts {
    lines: Vec<String>,
    after_rows: Vec<String>,
    undefaulted: Vec<String>,
}

impl Translator<'_> {
    /// Types of all columns, as keys and the row's width let them be.
    fn types_of(&mut self, table: &Table) -> Vec<MySqlType> {
        let mut types = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let chosen = types::to_mysql(table, column, self.dialect);
            self.notes.extend(
                chosen
                    .note
                    .map(|note| format!("{}: {note}", place(table, column))),
            );
            types.push(chosen.mysql_type);
        }
        let keys = self.strict_keys(table);
        let mut shorter: HashMap<usize, MySqlType> = HashMap::new();
        for key in &keys {
            let extents: Vec<Extent> = key.iter().map(|at| types[*at].extent()).collect();
            for (at, extent) in key.iter().zip(&extents) {
                let Some(bounded) = keys::bounded(&extents, *extent) else {
                    continue;
                };
                // Of two keys the narrower one decides.
                let narrower = shorter
                    .remove(at)
                    .map_or(bounded.clone(), |known| known.shorter(bounded));
                shorter.insert(*at, narrower);
            }
        }
        for (at, column) in table.columns.iter().enumerate() {
            if let Some(shorter) = shorter.remove(&at) {
                self.notes.push(format!(
                    "{}: {} is part of a key, so it becomes {}; longer values are refused",
                    place(table, column),
                    column.native_type,
                    shorter.spelled()
                ));
                types[at] = shorter;
            }
        }
        let is_keyed = |at: usize| keys.iter().any(|key| key.contains(&at));
        for at in keys::too_wide(&types, &|at| !is_keyed(at)) {
            let large = match types[at] {
                MySqlType::Varbinary(_) => MySqlType::LongBlob,
                // Nothing else is too wide.
                MySqlType::Varchar(_)
                | MySqlType::Char(_)
                | MySqlType::Bit
                | MySqlType::TinyInt
                | MySqlType::SmallInt
                | MySqlType::Int
                | MySqlType::BigInt
                | MySqlType::Float
                | MySqlType::Double
                | MySqlType::Decimal(..)
                | MySqlType::LongText
                | MySqlType::Binary(_)
                | MySqlType::Blob
                | MySqlType::LongBlob
                | MySqlType::Date
                | MySqlType::Time(_)
                | MySqlType::DateTime(_)
                | MySqlType::Timestamp(_)
                | MySqlType::Native(_) => MySqlType::LongText,
            };
            self.notes.push(format!(
                "{}: {} becomes {}, as the row would be too wide",
                place(table, &table.columns[at]),
                table.columns[at].native_type,
                large.spelled()
            ));
            types[at] = large;
        }
        types
    }

    /// Columns, by position, of every key that must see all of its columns' values: those that tell rows apart, and
    /// those on either side of a foreign key.
    fn strict_keys(&self, table: &Table) -> Vec<Vec<usize>> {
        let own = table.name.key();
        let unique = table.indexes.iter().filter_map(|index| {
            let is_unique = index.uniqueness == Uniqueness::Unique && index.predicate.is_none();
            is_unique.then(|| indexes::plain_columns(index)).flatten()
        });
        let parents = self
            .catalogue
            .tables
            .iter()
            .flat_map(|child| &child.foreign_keys)
            .filter(|foreign| foreign.parent_table.key() == own)
            .map(|foreign| foreign.parent_columns.clone());
        table
            .primary_key
            .iter()
            .chain(&table.uniques)
            .map(|key| key.columns.clone())
            .chain(table.foreign_keys.iter().map(|foreign| foreign.columns.clone()))
            .chain(unique)
            .chain(parents)
            .map(|columns| columns.iter().filter_map(|name| position(table, name)).collect())
            .collect()
    }

    fn table(&mut self, at: usize, name: String) -> Result<TranslatedTable, PortError> {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[at];
        if table.columns.is_empty() {
            return Err(unsupported(format!(
                "table {} has no columns, and MySQL has no such tables; leave it out",
                table.name.key()
            )));
        }
        let mut parts = Parts::default();
        let mut columns = Vec::with_capacity(table.columns.len());
        let mut spelled: HashMap<String, &Name> = HashMap::new();
        let mut identity = None;
        for (column_at, column) in table.columns.iter().enumerate() {
            let own = self.names.column(&table.name, &column.name);
            Names::check_column(table, &own)?;
            if let Some(other) = spelled.insert(own.to_lowercase(), &column.name) {
                return Err(unsupported(format!(
                    "table {}: columns \"{other}\" and \"{}\" would both be \"{own}\" on MySQL; rename one",
                    table.name, column.name
                )));
            }
            let translated = self.column(at, column_at, own, identity, &mut parts)?;
            if let Supply::Identity { .. } = translated.source {
                identity = Some(column_at);
            }
            columns.push(translated);
        }
        self.keys_and_indexes(at, identity, &mut parts);
        self.checks(table, &mut parts);
        let mut create = format!(
            "CREATE TABLE {} ({}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={COLLATION}",
            identifier(&(self.name_of)(&name)),
            parts.lines.join(", ")
        );
        if let Some(comment) = &table.comment {
            let what = format!("table {}", table.name.key());
            create.push_str(&self.comment(comment, TABLE_COMMENT_MAX, &what));
        }
        Ok(TranslatedTable {
            name,
            create,
            columns,
            after_rows: parts.after_rows,
            undefaulted: parts.undefaulted,
            foreign_keys: Vec::new(),
        })
    }

    fn checks(&mut self, table: &Table, parts: &mut Parts) {
        for check in &table.checks {
            match sql::expression_to_mysql(&check.condition, table) {
                Ok(text) => {
                    let usual = format!("{}_check", self.names.table(&table.name));
                    let own = self.names.constraint(&check.name, &usual, table, &mut self.notes);
                    parts
                        .lines
                        .push(format!("CONSTRAINT {} CHECK ({text})", identifier(&own)));
                }
                Err(why) => self.notes.push(format!(
                    "check {} of table {} is left out because of {why}",
                    check.name.key(),
                    table.name.key()
                )),
            }
        }
    }

    /// The clause of a comment, cut to what fits.
    fn comment(&mut self, comment: &str, letters_max: usize, what: &str) -> String {
        let fitting: String = comment.chars().take(letters_max).collect();
        if fitting.len() < comment.len() {
            self.notes
                .push(format!("{what}: its comment is cut after {letters_max} letters"));
        }
        format!(" COMMENT {}", literal(&fitting))
    }
}

fn place(table: &Table, column: &Column) -> String {
    format!("table {}, column {}", table.name.key(), column.name.key())
}

fn position(table: &Table, name: &Name) -> Option<usize> {
    table
        .columns
        .iter()
        .position(|column| column.name.key() == name.key())
}

fn unsupported(message: impl Into<String>) -> PortError {
    PortError::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
mod tests;
