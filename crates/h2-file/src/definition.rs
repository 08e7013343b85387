//! What a database holds, as the catalogue says it: the same structures for a file that is read and one that
//! is written. SQL expressions (defaults, checks, generated columns, view queries) stay H2 SQL text.

use crate::SqlType;

/// Everything in a database apart from its rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Definition {
    /// Schemas other than PUBLIC and `INFORMATION_SCHEMA`.
    pub schemas: Vec<String>,
    /// Tables that hold rows.
    pub tables: Vec<TableDefinition>,
    /// Views.
    pub views: Vec<ViewDefinition>,
    /// Sequences that belong to no identity column.
    pub sequences: Vec<SequenceDefinition>,
    /// Catalogue rows that have no structure here (domains, aliases, roles, rights, triggers, …): H2's own text.
    pub other: Vec<String>,
}

/// A table. Names are kept exactly as the catalogue spells them, unquoted.
#[derive(Debug, Clone, PartialEq)]
pub struct TableDefinition {
    /// Schema, usually PUBLIC.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Columns in stored order, INVISIBLE and generated ones included.
    pub columns: Vec<ColumnDefinition>,
    /// The primary key.
    pub primary_key: Option<PrimaryKey>,
    /// Unique constraints.
    pub uniques: Vec<UniqueConstraint>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Check constraints: name and H2 SQL expression.
    pub checks: Vec<(String, String)>,
    /// Indexes made by CREATE INDEX (not those that a constraint owns).
    pub indexes: Vec<IndexDefinition>,
    /// COMMENT text.
    pub comment: Option<String>,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDefinition {
    /// Name.
    pub name: String,
    /// Type, domains resolved.
    pub sql_type: SqlType,
    /// May it hold NULL?
    pub nullability: Nullability,
    /// Where a value comes from when none is given.
    pub value_source: ValueSource,
    /// Hidden from `SELECT *`?
    pub visibility: Visibility,
    /// COMMENT text.
    pub comment: Option<String>,
}

/// Whether NULL is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nullability {
    /// NULL is allowed.
    Nullable,
    /// NOT NULL.
    NotNull,
}

/// Whether `SELECT *` shows a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// An ordinary column.
    Visible,
    /// INVISIBLE.
    Invisible,
}

/// Where a column's value comes from when an INSERT gives none.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueSource {
    /// NULL.
    None,
    /// DEFAULT expression, H2 SQL.
    Default(String),
    /// GENERATED ALWAYS AS (expression), H2 SQL. The value is stored like any other.
    Generated(String),
    /// GENERATED … AS IDENTITY.
    Identity(Identity),
}

/// An identity column's generator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// ALWAYS or BY DEFAULT.
    pub kind: IdentityKind,
    /// START WITH.
    pub start: i64,
    /// INCREMENT BY.
    pub increment: i64,
    /// The value that the next insert gets. A writer raises it above the highest value written.
    pub next: i64,
}

/// GENERATED ALWAYS or BY DEFAULT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// ALWAYS.
    Always,
    /// BY DEFAULT.
    ByDefault,
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryKey {
    /// Constraint name.
    pub name: String,
    /// Column names in key order.
    pub columns: Vec<String>,
}

/// A unique constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueConstraint {
    /// Constraint name.
    pub name: String,
    /// Column names.
    pub columns: Vec<String>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Constraint name.
    pub name: String,
    /// Referencing columns.
    pub columns: Vec<String>,
    /// Referenced schema.
    pub parent_schema: String,
    /// Referenced table.
    pub parent_table: String,
    /// Referenced columns.
    pub parent_columns: Vec<String>,
    /// ON DELETE.
    pub on_delete: ReferentialAction,
    /// ON UPDATE.
    pub on_update: ReferentialAction,
}

/// What happens to children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferentialAction {
    /// RESTRICT, which is also what H2 makes of NO ACTION.
    Restrict,
    /// CASCADE.
    Cascade,
    /// SET NULL.
    SetNull,
    /// SET DEFAULT.
    SetDefault,
}

/// An index made by CREATE INDEX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexDefinition {
    /// Schema-wide name.
    pub name: String,
    /// Unique?
    pub uniqueness: Uniqueness,
    /// Columns in index order.
    pub columns: Vec<IndexColumn>,
}

/// Whether an index refuses duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Duplicates allowed.
    NonUnique,
    /// Duplicates refused.
    Unique,
}

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexColumn {
    /// Column name.
    pub name: String,
    /// H2's sort type bits: 1 DESC, 2 NULLS FIRST, 4 NULLS LAST. Ascending default is 2, descending default 5.
    pub sort_type: u8,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewDefinition {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// Column names as listed; empty if none are.
    pub columns: Vec<String>,
    /// The query, H2 SQL.
    pub query: String,
    /// COMMENT text.
    pub comment: Option<String>,
}

/// A free-standing sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceDefinition {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// START WITH.
    pub start: i64,
    /// INCREMENT BY.
    pub increment: i64,
    /// The next value.
    pub next: i64,
}
