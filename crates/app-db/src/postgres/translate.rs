//! A schema from any database to Postgres: what a Metabase of the same version would have made on Postgres itself,
//! as far as the source's catalogue tells. Statements name objects without a schema: the search path decides where
//! they come to be. When each is run is the target's business.
//!
//! What Postgres cannot say exactly is left out with a note (checks, defaults, views) or, where leaving it out would
//! lose data, refused by name.

mod indexes;
mod keys;
mod names;
mod own_indexes;
mod types;

use std::collections::HashMap;

use metaferry_domain::ports::UniqueRule;
use metaferry_domain::schema::{Catalogue, Column, Dialect, Name, Nullability, Table, ValueSource};
use metaferry_domain::{ErrorKind, PortError};

use self::names::Names;
pub(super) use self::own_indexes::{CHANGES, CHANGES_FILE};
pub(super) use self::types::{PostgresType, of_column};
use crate::sql::postgres_text::{fold, identifier, literal};
use crate::sql::{self, Kind, Relations, Words};

/// A catalogue in Postgres' terms.
#[derive(Debug)]
pub(super) struct Translation {
    /// Per table of the catalogue, in its order.
    pub(super) tables: Vec<TranslatedTable>,
    /// Names of the views, in order of use.
    pub(super) views: Vec<String>,
    /// What makes the views.
    pub(super) create_views: Vec<String>,
    /// Is the type of a column from the extension `citext`?
    pub(super) citext: Citext,
    /// Does the history lack what Metabase's own has on Postgres only?
    pub(super) history: History,
    /// What could not be said exactly.
    pub(super) notes: Vec<String>,
}

/// Whose changes a schema history tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    OfPostgres,
    OfAnother,
}

/// Whether the extension of that name is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Citext {
    Needed,
    Unneeded,
}

/// One table.
#[derive(Debug)]
pub(super) struct TranslatedTable {
    pub(super) name: String,
    /// Makes it with its columns, without keys and indexes.
    pub(super) create: String,
    /// Columns in declared order.
    pub(super) columns: Vec<TranslatedColumn>,
    /// Keys, indexes and checks: what is quicker to make when the rows are there.
    pub(super) after_rows: Vec<AfterRows>,
    /// Adds each foreign key without looking at rows, and then looks.
    pub(super) foreign_keys: Vec<TranslatedForeignKey>,
    /// Comments on the table and its columns.
    pub(super) comments: Vec<String>,
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct TranslatedColumn {
    pub(super) name: String,
    pub(super) postgres_type: PostgresType,
    pub(super) source: Supply,
}

/// Who supplies a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Rows,
    /// Rows, and its sequence where a row gives none.
    Identity {
        /// Where the source would have gone on, if it says so.
        next: Option<i64>,
    },
    Generated,
}

/// A statement for when the rows are there.
#[derive(Debug, Clone)]
pub(super) struct AfterRows {
    pub(super) statement: String,
    /// A change that must be in Metabase's history for it to be run.
    pub(super) since: Option<&'static str>,
}

impl From<String> for AfterRows {
    fn from(statement: String) -> Self {
        Self {
            statement,
            since: None,
        }
    }
}

/// One foreign key.
#[derive(Debug)]
pub(super) struct TranslatedForeignKey {
    pub(super) add: String,
    pub(super) validate: String,
}

/// Unique indexes that the database will have beside the source's own.
pub(super) fn own_rules(catalogue: &Catalogue) -> Vec<UniqueRule> {
    match sql::dialect_of(catalogue) {
        Some(Dialect::H2 | Dialect::MySql) => catalogue.tables.iter().flat_map(own_indexes::rules).collect(),
        Some(Dialect::Postgres) | None => Vec::new(),
    }
}

/// Says the catalogue in Postgres' terms.
pub(super) fn translate(catalogue: &Catalogue) -> Result<Translation, PortError> {
    let mut translator = Translator {
        catalogue,
        names: Names::default(),
        notes: Vec::new(),
        citext: Citext::Unneeded,
        dialect: sql::dialect_of(catalogue),
    };
    // Tables first: an index must not take a table's name.
    let mut table_names = Vec::with_capacity(catalogue.tables.len());
    for table in &catalogue.tables {
        table_names.push(translator.names.relation(&table.name)?);
    }
    let mut tables = Vec::with_capacity(catalogue.tables.len());
    for (table, name) in catalogue.tables.iter().zip(table_names) {
        tables.push(translator.table(table, name)?);
    }
    let (views, create_views) = translator.views()?;
    Ok(Translation {
        tables,
        views,
        create_views,
        citext: translator.citext,
        history: match translator.dialect {
            Some(Dialect::Postgres) => History::OfPostgres,
            Some(Dialect::H2 | Dialect::MySql) | None => History::OfAnother,
        },
        notes: translator.notes,
    })
}

struct Translator<'a> {
    catalogue: &'a Catalogue,
    names: Names,
    notes: Vec<String>,
    citext: Citext,
    dialect: Option<Dialect>,
}

impl Translator<'_> {
    fn table(&mut self, table: &Table, name: String) -> Result<TranslatedTable, PortError> {
        let quoted = identifier(&name);
        let mut columns = Vec::with_capacity(table.columns.len());
        let mut definitions = Vec::with_capacity(table.columns.len());
        let mut comments = Vec::new();
        let mut converted: Vec<AfterRows> = Vec::new();
        let mut spelled: HashMap<String, String> = HashMap::new();
        if let Some(comment) = &table.comment {
            comments.push(format!("COMMENT ON TABLE {quoted} IS {}", literal(comment)));
        }
        for column in &table.columns {
            let folded = fold(column.name.as_str());
            if let Some(other) = spelled.insert(folded.clone(), column.name.as_str().to_owned()) {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "table {}: columns \"{other}\" and \"{}\" would both be \"{folded}\" on Postgres; rename one",
                        table.name, column.name
                    ),
                ));
            }
            if let Some(native) = native_of(column) {
                let name = identifier(&folded);
                converted.push(
                    format!("ALTER TABLE {quoted} ALTER COLUMN {name} TYPE {native} USING {name}::{native}")
                        .into(),
                );
                converted.extend(self.default_of_native(table, column).map(|default| {
                    format!("ALTER TABLE {quoted} ALTER COLUMN {name} SET DEFAULT {default}").into()
                }));
            }
            let (translated, definition) = self.column(table, column, folded)?;
            if let Some(comment) = &column.comment {
                comments.push(format!(
                    "COMMENT ON COLUMN {quoted}.{} IS {}",
                    identifier(&translated.name),
                    literal(comment)
                ));
            }
            columns.push(translated);
            definitions.push(definition);
        }
        let mut after_rows = converted;
        after_rows.extend(self.after_rows(table, &name));
        Ok(TranslatedTable {
            create: format!("CREATE TABLE {quoted} ({})", definitions.join(", ")),
            columns,
            after_rows,
            foreign_keys: self.foreign_keys(table, &quoted),
            comments,
            name,
        })
    }

    fn column(
        &mut self,
        table: &Table,
        column: &Column,
        name: String,
    ) -> Result<(TranslatedColumn, String), PortError> {
        let place = format!("table {}, column {}", table.name.key(), column.name.key());
        let chosen = types::to_postgres(table, column);
        if chosen.postgres_type == PostgresType::Citext {
            self.citext = Citext::Needed;
        }
        self.notes
            .extend(chosen.note.map(|note| format!("{place}: {note}")));
        let mut definition = format!("{} {}", identifier(&name), chosen.spelled);
        let mut source = Supply::Rows;
        match &column.value_source {
            ValueSource::None => {}
            ValueSource::Identity { next } if chosen.postgres_type.is_whole() => {
                definition.push_str(" GENERATED BY DEFAULT AS IDENTITY");
                if let Some(sequence) = names::sequence_kept_through_a_rename(&table.name.key()) {
                    definition.push_str(&format!(" (SEQUENCE NAME {})", identifier(sequence)));
                }
                source = Supply::Identity { next: *next };
            }
            ValueSource::Identity { .. } => self.notes.push(format!(
                "{place}: its sequence is left out, it is no whole number"
            )),
            // Said when the column has the type that it is for.
            ValueSource::Default(_) if native_of(column).is_some() => {}
            ValueSource::Default(default) => match sql::default_to_postgres(default, &column.data_type) {
                // What every column does by itself.
                Ok(text) if text == "NULL" => {}
                Ok(text) => definition.push_str(&format!(" DEFAULT {text}")),
                Err(why) => self.notes.push(format!(
                    "{place}: its default {} is left out because of {why}",
                    default.text
                )),
            },
            ValueSource::Generated(expression) => {
                let text = sql::expression_to_postgres(expression, table).map_err(|why| {
                    PortError::new(
                        ErrorKind::Unsupported,
                        format!(
                            "{place} is generated as {}, which cannot be carried to Postgres because of {why}; \
                             leave the table out",
                            expression.text
                        ),
                    )
                })?;
                definition.push_str(&format!(" GENERATED ALWAYS AS ({text}) STORED"));
                source = Supply::Generated;
            }
        }
        if column.nullability == Nullability::NotNull {
            definition.push_str(" NOT NULL");
        }
        let translated = TranslatedColumn {
            name,
            postgres_type: chosen.postgres_type,
            source,
        };
        Ok((translated, definition))
    }

    /// The default of a column that gets its type when its rows are there.
    fn default_of_native(&mut self, table: &Table, column: &Column) -> Option<String> {
        let ValueSource::Default(default) = &column.value_source else {
            return None;
        };
        match sql::default_to_postgres(default, &column.data_type) {
            Ok(text) => (text != "NULL").then_some(text),
            Err(why) => {
                self.notes.push(format!(
                    "table {}, column {}: its default {} is left out because of {why}",
                    table.name.key(),
                    column.name.key(),
                    default.text
                ));
                None
            }
        }
    }

    fn views(&mut self) -> Result<(Vec<String>, Vec<String>), PortError> {
        let mut relations = Relations::of_tables(self.catalogue, Words::Postgres);
        let mut views = Vec::with_capacity(self.catalogue.views.len());
        let mut statements = Vec::new();
        for view in &self.catalogue.views {
            let query = match sql::query_to_postgres(&view.query, &relations) {
                Ok(query) => query,
                Err(why) => {
                    self.notes
                        .push(format!("view {} is left out because of {why}", view.name.key()));
                    continue;
                }
            };
            let kinds = query.kinds.into_iter().chain(std::iter::repeat(Kind::Opaque));
            let columns = view
                .columns
                .iter()
                .map(|name| name.as_str().to_owned())
                .zip(kinds)
                .collect();
            relations.add(view.schema.as_str(), view.name.as_str(), columns);
            let name = self.names.relation(&view.name)?;
            let list: Vec<String> = view
                .columns
                .iter()
                .map(|name| identifier(&fold(name.as_str())))
                .collect();
            statements.push(format!(
                "CREATE VIEW {} ({}) AS {}",
                identifier(&name),
                list.join(", "),
                query.text
            ));
            if let Some(comment) = &view.comment {
                statements.push(format!(
                    "COMMENT ON VIEW {} IS {}",
                    identifier(&name),
                    literal(comment)
                ));
            }
            views.push(name);
        }
        Ok((views, statements))
    }
}

/// Names as a list of SQL.
fn columns(names: &[Name]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| identifier(&fold(name.as_str())))
        .collect();
    names.join(", ")
}

fn joined(names: &[Name]) -> String {
    let names: Vec<String> = names.iter().map(|name| fold(name.as_str())).collect();
    names.join("_")
}

/// The type that a column gets when its rows are there: values of such types are written as text.
fn native_of(column: &Column) -> Option<&str> {
    types::native(column).filter(|_| !column.is_generated())
}
