//! What a database holds, as every adapter describes it: tables, columns, keys, views. Expressions stay SQL
//! text marked with the dialect they are written in; translating them is the adapters' work.

mod without;

use std::fmt;

/// The SQL dialect of a text, and the kind of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
    /// H2.
    H2,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "Postgres",
            Self::MySql => "MySQL",
            Self::H2 => "H2",
        })
    }
}

/// An SQL expression or query and the dialect it is written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlText {
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// The text, without a closing semicolon.
    pub text: String,
}

/// A schema object's name as its database spells it. Compare by [`Name::key`]: databases differ in case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Takes a name as its database spells it.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The spelling of the database it came from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that names are compared, sorted and reported by: lower case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// A database as its catalogue describes it at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    /// Tables that hold rows, sorted by [`Name::key`].
    pub tables: Vec<Table>,
    /// Views, in an order in which each only uses tables and earlier views.
    pub views: Vec<View>,
}

impl Catalogue {
    /// The table of that name, in any case.
    #[must_use]
    pub fn table(&self, key: &str) -> Option<&Table> {
        let key = key.to_lowercase();
        self.tables.iter().find(|table| table.name.key() == key)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Schema, as the database spells it.
    pub schema: Name,
    /// Name.
    pub name: Name,
    /// Columns in declared order.
    pub columns: Vec<Column>,
    /// The primary key.
    pub primary_key: Option<Key>,
    /// Unique constraints.
    pub uniques: Vec<Key>,
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Check constraints.
    pub checks: Vec<Check>,
    /// Indexes that no constraint owns.
    pub indexes: Vec<Index>,
    /// Comment.
    pub comment: Option<String>,
    /// Rows, as the database estimates them; for progress only.
    pub rows_estimate: u64,
    /// Bytes on disk, as the database estimates them; for progress only.
    pub bytes_estimate: u64,
}

impl Table {
    /// The column of that name, in any case.
    #[must_use]
    pub fn column(&self, key: &str) -> Option<&Column> {
        let key = key.to_lowercase();
        self.columns.iter().find(|column| column.name.key() == key)
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Name.
    pub name: Name,
    /// Type, in the words that all databases share.
    pub data_type: DataType,
    /// The database's own spelling of the type, for messages.
    pub native_type: String,
    /// May it hold NULL?
    pub nullability: Nullability,
    /// Where a value comes from when none is given.
    pub value_source: ValueSource,
    /// Comment.
    pub comment: Option<String>,
}

impl Column {
    /// Computed by the database, never copied.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        matches!(self.value_source, ValueSource::Generated(_))
    }
}

/// Whether NULL is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nullability {
    /// NULL is allowed.
    Nullable,
    /// NOT NULL.
    NotNull,
}

/// Where a column's value comes from when an insert gives none.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueSource {
    /// NULL.
    None,
    /// A default expression.
    Default(SqlText),
    /// Generated always from other columns.
    Generated(SqlText),
    /// Identity column or a sequence's next value.
    Identity {
        /// The value that the next insert gets, where the catalogue tells.
        next: Option<i64>,
    },
}

/// A column type in the words that all databases share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataType {
    /// True or false.
    Boolean,
    /// 16 bits.
    SmallInt,
    /// 32 bits.
    Integer,
    /// 64 bits.
    BigInt,
    /// IEEE single.
    Real,
    /// IEEE double.
    Double,
    /// Exact number; `None` where the database declares no bounds.
    Decimal(Option<DecimalBounds>),
    /// Text of one length, padded with blanks.
    Char(u32),
    /// Text up to a length, if one is declared, in characters.
    Varchar(Option<u32>),
    /// Text compared without regard to case.
    VarcharIgnoreCase(Option<u32>),
    /// Text of any length.
    Text,
    /// Bytes of one length.
    Binary(u32),
    /// Bytes of any length.
    Blob,
    /// A day.
    Date,
    /// A time of day without zone.
    Time,
    /// A time of day with its offset.
    TimeTz,
    /// Wall-clock date and time without zone.
    Timestamp,
    /// An instant.
    TimestampTz,
    /// 128-bit identifier.
    Uuid,
    /// JSON text.
    Json,
    /// A type that no shared word fits: travels as its database's text form.
    Other,
}

/// Bounds of an exact number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalBounds {
    /// Digits in all.
    pub precision: u32,
    /// Digits after the point.
    pub scale: u32,
}

/// A primary key or unique constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Constraint name.
    pub name: Name,
    /// Columns in key order.
    pub columns: Vec<Name>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// Constraint name.
    pub name: Name,
    /// Referencing columns.
    pub columns: Vec<Name>,
    /// Referenced table (same schema as the referencing one unless the database says otherwise).
    pub parent_table: Name,
    /// Referenced columns.
    pub parent_columns: Vec<Name>,
    /// ON DELETE.
    pub on_delete: ReferentialAction,
    /// ON UPDATE.
    pub on_update: ReferentialAction,
}

/// What happens to children when the parent row goes or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferentialAction {
    /// NO ACTION.
    NoAction,
    /// RESTRICT.
    Restrict,
    /// CASCADE.
    Cascade,
    /// SET NULL.
    SetNull,
    /// SET DEFAULT.
    SetDefault,
}

/// A check constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Constraint name.
    pub name: Name,
    /// The condition.
    pub condition: SqlText,
}

/// An index that no constraint owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Name.
    pub name: Name,
    /// Does it refuse duplicates?
    pub uniqueness: Uniqueness,
    /// What it is over, in order.
    pub parts: Vec<IndexPart>,
    /// WHERE of a partial index.
    pub predicate: Option<SqlText>,
}

/// Whether an index refuses duplicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// Duplicates allowed.
    NonUnique,
    /// Duplicates refused.
    Unique,
}

/// One column or expression of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexPart {
    /// A column.
    Column {
        /// Its name.
        name: Name,
        /// Its order.
        order: IndexOrder,
    },
    /// An expression.
    Expression(SqlText),
}

/// Order of an index column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOrder {
    /// Ascending.
    Ascending,
    /// Descending.
    Descending,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Schema.
    pub schema: Name,
    /// Name.
    pub name: Name,
    /// Column names.
    pub columns: Vec<Name>,
    /// The query.
    pub query: SqlText,
    /// Comment.
    pub comment: Option<String>,
}
