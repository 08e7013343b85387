//! Definitions in a few words.

use metaferry_h2_file::SqlType;
use metaferry_h2_file::definition::{
    ColumnDefinition, ForeignKey, Identity, IdentityKind, IndexColumn, IndexDefinition, Nullability,
    PrimaryKey, ReferentialAction, TableDefinition, UniqueConstraint, Uniqueness, ValueSource, Visibility,
};

/// An empty table in PUBLIC.
pub(crate) fn table(name: &str) -> TableDefinition {
    TableDefinition {
        schema: "PUBLIC".to_owned(),
        name: name.to_owned(),
        columns: Vec::new(),
        primary_key: None,
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
        comment: None,
    }
}

/// A nullable column.
pub(crate) fn column(name: &str, sql_type: SqlType) -> ColumnDefinition {
    ColumnDefinition {
        name: name.to_owned(),
        sql_type,
        nullability: Nullability::Nullable,
        value_source: ValueSource::None,
        visibility: Visibility::Visible,
        comment: None,
    }
}

/// A NOT NULL column.
pub(crate) fn required(name: &str, sql_type: SqlType) -> ColumnDefinition {
    ColumnDefinition {
        nullability: Nullability::NotNull,
        ..column(name, sql_type)
    }
}

/// An identity column.
pub(crate) fn identity(name: &str, sql_type: SqlType) -> ColumnDefinition {
    let identity = Identity {
        kind: IdentityKind::ByDefault,
        start: 1,
        increment: 1,
        next: 1,
    };
    ColumnDefinition {
        value_source: ValueSource::Identity(identity),
        ..required(name, sql_type)
    }
}

/// A table `name` with an identity `ID` as its primary key.
pub(crate) fn keyed(name: &str, columns: Vec<ColumnDefinition>) -> TableDefinition {
    let mut table = table(name);
    table.columns.push(identity("ID", SqlType::Integer));
    table.columns.extend(columns);
    table.primary_key = Some(primary_key(&format!("PK_{name}"), &["ID"]));
    table
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// A primary key.
pub(crate) fn primary_key(name: &str, columns: &[&str]) -> PrimaryKey {
    PrimaryKey {
        name: name.to_owned(),
        columns: names(columns),
    }
}

/// A unique constraint.
pub(crate) fn unique(name: &str, columns: &[&str]) -> UniqueConstraint {
    UniqueConstraint {
        name: name.to_owned(),
        columns: names(columns),
    }
}

/// A foreign key to the `ID` of a table in PUBLIC.
pub(crate) fn foreign_key(
    name: &str,
    column: &str,
    parent: &str,
    on_delete: ReferentialAction,
) -> ForeignKey {
    ForeignKey {
        name: name.to_owned(),
        columns: names(&[column]),
        parent_schema: "PUBLIC".to_owned(),
        parent_table: parent.to_owned(),
        parent_columns: names(&["ID"]),
        on_delete,
        on_update: ReferentialAction::Restrict,
    }
}

/// An index of columns with their sort types.
pub(crate) fn index(name: &str, uniqueness: Uniqueness, columns: &[(&str, u8)]) -> IndexDefinition {
    let columns = columns
        .iter()
        .map(|&(name, sort_type)| IndexColumn {
            name: name.to_owned(),
            sort_type,
        })
        .collect();
    IndexDefinition {
        name: name.to_owned(),
        uniqueness,
        columns,
    }
}
