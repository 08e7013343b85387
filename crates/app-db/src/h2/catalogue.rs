//! What an H2 file says of itself, in the domain's words. Expressions stay H2's SQL.

use metaferry_domain::schema::{
    Catalogue, Check, Column, Dialect, ForeignKey, Index, IndexOrder, IndexPart, Key, Name, Nullability,
    ReferentialAction, SqlText, Table, Uniqueness, ValueSource, View,
};
use metaferry_h2_file::definition as h2;

use super::types;
use crate::sql::h2_text;

/// H2's bit for a descending index column.
const DESCENDING: u8 = 1;

/// The catalogue of a definition, and for each of its tables the position in the definition.
pub(super) fn of(definition: &h2::Definition) -> (Catalogue, Vec<usize>) {
    let mut tables: Vec<(usize, Table)> = definition.tables.iter().map(table).enumerate().collect();
    tables.sort_by_cached_key(|(_, table)| (table.name.key(), table.schema.key()));
    let (positions, tables) = tables.into_iter().unzip();
    let views = in_order_of_use(&definition.views).into_iter().map(view).collect();
    (Catalogue { tables, views }, positions)
}

fn sql(text: &str) -> SqlText {
    SqlText {
        dialect: Dialect::H2,
        text: text.to_owned(),
    }
}

fn names(names: &[String]) -> Vec<Name> {
    names.iter().map(Name::new).collect()
}

fn table(table: &h2::TableDefinition) -> Table {
    Table {
        schema: Name::new(&table.schema),
        name: Name::new(&table.name),
        columns: table.columns.iter().map(column).collect(),
        primary_key: table.primary_key.as_ref().map(|key| Key {
            name: Name::new(&key.name),
            columns: names(&key.columns),
        }),
        uniques: table
            .uniques
            .iter()
            .map(|key| Key {
                name: Name::new(&key.name),
                columns: names(&key.columns),
            })
            .collect(),
        foreign_keys: table
            .foreign_keys
            .iter()
            .map(|key| ForeignKey {
                name: Name::new(&key.name),
                columns: names(&key.columns),
                parent_table: Name::new(&key.parent_table),
                parent_columns: names(&key.parent_columns),
                on_delete: action(key.on_delete),
                on_update: action(key.on_update),
            })
            .collect(),
        checks: table
            .checks
            .iter()
            .map(|(name, condition)| Check {
                name: Name::new(name),
                condition: sql(condition),
            })
            .collect(),
        indexes: table.indexes.iter().map(index).collect(),
        comment: table.comment.clone(),
        // A file keeps no estimates; counting exactly takes reading all pages.
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

fn column(column: &h2::ColumnDefinition) -> Column {
    Column {
        name: Name::new(&column.name),
        data_type: types::from_h2(&column.sql_type),
        native_type: types::spelled(&column.sql_type),
        nullability: match column.nullability {
            h2::Nullability::Nullable => Nullability::Nullable,
            h2::Nullability::NotNull => Nullability::NotNull,
        },
        value_source: match &column.value_source {
            h2::ValueSource::None => ValueSource::None,
            h2::ValueSource::Default(default) => ValueSource::Default(sql(default)),
            h2::ValueSource::Generated(expression) => ValueSource::Generated(sql(expression)),
            h2::ValueSource::Identity(identity) => ValueSource::Identity {
                next: Some(identity.next),
            },
        },
        comment: column.comment.clone(),
    }
}

fn index(index: &h2::IndexDefinition) -> Index {
    Index {
        name: Name::new(&index.name),
        uniqueness: match index.uniqueness {
            h2::Uniqueness::NonUnique => Uniqueness::NonUnique,
            h2::Uniqueness::Unique => Uniqueness::Unique,
        },
        parts: index
            .columns
            .iter()
            .map(|column| IndexPart::Column {
                name: Name::new(&column.name),
                order: match column.sort_type & DESCENDING {
                    0 => IndexOrder::Ascending,
                    _ => IndexOrder::Descending,
                },
            })
            .collect(),
        predicate: None,
    }
}

fn action(action: h2::ReferentialAction) -> ReferentialAction {
    match action {
        h2::ReferentialAction::Restrict => ReferentialAction::Restrict,
        h2::ReferentialAction::Cascade => ReferentialAction::Cascade,
        h2::ReferentialAction::SetNull => ReferentialAction::SetNull,
        h2::ReferentialAction::SetDefault => ReferentialAction::SetDefault,
    }
}

fn view(view: &h2::ViewDefinition) -> View {
    View {
        schema: Name::new(&view.schema),
        name: Name::new(&view.name),
        columns: names(&view.columns),
        query: sql(&view.query),
        comment: view.comment.clone(),
    }
}

/// Views so that each comes after those it names. H2 spells names quoted and with their schema in a view's
/// query, and its ids need not follow use.
fn in_order_of_use(views: &[h2::ViewDefinition]) -> Vec<&h2::ViewDefinition> {
    let full = |view: &h2::ViewDefinition| {
        format!(
            "{}.{}",
            h2_text::identifier(&view.schema),
            h2_text::identifier(&view.name)
        )
    };
    let mut waiting: Vec<(&h2::ViewDefinition, String)> =
        views.iter().map(|view| (view, full(view))).collect();
    let mut ordered = Vec::with_capacity(views.len());
    while !waiting.is_empty() {
        let free = waiting.iter().position(|(view, own)| {
            waiting
                .iter()
                .all(|(_, other)| other == own || !view.query.contains(other.as_str()))
        });
        // Views cannot use each other in a ring; should the texts look like it, their order stays.
        ordered.push(waiting.remove(free.unwrap_or(0)).0);
    }
    ordered
}
