//! Writing tables down: a column a line, everything named as Postgres would name it.

use metaferry_domain::schema::{
    Check, Column, DataType, DecimalBounds, Dialect, ForeignKey, Index, IndexOrder, IndexPart, Key, Name,
    Nullability, ReferentialAction, SqlText, Table, Uniqueness, ValueSource,
};

use crate::random::Random;
use crate::sizes::Sizes;
use crate::value::Value;

/// Makes the row of that number, counted from 0, one value per column.
pub(crate) type RowMaker = fn(&Sizes, &mut Random, u64) -> Vec<Value>;

/// A table and its rows.
#[derive(Debug, Clone)]
pub(crate) struct SampleTable {
    pub(crate) table: Table,
    pub(crate) rows: u64,
    pub(crate) maker: RowMaker,
}

/// A column's type: the shared word, and Postgres's.
#[derive(Debug, Clone)]
pub(crate) struct Type(DataType, String);

fn plain(data_type: DataType, native: &str) -> Type {
    Type(data_type, native.to_owned())
}

pub(crate) fn boolean() -> Type {
    plain(DataType::Boolean, "boolean")
}

pub(crate) fn smallint() -> Type {
    plain(DataType::SmallInt, "smallint")
}

pub(crate) fn integer() -> Type {
    plain(DataType::Integer, "integer")
}

pub(crate) fn bigint() -> Type {
    plain(DataType::BigInt, "bigint")
}

pub(crate) fn double() -> Type {
    plain(DataType::Double, "double precision")
}

pub(crate) fn decimal(precision: u32, scale: u32) -> Type {
    Type(
        DataType::Decimal(Some(DecimalBounds { precision, scale })),
        format!("numeric({precision},{scale})"),
    )
}

pub(crate) fn text() -> Type {
    plain(DataType::Text, "text")
}

pub(crate) fn varchar(length: u32) -> Type {
    Type(
        DataType::Varchar(Some(length)),
        format!("character varying({length})"),
    )
}

pub(crate) fn char(length: u32) -> Type {
    Type(DataType::Char(length), format!("character({length})"))
}

pub(crate) fn citext() -> Type {
    plain(DataType::VarcharIgnoreCase(None), "citext")
}

pub(crate) fn bytea() -> Type {
    plain(DataType::Blob, "bytea")
}

pub(crate) fn timestamptz() -> Type {
    plain(DataType::TimestampTz, "timestamp with time zone")
}

pub(crate) fn timestamp() -> Type {
    plain(DataType::Timestamp, "timestamp without time zone")
}

/// An expression in Postgres's SQL.
pub(crate) fn sql(text: &str) -> SqlText {
    SqlText {
        dialect: Dialect::Postgres,
        text: text.to_owned(),
    }
}

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| Name::new(*name)).collect()
}

/// A table being written down.
#[derive(Debug)]
pub(crate) struct Draft(Table);

impl Draft {
    pub(crate) fn new(name: &str) -> Self {
        Self(Table {
            schema: Name::new("public"),
            name: Name::new(name),
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            indexes: Vec::new(),
            comment: None,
            rows_estimate: 0,
            bytes_estimate: 0,
        })
    }

    /// An identity column `id`, the primary key; the next insert gets `next`.
    pub(crate) fn id(self, next: u64) -> Self {
        self.identity("id", next).primary_key(&["id"])
    }

    /// An identity column; the next insert gets `next`.
    pub(crate) fn identity(self, name: &str, next: u64) -> Self {
        let next = i64::try_from(next).ok();
        self.column(
            name,
            integer(),
            Nullability::NotNull,
            ValueSource::Identity { next },
        )
    }

    fn column(mut self, name: &str, of: Type, nullability: Nullability, value_source: ValueSource) -> Self {
        let Type(data_type, native_type) = of;
        self.0.columns.push(Column {
            name: Name::new(name),
            data_type,
            native_type,
            nullability,
            value_source,
            comment: None,
        });
        self
    }

    pub(crate) fn not_null(self, name: &str, of: Type) -> Self {
        self.column(name, of, Nullability::NotNull, ValueSource::None)
    }

    pub(crate) fn nullable(self, name: &str, of: Type) -> Self {
        self.column(name, of, Nullability::Nullable, ValueSource::None)
    }

    /// NOT NULL, with a default in Postgres's SQL.
    pub(crate) fn default(self, name: &str, of: Type, default: &str) -> Self {
        self.column(name, of, Nullability::NotNull, ValueSource::Default(sql(default)))
    }

    pub(crate) fn generated(self, name: &str, of: Type, expression: &str) -> Self {
        self.column(
            name,
            of,
            Nullability::Nullable,
            ValueSource::Generated(sql(expression)),
        )
    }

    pub(crate) fn primary_key(mut self, columns: &[&str]) -> Self {
        let name = Name::new(format!("{}_pkey", self.0.name));
        self.0.primary_key = Some(Key {
            name,
            columns: names(columns),
        });
        self
    }

    pub(crate) fn unique(mut self, columns: &[&str]) -> Self {
        let name = Name::new(format!("uniq_{}_{}", self.0.name, columns.join("_")));
        self.0.uniques.push(Key {
            name,
            columns: names(columns),
        });
        self
    }

    pub(crate) fn index(self, columns: &[&str]) -> Self {
        self.indexed(columns, Uniqueness::NonUnique, IndexOrder::Ascending)
    }

    pub(crate) fn index_descending(self, columns: &[&str]) -> Self {
        self.indexed(columns, Uniqueness::NonUnique, IndexOrder::Descending)
    }

    pub(crate) fn unique_index(self, columns: &[&str]) -> Self {
        self.indexed(columns, Uniqueness::Unique, IndexOrder::Ascending)
    }

    fn indexed(mut self, columns: &[&str], uniqueness: Uniqueness, order: IndexOrder) -> Self {
        let name = Name::new(format!("idx_{}_{}", self.0.name, columns.join("_")));
        let parts = names(columns)
            .into_iter()
            .map(|name| IndexPart::Column { name, order })
            .collect();
        self.0.indexes.push(Index {
            name,
            uniqueness,
            parts,
            predicate: None,
        });
        self
    }

    /// Refers to the parent's `id`.
    pub(crate) fn refers(self, column: &str, parent: &str, on_delete: ReferentialAction) -> Self {
        self.foreign_key(&[column], parent, &["id"], on_delete)
    }

    pub(crate) fn foreign_key(
        mut self,
        columns: &[&str],
        parent: &str,
        parent_columns: &[&str],
        on_delete: ReferentialAction,
    ) -> Self {
        self.0.foreign_keys.push(ForeignKey {
            name: Name::new(format!("fk_{}_{}", self.0.name, columns[columns.len() - 1])),
            columns: names(columns),
            parent_table: Name::new(parent),
            parent_columns: names(parent_columns),
            on_delete,
            on_update: ReferentialAction::NoAction,
        });
        self
    }

    pub(crate) fn check(mut self, name: &str, condition: &str) -> Self {
        self.0.checks.push(Check {
            name: Name::new(name),
            condition: sql(condition),
        });
        self
    }

    pub(crate) fn comment(mut self, comment: &str) -> Self {
        self.0.comment = Some(comment.to_owned());
        self
    }

    /// Ends the table with as many rows, made by `maker`.
    pub(crate) fn rows(mut self, rows: u64, maker: RowMaker) -> SampleTable {
        self.0.rows_estimate = rows;
        self.0.bytes_estimate = rows.saturating_mul(ROW_BYTES_GUESS);
        self.0.uniques.sort_by_key(|key| key.name.key());
        self.0.foreign_keys.sort_by_key(|key| key.name.key());
        self.0.indexes.sort_by_key(|index| index.name.key());
        SampleTable {
            table: self.0,
            rows,
            maker,
        }
    }
}

/// For progress only.
const ROW_BYTES_GUESS: u64 = 300;
