//! A schema from any database to H2: what a Metabase of the same version would have made on H2 itself, as far as
//! the source's catalogue tells.
//!
//! What H2 cannot say exactly is left out with a note (expression and partial indexes, checks, defaults, views)
//! or, where leaving it out would lose data, refused by name.

mod names;

use std::collections::{BTreeSet, HashMap};

use metaferry_domain::schema::{
    Catalogue, Index, IndexOrder, IndexPart, Key, Name, Nullability, ReferentialAction, Table, Uniqueness,
    ValueSource,
};
use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::SqlType;
use metaferry_h2_file::definition as h2;

use self::names::Names;
use super::types::{self, Usage};
use crate::sql::{self, Kind, Program, Relations, h2_text};

/// H2's sort type of an ascending index column: NULL is the lowest value.
const ASCENDING_NULLS_FIRST: u8 = 2;
/// H2's sort type of a descending index column.
const DESCENDING_NULLS_LAST: u8 = 5;

/// The schema everything goes to.
const PUBLIC: &str = "PUBLIC";

/// A catalogue in H2's terms.
#[derive(Debug)]
pub(super) struct Translation {
    pub(super) definition: h2::Definition,
    /// Per table of the catalogue, in its order.
    pub(super) tables: Vec<TranslatedTable>,
    /// What could not be said exactly.
    pub(super) notes: Vec<String>,
}

/// What writing the rows of a table needs to know.
#[derive(Debug)]
pub(super) struct TranslatedTable {
    /// Generated columns by position, and how to compute them.
    pub(super) generated: Vec<(usize, Program)>,
}

/// Says the catalogue in H2's terms.
pub(super) fn translate(catalogue: &Catalogue) -> Result<Translation, PortError> {
    let keyed = keyed_columns(catalogue);
    let mut translator = Translator {
        catalogue,
        keyed,
        names: Names::default(),
        promoted: promoted_indexes(catalogue),
        notes: Vec::new(),
    };
    let mut definition = h2::Definition::default();
    let mut tables = Vec::with_capacity(catalogue.tables.len());
    for table in &catalogue.tables {
        let (table_definition, translated) = translator.table(table)?;
        definition.tables.push(table_definition);
        tables.push(translated);
    }
    definition.views = translator.views()?;
    Ok(Translation {
        definition,
        tables,
        notes: translator.notes,
    })
}

/// Columns in keys, by table and column key.
type Keyed = BTreeSet<(String, String)>;

fn keyed_columns(catalogue: &Catalogue) -> Keyed {
    let mut keyed = Keyed::new();
    for table in &catalogue.tables {
        let mut add = |columns: &[Name], table: &str| {
            keyed.extend(columns.iter().map(|column| (table.to_owned(), column.key())));
        };
        let own = table.name.key();
        for key in table.primary_key.iter().chain(&table.uniques) {
            add(&key.columns, &own);
        }
        for foreign in &table.foreign_keys {
            add(&foreign.columns, &own);
            add(&foreign.parent_columns, &foreign.parent_table.key());
        }
        for index in &table.indexes {
            if index.uniqueness == Uniqueness::Unique
                && let Some(columns) = plain_columns(index)
            {
                let columns: Vec<Name> = columns.into_iter().map(|(name, _)| name.clone()).collect();
                add(&columns, &own);
            }
        }
    }
    keyed
}

/// The columns of an index over nothing but columns and all rows.
fn plain_columns(index: &Index) -> Option<Vec<(&Name, IndexOrder)>> {
    if index.predicate.is_some() {
        return None;
    }
    index
        .parts
        .iter()
        .map(|part| match part {
            IndexPart::Column { name, order } => Some((name, *order)),
            IndexPart::Expression(_) => None,
        })
        .collect()
}

/// Unique indexes that a foreign key refers to. H2 wants a constraint there.
fn promoted_indexes(catalogue: &Catalogue) -> BTreeSet<(String, String)> {
    let set = |columns: &[Name]| columns.iter().map(Name::key).collect::<BTreeSet<_>>();
    let mut promoted = BTreeSet::new();
    for foreign in catalogue.tables.iter().flat_map(|table| &table.foreign_keys) {
        let Some(parent) = catalogue.table(&foreign.parent_table.key()) else {
            continue;
        };
        let wanted = set(&foreign.parent_columns);
        if parent
            .primary_key
            .iter()
            .chain(&parent.uniques)
            .any(|key| set(&key.columns) == wanted)
        {
            continue;
        }
        let serving = parent.indexes.iter().find(|index| {
            index.uniqueness == Uniqueness::Unique
                && plain_columns(index).is_some_and(|columns| {
                    columns
                        .iter()
                        .map(|(name, _)| name.key())
                        .collect::<BTreeSet<_>>()
                        == wanted
                })
        });
        if let Some(index) = serving {
            promoted.insert((parent.name.key(), index.name.key()));
        }
    }
    promoted
}

struct Translator<'a> {
    catalogue: &'a Catalogue,
    keyed: Keyed,
    names: Names,
    promoted: BTreeSet<(String, String)>,
    notes: Vec<String>,
}

impl Translator<'_> {
    fn table(&mut self, table: &Table) -> Result<(h2::TableDefinition, TranslatedTable), PortError> {
        let name = self.names.relation(&table.name)?;
        let mut columns = Vec::with_capacity(table.columns.len());
        let mut generated = Vec::new();
        let mut spelled: HashMap<String, String> = HashMap::new();
        for (position, column) in table.columns.iter().enumerate() {
            let folded = h2_text::fold(column.name.as_str());
            if let Some(other) = spelled.insert(folded.clone(), column.name.as_str().to_owned()) {
                return Err(PortError::new(
                    ErrorKind::Unsupported,
                    format!(
                        "table {}: columns \"{other}\" and \"{}\" would both be \"{folded}\" on H2; rename one",
                        table.name, column.name
                    ),
                ));
            }
            columns.push(self.column(table, position, folded, &mut generated)?);
        }
        let key = |names: &[Name]| {
            names
                .iter()
                .map(|name| h2_text::fold(name.as_str()))
                .collect::<Vec<_>>()
        };
        let primary_key = table.primary_key.as_ref().map(|primary| h2::PrimaryKey {
            name: self
                .names
                .constraint(&primary_key_name(&primary.name, table), table, &mut self.notes),
            columns: key(&primary.columns),
        });
        let mut uniques: Vec<h2::UniqueConstraint> = table
            .uniques
            .iter()
            .map(|unique| h2::UniqueConstraint {
                name: self
                    .names
                    .constraint(&unique_key_name(unique, table), table, &mut self.notes),
                columns: key(&unique.columns),
            })
            .collect();
        let mut indexes = Vec::new();
        for index in &table.indexes {
            let Some(definition) = self.index(table, index, &columns) else {
                continue;
            };
            if self.promoted.contains(&(table.name.key(), index.name.key())) {
                let columns = definition.columns.into_iter().map(|column| column.name).collect();
                let name = self.names.constraint(&index.name, table, &mut self.notes);
                uniques.push(h2::UniqueConstraint { name, columns });
            } else {
                indexes.push(definition);
            }
        }
        let definition = h2::TableDefinition {
            schema: PUBLIC.to_owned(),
            name,
            columns,
            primary_key,
            uniques,
            foreign_keys: self.foreign_keys(table),
            checks: self.checks(table),
            indexes,
            comment: table.comment.clone(),
        };
        Ok((definition, TranslatedTable { generated }))
    }

    fn column(
        &mut self,
        table: &Table,
        position: usize,
        name: String,
        generated: &mut Vec<(usize, Program)>,
    ) -> Result<h2::ColumnDefinition, PortError> {
        let column = &table.columns[position];
        let usage = match self.keyed.contains(&(table.name.key(), column.name.key())) {
            true => Usage::Keyed,
            false => Usage::Plain,
        };
        let chosen = types::to_h2(table, column, usage);
        self.notes.extend(chosen.note);
        let place = format!("table {}, column {}", table.name.key(), column.name.key());
        let value_source = match &column.value_source {
            ValueSource::None => h2::ValueSource::None,
            ValueSource::Identity { .. } if is_whole(&chosen.sql_type) => {
                // The writer continues after the highest value; where the source would have continued after
                // deleted ones is forgotten, as in Metabase's own dump.
                let kind = h2::IdentityKind::ByDefault;
                h2::ValueSource::Identity(h2::Identity {
                    kind,
                    start: 1,
                    increment: 1,
                    next: 1,
                })
            }
            ValueSource::Identity { .. } => {
                self.notes.push(format!(
                    "{place}: its sequence is left out, it is no whole number"
                ));
                h2::ValueSource::None
            }
            ValueSource::Default(default) => match sql::default_to_h2(default, &column.data_type) {
                Ok(default) => h2::ValueSource::Default(default),
                Err(why) => {
                    let default = &default.text;
                    self.notes.push(format!(
                        "{place}: its default {default} is left out because of {why}"
                    ));
                    h2::ValueSource::None
                }
            },
            ValueSource::Generated(expression) => {
                let translated = sql::expression_to_h2(expression, table)
                    .and_then(|text| Ok((text, sql::program(expression, table)?)));
                let (text, program) = translated.map_err(|why| {
                    PortError::new(
                        ErrorKind::Unsupported,
                        format!(
                            "{place} is generated as {}, which cannot be carried to H2 because of {why}; \
                             leave the table out",
                            expression.text
                        ),
                    )
                })?;
                generated.push((position, program));
                h2::ValueSource::Generated(text)
            }
        };
        Ok(h2::ColumnDefinition {
            name,
            sql_type: chosen.sql_type,
            nullability: match column.nullability {
                Nullability::Nullable => h2::Nullability::Nullable,
                Nullability::NotNull => h2::Nullability::NotNull,
            },
            value_source,
            visibility: h2::Visibility::Visible,
            comment: column.comment.clone(),
        })
    }

    fn index(
        &mut self,
        table: &Table,
        index: &Index,
        columns: &[h2::ColumnDefinition],
    ) -> Option<h2::IndexDefinition> {
        let unique = match index.uniqueness {
            Uniqueness::Unique => "unique index",
            Uniqueness::NonUnique => "index",
        };
        let place = format!("{unique} {} of table {}", index.name.key(), table.name.key());
        let Some(parts) = plain_columns(index) else {
            let what = if index.predicate.is_some() {
                "over some rows only"
            } else {
                "over expressions"
            };
            self.notes
                .push(format!("{place} is left out: H2 has no indexes {what}"));
            return None;
        };
        let mut index_columns = Vec::with_capacity(parts.len());
        for (part, order) in parts {
            let name = h2_text::fold(part.as_str());
            match columns
                .iter()
                .find(|column| column.name == name)
                .map(|column| &column.sql_type)
            {
                None | Some(SqlType::Clob | SqlType::Blob | SqlType::Json) => {
                    self.notes.push(format!(
                        "{place} is left out: H2 indexes no large objects ({})",
                        part.key()
                    ));
                    return None;
                }
                Some(_) => index_columns.push(h2::IndexColumn {
                    name,
                    sort_type: match order {
                        IndexOrder::Ascending => ASCENDING_NULLS_FIRST,
                        IndexOrder::Descending => DESCENDING_NULLS_LAST,
                    },
                }),
            }
        }
        Some(h2::IndexDefinition {
            name: self.names.index(&index.name, table, &mut self.notes),
            uniqueness: match index.uniqueness {
                Uniqueness::NonUnique => h2::Uniqueness::NonUnique,
                Uniqueness::Unique => h2::Uniqueness::Unique,
            },
            columns: index_columns,
        })
    }

    fn foreign_keys(&mut self, table: &Table) -> Vec<h2::ForeignKey> {
        let fold = |names: &[Name]| names.iter().map(|name| h2_text::fold(name.as_str())).collect();
        let mut foreign_keys = Vec::with_capacity(table.foreign_keys.len());
        for foreign in &table.foreign_keys {
            let Some(parent) = self.catalogue.table(&foreign.parent_table.key()) else {
                self.notes.push(format!(
                    "foreign key {} of table {} is left out: table {} does not travel",
                    foreign.name.key(),
                    table.name.key(),
                    foreign.parent_table.key()
                ));
                continue;
            };
            foreign_keys.push(h2::ForeignKey {
                name: self.names.constraint(&foreign.name, table, &mut self.notes),
                columns: fold(&foreign.columns),
                parent_schema: PUBLIC.to_owned(),
                parent_table: h2_text::fold(parent.name.as_str()),
                parent_columns: fold(&foreign.parent_columns),
                on_delete: action(foreign.on_delete),
                on_update: action(foreign.on_update),
            });
        }
        foreign_keys
    }

    fn checks(&mut self, table: &Table) -> Vec<(String, String)> {
        let mut checks = Vec::with_capacity(table.checks.len());
        for check in &table.checks {
            match sql::expression_to_h2(&check.condition, table) {
                Ok(text) => {
                    checks.push((self.names.constraint(&check.name, table, &mut self.notes), text));
                }
                Err(why) => self.notes.push(format!(
                    "check {} of table {} is left out because of {why}",
                    check.name.key(),
                    table.name.key()
                )),
            }
        }
        checks
    }

    fn views(&mut self) -> Result<Vec<h2::ViewDefinition>, PortError> {
        let mut relations = Relations::of_tables(self.catalogue, sql::Words::H2);
        let mut views = Vec::with_capacity(self.catalogue.views.len());
        for view in &self.catalogue.views {
            let query = match sql::query_to_h2(&view.query, &relations) {
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
            views.push(h2::ViewDefinition {
                schema: PUBLIC.to_owned(),
                name: self.names.relation(&view.name)?,
                columns: view
                    .columns
                    .iter()
                    .map(|name| h2_text::fold(name.as_str()))
                    .collect(),
                query: query.text,
                comment: view.comment.clone(),
            });
        }
        Ok(views)
    }
}

/// Postgres calls a primary key `…_pkey` where nobody names it, and MySQL calls all of them `PRIMARY`; in Metabase's
/// schema on H2 the same keys are called `PK_…`, and later migrations may look for them.
fn primary_key_name(name: &Name, table: &Table) -> Name {
    if name.as_str() == "PRIMARY" {
        return Name::new(format!("pk_{}", table.name.key()));
    }
    match name.as_str().strip_suffix("_pkey") {
        Some(table) => Name::new(format!("pk_{table}")),
        None => name.clone(),
    }
}

/// Where nobody names a unique key MySQL calls it as its first column, which on H2 only one in the schema could be
/// called. Postgres' way of naming them is as good, and the same every time.
fn unique_key_name(key: &Key, table: &Table) -> Name {
    match key.columns.first() {
        Some(first) if first.key() == key.name.key() => {
            let columns: Vec<String> = key.columns.iter().map(Name::key).collect();
            Name::new(format!("{}_{}_key", table.name.key(), columns.join("_")))
        }
        Some(_) | None => key.name.clone(),
    }
}

fn is_whole(sql_type: &SqlType) -> bool {
    matches!(
        sql_type,
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Integer | SqlType::BigInt
    )
}

/// H2 makes RESTRICT of NO ACTION.
fn action(action: ReferentialAction) -> h2::ReferentialAction {
    match action {
        ReferentialAction::NoAction | ReferentialAction::Restrict => h2::ReferentialAction::Restrict,
        ReferentialAction::Cascade => h2::ReferentialAction::Cascade,
        ReferentialAction::SetNull => h2::ReferentialAction::SetNull,
        ReferentialAction::SetDefault => h2::ReferentialAction::SetDefault,
    }
}

#[cfg(test)]
mod tests;
