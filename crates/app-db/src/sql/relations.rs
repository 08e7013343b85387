//! The tables and views that a query may name, with the kinds of their columns.

use std::collections::BTreeMap;

use metaferry_domain::schema::{Catalogue, Table};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

use super::{Kind, Untranslatable, Words};

/// Columns of a relation: the name as the source spells it, and the kind.
pub(super) type Columns = Vec<(String, Kind)>;

/// Named relations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Relations {
    words: Words,
    by_name: BTreeMap<String, Relation>,
}

#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The schema as the source spells it.
    pub(super) schema: String,
    pub(super) columns: Columns,
    /// As FROM names it in the dialect that is printed.
    pub(super) called: String,
}

impl Relations {
    /// None, for expressions in that dialect.
    pub(crate) fn none(words: Words) -> Self {
        Self {
            words,
            by_name: BTreeMap::new(),
        }
    }

    /// The dialect that queries over them are printed in.
    pub(super) fn words(&self) -> Words {
        self.words
    }

    /// All tables of the catalogue.
    pub(crate) fn of_tables(catalogue: &Catalogue, words: Words) -> Self {
        let mut relations = Self::none(words);
        for table in &catalogue.tables {
            relations.add(table.schema.as_str(), table.name.as_str(), columns_of(table));
        }
        relations
    }

    /// One more: a view whose query is known.
    pub(crate) fn add(&mut self, schema: &str, name: &str, columns: Vec<(String, Kind)>) {
        self.by_name.insert(
            name.to_owned(),
            Relation {
                schema: schema.to_owned(),
                columns,
                called: self.words.relation(name),
            },
        );
    }

    /// The relation of that name is called so where queries run.
    pub(crate) fn call(&mut self, name: &str, called: String) {
        if let Some(relation) = self.by_name.get_mut(name) {
            relation.called = called;
        }
    }

    /// How FROM names the relation of that name, where it is one of these.
    pub(super) fn called(&self, name: &str) -> Option<&str> {
        Some(self.by_name.get(name)?.called.as_str())
    }

    /// The relation of a name, with or without a schema before it.
    pub(super) fn find(&self, name: &ObjectName) -> Result<(String, &Relation), Untranslatable> {
        let parts = name.0.iter().map(plain_part).collect::<Option<Vec<_>>>();
        let unknown = || Untranslatable::new(format!("\"{name}\", which is no table or view that travels"));
        let (schema, table) = match parts.as_deref() {
            Some([table]) => (None, table.clone()),
            Some([schema, table]) => (Some(schema.clone()), table.clone()),
            _ => return Err(unknown()),
        };
        let relation = self.by_name.get(&table).ok_or_else(unknown)?;
        match schema {
            Some(schema) if schema != relation.schema => Err(unknown()),
            _ => Ok((table, relation)),
        }
    }
}

/// The columns of a table.
pub(super) fn columns_of(table: &Table) -> Columns {
    table
        .columns
        .iter()
        .map(|column| (column.name.as_str().to_owned(), Kind::of(&column.data_type)))
        .collect()
}

/// A name as Postgres understands it: lower case unless quoted.
pub(super) fn folded(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    }
}

fn plain_part(part: &ObjectNamePart) -> Option<String> {
    match part {
        ObjectNamePart::Identifier(name) => Some(folded(name)),
        ObjectNamePart::Function(_) => None,
    }
}
