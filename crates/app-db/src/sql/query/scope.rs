//! What names mean at some place in a query: the relations that are in view, and what is wanted of its columns.

use super::PrintedQuery;
use crate::sql::relations::Columns;
use crate::sql::{Kind, Relations, Untranslatable, Words};

/// What names mean at some place in a query.
#[derive(Debug, Clone)]
pub(in crate::sql) struct Scope<'a> {
    pub(super) relations: &'a Relations,
    /// Queries of WITH, newest last.
    pub(super) named: Vec<(String, PrintedQuery)>,
    pub(super) from: Vec<FromItem>,
    pub(super) outer: Option<&'a Scope<'a>>,
    pub(super) wanted: Wanted,
}

/// What kinds the branches of a set operation are to have.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// No set operation is around.
    Nothing,
    /// The branches are looked at; nobody reads their text.
    Measured,
    /// These, column by column.
    Kinds(Vec<Kind>),
}

#[derive(Debug, Clone)]
pub(super) struct FromItem {
    /// `None` for the bare columns of one table, as in a check.
    pub(super) alias: Option<String>,
    pub(super) columns: Columns,
}

impl<'a> Scope<'a> {
    /// The bare columns of one table.
    pub(in crate::sql) fn over_table(relations: &'a Relations, columns: Columns) -> Self {
        Self {
            relations,
            named: Vec::new(),
            from: vec![FromItem { alias: None, columns }],
            outer: None,
            wanted: Wanted::Nothing,
        }
    }

    /// The dialect that is printed.
    pub(in crate::sql) fn words(&self) -> Words {
        self.relations.words()
    }

    /// A column by its name, or by its relation's and its own, as the target spells it.
    pub(in crate::sql) fn column(&self, names: &[String]) -> Result<(String, Kind), Untranslatable> {
        let found: Vec<(String, Kind)> = match names {
            [column] => self
                .from
                .iter()
                .filter_map(|item| item.column(column, self.words()))
                .collect(),
            [alias, column] => {
                let matches = |item: &&FromItem| item.alias.as_ref() == Some(alias);
                self.from
                    .iter()
                    .filter(matches)
                    .filter_map(|item| item.column(column, self.words()))
                    .collect()
            }
            _ => Vec::new(),
        };
        match (found.as_slice(), self.outer) {
            ([one], _) => Ok(one.clone()),
            ([], Some(outer)) => outer.column(names),
            ([], None) => Err(Untranslatable::new(format!("the name {}", names.join(".")))),
            _ => Err(Untranslatable::new(format!(
                "the ambiguous name {}",
                names.join(".")
            ))),
        }
    }
}

impl FromItem {
    fn column(&self, name: &str, words: Words) -> Option<(String, Kind)> {
        let (_, kind) = self.columns.iter().find(|(column, _)| column == name)?;
        let column = words.name(name);
        let text = match &self.alias {
            Some(alias) => format!("{}.{column}", words.name(alias)),
            None => column,
        };
        Some((text, *kind))
    }
}
