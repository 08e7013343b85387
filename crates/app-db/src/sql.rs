//! SQL of one database said in the SQL of another: expressions and view queries.
//!
//! A text is parsed, its names are resolved against the catalogue, every operator is looked at with the types of
//! its operands, and only what means exactly the same in the target's dialect is printed. Whatever is not known
//! to mean the same is refused ([`Untranslatable`]); what becomes of a refusal (a note, an error) is the
//! caller's decision. Postgres and MySQL to H2, H2 and MySQL to Postgres, H2 and Postgres to MySQL. Which tables exist and how types map
//! is the business of whoever writes a schema.

mod evaluate;
mod expression;
pub(crate) mod h2_text;
mod kind;
mod mysql;
pub(crate) mod mysql_text;
mod parse;
pub(crate) mod postgres_text;
mod query;
mod regular_expression;
mod relations;
mod words;

use metaferry_domain::schema::{Catalogue, DataType, Dialect, SqlText, Table, ValueSource};

pub(crate) use evaluate::{Computed, Program};
pub(crate) use kind::Kind;
pub(crate) use relations::Relations;
pub(crate) use words::Words;

/// Why a text was not translated: a fragment that follows "because of".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Untranslatable(String);

impl Untranslatable {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A query in H2's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct H2Query {
    /// The text.
    pub(crate) text: String,
    /// The kinds of its columns, left to right.
    pub(crate) kinds: Vec<Kind>,
}

/// A query over `relations`, in H2's SQL.
pub(crate) fn query_to_h2(query: &SqlText, relations: &Relations) -> Result<H2Query, Untranslatable> {
    match query.dialect {
        Dialect::Postgres => {
            let parsed = parse::postgres_query(&query.text)?;
            let printed = query::print(&parsed, relations)?;
            Ok(H2Query {
                text: printed.text,
                kinds: printed.columns.into_iter().map(|(_, kind)| kind).collect(),
            })
        }
        Dialect::H2 => Ok(H2Query {
            text: query.text.clone(),
            kinds: Vec::new(),
        }),
        Dialect::MySql => {
            let parsed = mysql::query(&query.text, relations)?;
            let printed = query::print(&parsed, relations)?;
            Ok(H2Query {
                text: printed.text,
                kinds: printed.columns.into_iter().map(|(_, kind)| kind).collect(),
            })
        }
    }
}

/// A check condition or generated column's expression over the columns of `table`, in H2's SQL.
pub(crate) fn expression_to_h2(expression: &SqlText, table: &Table) -> Result<String, Untranslatable> {
    match expression.dialect {
        Dialect::Postgres => {
            let parsed = parse::postgres_expression(&expression.text)?;
            Ok(expression::print_over_table(&parsed, table, Words::H2)?.text)
        }
        Dialect::H2 => Ok(expression.text.clone()),
        Dialect::MySql => {
            let parsed = mysql::expression(&expression.text, table)?;
            Ok(expression::print_over_table(&parsed, table, Words::H2)?.text)
        }
    }
}

/// A default of a column of type `data_type`, in H2's SQL.
pub(crate) fn default_to_h2(default: &SqlText, data_type: &DataType) -> Result<String, Untranslatable> {
    match default.dialect {
        Dialect::Postgres => {
            let parsed = parse::postgres_expression(&default.text)?;
            expression::print_default(&parsed, data_type, Words::H2)
        }
        Dialect::H2 => Ok(default.text.clone()),
        Dialect::MySql => {
            let parsed = mysql::default(&default.text, data_type)?;
            expression::print_default(&parsed, data_type, Words::H2)
        }
    }
}

/// A query in Postgres' SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresQuery {
    /// The text. Relations are named without a schema.
    pub(crate) text: String,
    /// The kinds of its columns, left to right.
    pub(crate) kinds: Vec<Kind>,
}

/// A query over `relations`, in Postgres' SQL.
pub(crate) fn query_to_postgres(
    query: &SqlText,
    relations: &Relations,
) -> Result<PostgresQuery, Untranslatable> {
    match query.dialect {
        // H2 spells its views in words that the same parser reads.
        Dialect::H2 => {
            let parsed = parse::postgres_query(&query.text)?;
            let printed = query::print(&parsed, relations)?;
            Ok(PostgresQuery {
                text: printed.text,
                kinds: printed.columns.into_iter().map(|(_, kind)| kind).collect(),
            })
        }
        Dialect::Postgres => Ok(PostgresQuery {
            text: query.text.clone(),
            kinds: Vec::new(),
        }),
        Dialect::MySql => {
            let parsed = mysql::query(&query.text, relations)?;
            let printed = query::print(&parsed, relations)?;
            Ok(PostgresQuery {
                text: printed.text,
                kinds: printed.columns.into_iter().map(|(_, kind)| kind).collect(),
            })
        }
    }
}

/// A check condition or generated column's expression over the columns of `table`, in Postgres' SQL.
pub(crate) fn expression_to_postgres(expression: &SqlText, table: &Table) -> Result<String, Untranslatable> {
    match expression.dialect {
        Dialect::H2 => {
            let parsed = parse::postgres_expression(&expression.text)?;
            Ok(expression::print_over_table(&parsed, table, Words::Postgres)?.text)
        }
        Dialect::Postgres => Ok(expression.text.clone()),
        Dialect::MySql => {
            let parsed = mysql::expression(&expression.text, table)?;
            Ok(expression::print_over_table(&parsed, table, Words::Postgres)?.text)
        }
    }
}

/// A default of a column of type `data_type`, in Postgres' SQL.
pub(crate) fn default_to_postgres(default: &SqlText, data_type: &DataType) -> Result<String, Untranslatable> {
    match default.dialect {
        Dialect::H2 => {
            let parsed = parse::postgres_expression(&default.text)?;
            expression::print_default(&parsed, data_type, Words::Postgres)
        }
        Dialect::Postgres => Ok(default.text.clone()),
        Dialect::MySql => {
            let parsed = mysql::default(&default.text, data_type)?;
            expression::print_default(&parsed, data_type, Words::Postgres)
        }
    }
}

/// A query in MySQL's SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MySqlQuery {
    /// The text. Relations are named without a database, as `relations` call them.
    pub(crate) text: String,
    /// The kinds of its columns, left to right.
    pub(crate) kinds: Vec<Kind>,
}

/// A query over `relations`, made in the schema or database of that name, in MySQL's SQL.
pub(crate) fn query_to_mysql(
    query: &SqlText,
    schema: &str,
    relations: &Relations,
) -> Result<MySqlQuery, Untranslatable> {
    match query.dialect {
        // H2 spells its views in words that the same parser reads.
        Dialect::Postgres | Dialect::H2 => {
            let parsed = parse::postgres_query(&query.text)?;
            let printed = query::print(&parsed, relations)?;
            Ok(MySqlQuery {
                text: printed.text,
                kinds: printed.columns.into_iter().map(|(_, kind)| kind).collect(),
            })
        }
        Dialect::MySql => {
            let called = |name: &str| {
                let called = relations.called(name).map(str::to_owned);
                called.unwrap_or_else(|| mysql_text::identifier(name))
            };
            Ok(MySqlQuery {
                text: mysql_text::unqualified(&query.text, schema, &called),
                kinds: Vec::new(),
            })
        }
    }
}

/// A check condition or generated column's expression over the columns of `table`, in MySQL's SQL.
pub(crate) fn expression_to_mysql(expression: &SqlText, table: &Table) -> Result<String, Untranslatable> {
    match expression.dialect {
        Dialect::Postgres | Dialect::H2 => {
            let parsed = parse::postgres_expression(&expression.text)?;
            Ok(expression::print_over_table(&parsed, table, Words::MySql)?.text)
        }
        Dialect::MySql => Ok(expression.text.clone()),
    }
}

/// A default of a column of type `data_type`, in MySQL's SQL: a literal, `current_timestamp(6)`, or an expression in
/// parentheses.
pub(crate) fn default_to_mysql(default: &SqlText, data_type: &DataType) -> Result<String, Untranslatable> {
    match default.dialect {
        Dialect::Postgres | Dialect::H2 => {
            let parsed = parse::postgres_expression(&default.text)?;
            expression::print_default(&parsed, data_type, Words::MySql)
        }
        Dialect::MySql => Ok(mysql_text::default(&default.text)),
    }
}

/// Whose SQL a catalogue holds, as far as it holds any.
pub(crate) fn dialect_of(catalogue: &Catalogue) -> Option<Dialect> {
    let of_view = catalogue.views.first().map(|view| view.query.dialect);
    of_view.or_else(|| {
        catalogue
            .tables
            .iter()
            .flat_map(|table| &table.columns)
            .find_map(|column| match &column.value_source {
                ValueSource::Default(text) | ValueSource::Generated(text) => Some(text.dialect),
                ValueSource::None | ValueSource::Identity { .. } => None,
            })
    })
}

/// A generated column's expression as a program that computes its value from the other columns of a row.
pub(crate) fn program(expression: &SqlText, table: &Table) -> Result<Program, Untranslatable> {
    match expression.dialect {
        // H2's own expressions are close enough to be read by the same parser, and the program refuses what it
        // does not know.
        Dialect::Postgres | Dialect::H2 => {
            let parsed = parse::postgres_expression(&expression.text)?;
            evaluate::compile(&parsed, table, expression.dialect)
        }
        Dialect::MySql => {
            let parsed = mysql::expression(&expression.text, table)?;
            evaluate::compile(&parsed, table, expression.dialect)
        }
    }
}

#[cfg(test)]
mod tests;
