//! The rows of the catalogue, `table.0`: one SQL text per object, in H2's own form.

use super::plan::{DatabasePlan, IndexKind, IndexPlan, Owner, TablePlan};
use super::sql_text::{column_list, identifier, literal, qualified, type_name};
use crate::SqlType;
use crate::definition::{
    ColumnDefinition, Definition, ForeignKey, Identity, IdentityKind, Nullability, ReferentialAction,
    TableDefinition, ValueSource, Visibility,
};

/// A row of the catalogue.
#[derive(Debug)]
pub(crate) struct CatalogueRow {
    pub(crate) id: u32,
    pub(crate) object_type: i32,
    pub(crate) sql: String,
}

/// Ids that come before those of the plan: the setting and the user.
pub(crate) const FIRST_PLANNED_ID: u32 = 3;

const INDEX: i32 = 1;
const TABLE_OR_VIEW: i32 = 0;
const USER: i32 = 2;
const SEQUENCE: i32 = 3;
const CONSTRAINT: i32 = 5;
const SETTING: i32 = 6;
const SCHEMA: i32 = 10;

/// All rows, by id. `next_identity` gives the next value of a table's generator.
pub(crate) fn rows(
    definition: &Definition,
    plan: &DatabasePlan,
    user: &UserRow<'_>,
    next_identity: impl Fn(usize, &Identity) -> i64,
) -> Vec<CatalogueRow> {
    let mut rows = vec![
        CatalogueRow {
            id: 1,
            object_type: SETTING,
            sql: "SET CREATE_BUILD 214".to_owned(),
        },
        CatalogueRow {
            id: 2,
            object_type: USER,
            sql: user.sql(),
        },
    ];
    for (position, (table, planned)) in definition.tables.iter().zip(&plan.tables).enumerate() {
        if let Some(identity) = &planned.identity {
            let column = &table.columns[identity.column];
            if let ValueSource::Identity(generator) = &column.value_source {
                let next = next_identity(position, generator);
                let sql =
                    identity_sequence(table, &identity.sequence_name, &column.sql_type, generator, next);
                rows.push(CatalogueRow {
                    id: identity.sequence_id,
                    object_type: SEQUENCE,
                    sql,
                });
            }
        }
        rows.push(CatalogueRow {
            id: planned.id,
            object_type: TABLE_OR_VIEW,
            sql: create_table(table, planned),
        });
        for index in &planned.indexes {
            rows.push(CatalogueRow {
                id: index.id,
                object_type: INDEX,
                sql: create_index(table, index),
            });
        }
    }
    let mut next_id = plan.next_id;
    let mut add = |object_type, sql| {
        rows.push(CatalogueRow {
            id: next_id,
            object_type,
            sql,
        });
        next_id += 1;
    };
    for schema in &definition.schemas {
        let sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}",
            identifier(schema),
            identifier(user.name)
        );
        add(SCHEMA, sql);
    }
    for sequence in &definition.sequences {
        let name = qualified(&sequence.schema, &sequence.name);
        let options = sequence_options(sequence.start, sequence.increment, sequence.next);
        add(SEQUENCE, format!("CREATE SEQUENCE {name}{options}"));
    }
    for (table, planned) in definition.tables.iter().zip(&plan.tables) {
        for sql in constraints(table, planned) {
            add(CONSTRAINT, sql);
        }
    }
    for view in &definition.views {
        let name = qualified(&view.schema, &view.name);
        let comment = comment(view.comment.as_ref());
        let columns = if view.columns.is_empty() {
            String::new()
        } else {
            column_list(&view.columns)
        };
        add(
            TABLE_OR_VIEW,
            format!("CREATE FORCE VIEW {name}{comment}{columns} AS\n{}", view.query),
        );
    }
    for sql in &definition.other {
        add(type_of(sql), sql.clone());
    }
    rows.sort_by_key(|row| row.id);
    rows
}

/// The user that the file lets in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) salt: &'a str,
    pub(crate) hash: &'a str,
}

impl UserRow<'_> {
    fn sql(&self) -> String {
        let name = identifier(self.name);
        format!(
            "CREATE USER IF NOT EXISTS {name} SALT '{}' HASH '{}' ADMIN",
            self.salt, self.hash
        )
    }
}

/// The kind of an object that is known by its text only.
fn type_of(sql: &str) -> i32 {
    let starts = |prefix: &str| {
        sql.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let kinds: [(&str, i32); 18] = [
        ("SET ", SETTING),
        ("CREATE USER", USER),
        ("CREATE SEQUENCE", SEQUENCE),
        ("CREATE TRIGGER", 4),
        ("CREATE FORCE TRIGGER", 4),
        ("ALTER ", CONSTRAINT),
        ("CREATE ROLE", 7),
        ("GRANT", 8),
        ("CREATE ALIAS", 9),
        ("CREATE FORCE ALIAS", 9),
        ("CREATE SCHEMA", SCHEMA),
        ("CREATE CONSTANT", 11),
        ("CREATE DOMAIN", 12),
        ("COMMENT", 13),
        ("CREATE AGGREGATE", 14),
        ("CREATE FORCE AGGREGATE", 14),
        ("CREATE SYNONYM", 15),
        ("CREATE OR REPLACE SYNONYM", 15),
    ];
    kinds
        .iter()
        .find(|(prefix, _)| starts(prefix))
        .map_or(TABLE_OR_VIEW, |(_, kind)| *kind)
}

fn comment(text: Option<&String>) -> String {
    text.map(|text| format!(" COMMENT {}", literal(text)))
        .unwrap_or_default()
}

fn create_table(table: &TableDefinition, plan: &TablePlan) -> String {
    let name = qualified(&table.schema, &table.name);
    let columns: Vec<String> = table
        .columns
        .iter()
        .zip(&plan.columns)
        .map(|(column, planned)| column_sql(table, plan, column, planned.nullability))
        .collect();
    format!(
        "CREATE CACHED TABLE {name}{}(\n    {}\n)",
        comment(table.comment.as_ref()),
        columns.join(",\n    ")
    )
}

fn column_sql(
    table: &TableDefinition,
    plan: &TablePlan,
    column: &ColumnDefinition,
    nullability: Nullability,
) -> String {
    let mut sql = format!("{} {}", identifier(&column.name), type_name(&column.sql_type));
    if column.visibility == Visibility::Invisible {
        // H2 itself writes a space too many here.
        sql.push_str(" INVISIBLE ");
    }
    match &column.value_source {
        ValueSource::None => {}
        ValueSource::Default(expression) => sql.push_str(&format!(" DEFAULT {expression}")),
        ValueSource::Generated(expression) => sql.push_str(&format!(" GENERATED ALWAYS AS ({expression})")),
        ValueSource::Identity(identity) => {
            sql.push_str(match identity.kind {
                IdentityKind::Always => " GENERATED ALWAYS AS IDENTITY",
                IdentityKind::ByDefault => " GENERATED BY DEFAULT AS IDENTITY",
            });
            if let Some(planned) = &plan.identity {
                sql.push_str(&format!(
                    " SEQUENCE {}",
                    qualified(&table.schema, &planned.sequence_name)
                ));
            }
        }
    }
    sql.push_str(&comment(column.comment.as_ref()));
    if nullability == Nullability::NotNull {
        sql.push_str(" NOT NULL");
    }
    sql
}

fn identity_sequence(
    table: &TableDefinition,
    name: &str,
    sql_type: &SqlType,
    identity: &Identity,
    next: i64,
) -> String {
    let of_type = match sql_type {
        SqlType::BigInt => String::new(),
        other => format!(" AS {}", type_name(other)),
    };
    let options = sequence_options(identity.start, identity.increment, next);
    format!(
        "CREATE SEQUENCE {}{of_type}{options} BELONGS_TO_TABLE",
        qualified(&table.schema, name)
    )
}

fn sequence_options(start: i64, increment: i64, next: i64) -> String {
    let mut sql = format!(" START WITH {start}");
    if next != start {
        sql.push_str(&format!(" RESTART WITH {next}"));
    }
    if increment != 1 {
        sql.push_str(&format!(" INCREMENT BY {increment}"));
    }
    sql
}

fn create_index(table: &TableDefinition, index: &IndexPlan) -> String {
    let kind = match index.kind {
        IndexKind::PrimaryKey => "PRIMARY KEY",
        IndexKind::Unique => "UNIQUE INDEX",
        IndexKind::Plain => "INDEX",
    };
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|one| {
            format!(
                "{}{}",
                identifier(&table.columns[one.column].name),
                order(one.sort_type)
            )
        })
        .collect();
    let name = qualified(&table.schema, &index.name);
    format!(
        "CREATE {kind} {name} ON {}({})",
        qualified(&table.schema, &table.name),
        columns.join(", ")
    )
}

fn order(sort_type: u8) -> &'static str {
    match sort_type & 7 {
        0 => "",
        1 => " DESC",
        2 => " NULLS FIRST",
        3 => " DESC NULLS FIRST",
        4 => " NULLS LAST",
        _ => " DESC NULLS LAST",
    }
}

fn constraints(table: &TableDefinition, plan: &TablePlan) -> Vec<String> {
    let alter = |name: &str| {
        let table_name = qualified(&table.schema, &table.name);
        format!(
            "ALTER TABLE {table_name} ADD CONSTRAINT {}",
            qualified(&table.schema, name)
        )
    };
    let own_index = |owner: Owner| {
        let index = plan.indexes.iter().find(|index| index.owner == Some(owner));
        index
            .map(|index| format!(" INDEX {}", qualified(&table.schema, &index.name)))
            .unwrap_or_default()
    };
    let mut rows = Vec::new();
    if let Some(key) = &table.primary_key {
        let index = own_index(Owner::PrimaryKey);
        rows.push(format!(
            "{} PRIMARY KEY{}{index}",
            alter(&key.name),
            column_list(&key.columns)
        ));
    }
    for (position, unique) in table.uniques.iter().enumerate() {
        let index = own_index(Owner::Unique(position));
        rows.push(format!(
            "{} UNIQUE{}{index}",
            alter(&unique.name),
            column_list(&unique.columns)
        ));
    }
    for (name, expression) in &table.checks {
        rows.push(format!("{} CHECK({expression}) NOCHECK", alter(name)));
    }
    for (position, key) in table.foreign_keys.iter().enumerate() {
        let index = own_index(Owner::ForeignKey(position));
        rows.push(format!("{} {}", alter(&key.name), foreign_key(key, &index)));
    }
    rows
}

fn foreign_key(key: &ForeignKey, index: &str) -> String {
    let action = |event: &str, action| match action {
        ReferentialAction::Restrict => String::new(),
        ReferentialAction::Cascade => format!(" ON {event} CASCADE"),
        ReferentialAction::SetNull => format!(" ON {event} SET NULL"),
        ReferentialAction::SetDefault => format!(" ON {event} SET DEFAULT"),
    };
    format!(
        "FOREIGN KEY{}{index} REFERENCES {}{}{}{} NOCHECK",
        column_list(&key.columns),
        qualified(&key.parent_schema, &key.parent_table),
        column_list(&key.parent_columns),
        action("DELETE", key.on_delete),
        action("UPDATE", key.on_update)
    )
}
