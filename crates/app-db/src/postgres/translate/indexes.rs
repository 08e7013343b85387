//! Indexes: the source's own, those that other databases keep for foreign keys, and Metabase's on Postgres alone.

use metaferry_domain::schema::{Index, IndexOrder, IndexPart, Name, SqlText, Table, Uniqueness};

use super::{AfterRows, Translator, columns, joined, own_indexes};
use crate::sql;
use crate::sql::postgres_text::{fold, identifier};

impl Translator<'_> {
    pub(super) fn index(&mut self, table: &Table, quoted: &str, index: &Index) -> Option<String> {
        let unique = match index.uniqueness {
            Uniqueness::Unique => "UNIQUE ",
            Uniqueness::NonUnique => "",
        };
        let mut said: Result<Vec<String>, String> = index
            .parts
            .iter()
            .map(|part| match part {
                IndexPart::Column { name, order } => Ok(format!(
                    "{}{}",
                    identifier(&fold(name.as_str())),
                    match order {
                        IndexOrder::Ascending => "",
                        IndexOrder::Descending => " DESC",
                    }
                )),
                IndexPart::Expression(expression) => self.expression(expression, table),
            })
            .collect();
        let predicate = match &index.predicate {
            None => String::new(),
            Some(predicate) => match self.expression(predicate, table) {
                Ok(text) => format!(" WHERE {text}"),
                Err(why) => {
                    said = Err(why);
                    String::new()
                }
            },
        };
        match said {
            Ok(parts) => {
                let own = self.names.index(&index.name, table, &mut self.notes);
                Some(format!(
                    "CREATE {unique}INDEX {} ON {quoted} ({}){predicate}",
                    identifier(&own),
                    parts.join(", ")
                ))
            }
            Err(why) => {
                self.notes.push(format!(
                    "index {} of table {} is left out because of {why}",
                    index.name.key(),
                    table.name.key()
                ));
                None
            }
        }
    }

    /// H2 and `MySQL` keep an index for every foreign key by themselves. On Postgres Metabase's migrations made them,
    /// under these names.
    pub(super) fn indexes_of_foreign_keys(&mut self, table: &Table, name: &str) -> Vec<AfterRows> {
        let mut led: Vec<Vec<String>> = table
            .primary_key
            .iter()
            .chain(&table.uniques)
            .map(|key| key.columns.iter().map(Name::key).collect())
            .collect();
        led.extend(
            table
                .indexes
                .iter()
                .filter(|index| index.predicate.is_none())
                .map(|index| {
                    index
                        .parts
                        .iter()
                        .map_while(|part| match part {
                            IndexPart::Column { name, .. } => Some(name.key()),
                            IndexPart::Expression(_) => None,
                        })
                        .collect()
                }),
        );
        let mut statements = Vec::new();
        for foreign in &table.foreign_keys {
            let wanted: Vec<String> = foreign.columns.iter().map(Name::key).collect();
            if led.iter().any(|columns| columns.starts_with(&wanted)) {
                continue;
            }
            let own = Name::new(format!("idx_{name}_{}", joined(&foreign.columns)));
            let own = self.names.index(&own, table, &mut self.notes);
            statements.push(AfterRows {
                statement: format!(
                    "CREATE INDEX {} ON {} ({})",
                    identifier(&own),
                    identifier(name),
                    columns(&foreign.columns)
                ),
                since: Some(own_indexes::FOREIGN_KEYS),
            });
            led.push(wanted);
        }
        statements
    }

    /// Indexes that Metabase has on Postgres only.
    pub(super) fn own_indexes(&mut self, table: &Table, quoted: &str) -> Vec<AfterRows> {
        let mut statements = Vec::new();
        for index in own_indexes::of(table) {
            let own = self.names.index(&index.name.into(), table, &mut self.notes);
            statements.push(AfterRows {
                statement: format!(
                    "CREATE {}INDEX {} ON {quoted} {}",
                    match index.uniqueness {
                        Uniqueness::Unique => "UNIQUE ",
                        Uniqueness::NonUnique => "",
                    },
                    identifier(&own),
                    index.over
                ),
                since: Some(index.since),
            });
        }
        statements
    }

    /// An expression in parentheses of its own.
    pub(super) fn expression(&self, expression: &SqlText, table: &Table) -> Result<String, String> {
        sql::expression_to_postgres(expression, table)
            .map(|text| format!("({text})"))
            .map_err(|why| why.to_string())
    }
}
