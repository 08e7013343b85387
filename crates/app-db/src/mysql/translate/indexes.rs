//! Primary keys, unique keys, indexes and foreign keys.

use metaferry_domain::schema::{
    Dialect, ForeignKey, Index, IndexOrder, IndexPart, Key, Name, Nullability, ReferentialAction, Table,
    Uniqueness,
};

use super::types::Extent;
use super::{Parts, Translator, keys, place, position};
use crate::sql::mysql_text::{fold, identifier};

impl Translator<'_> {
    /// Everything that rows are found by. `identity` is the column that is `AUTO_INCREMENT`.
    pub(super) fn keys_and_indexes(&mut self, at: usize, identity: Option<usize>, parts: &mut Parts) {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[at];
        self.led.push(Vec::new());
        self.primary_key(at, parts);
        if let Some(identity) = identity {
            self.index_of_identity(table, identity, parts);
        }
        for unique in &table.uniques {
            self.unique(at, unique, parts);
        }
        for index in &table.indexes {
            self.index(at, index, parts);
        }
    }

    fn primary_key(&mut self, at: usize, parts: &mut Parts) {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[at];
        let Some(key) = &table.primary_key else { return };
        if !keys::fits(&self.extents(at, &key.columns)) {
            self.notes.push(format!(
                "the primary key of table {} is left out, it is too long for MySQL",
                table.name.key()
            ));
            return;
        }
        let columns = self.columns(&table.name, &key.columns);
        parts.lines.push(format!("PRIMARY KEY ({columns})"));
        self.lead(&key.columns);
    }

    /// The server wants one that begins with the identity, when the table is made.
    fn index_of_identity(&mut self, table: &Table, identity: usize, parts: &mut Parts) {
        let column = &table.columns[identity];
        let own = column.name.key();
        if self
            .led
            .last()
            .is_some_and(|led| led.iter().any(|columns| columns.first() == Some(&own)))
        {
            return;
        }
        self.notes.push(format!(
            "{}: gets an index of its own, as MySQL's identities want one",
            place(table, column)
        ));
        let usual = self.names.column(&table.name, &column.name);
        let index = self.names.index(&Name::new(""), &usual, table, &mut self.notes);
        parts
            .lines
            .push(format!("KEY {} ({})", identifier(&index), identifier(&usual)));
        self.lead(std::slice::from_ref(&column.name));
    }

    fn unique(&mut self, at: usize, key: &Key, parts: &mut Parts) {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[at];
        if !keys::fits(&self.extents(at, &key.columns)) {
            self.notes.push(format!(
                "unique key {} of table {} is left out, it is too long for MySQL",
                key.name.key(),
                table.name.key()
            ));
            return;
        }
        // A key that nobody named has a name on Postgres too; MySQL itself calls it as its first column.
        let joined: Vec<String> = key.columns.iter().map(|name| fold(name.as_str())).collect();
        let of_postgres = format!("{}_{}_key", fold(table.name.as_str()), joined.join("_"));
        let wanted = if self.dialect == Some(Dialect::Postgres) && key.name.as_str() == of_postgres {
            Name::new("")
        } else {
            key.name.clone()
        };
        let first = key
            .columns
            .first()
            .map(|first| self.names.column(&table.name, first));
        let usual = first.unwrap_or_default();
        let own = self.names.index(&wanted, &usual, table, &mut self.notes);
        let list = self.columns(&table.name, &key.columns);
        parts
            .after_rows
            .push(format!("ADD UNIQUE INDEX {} ({list})", identifier(&own)));
        self.lead(&key.columns);
    }

    fn index(&mut self, at: usize, index: &Index, parts: &mut Parts) {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[at];
        let word = match index.uniqueness {
            Uniqueness::Unique => "unique index",
            Uniqueness::NonUnique => "index",
        };
        let refuse = |translator: &mut Self, why: &str| {
            translator.notes.push(format!(
                "{word} {} of table {} is left out: {why}",
                index.name.key(),
                table.name.key()
            ));
        };
        if index.predicate.is_some() {
            return refuse(self, "MySQL has no indexes over some rows only");
        }
        let mut read: Vec<Part> = Vec::with_capacity(index.parts.len());
        for part in &index.parts {
            match self.part(table, part) {
                Some(part) => read.push(part),
                None => return refuse(self, "MariaDB has no indexes over expressions"),
            }
        }
        let extents: Vec<Extent> = read
            .iter()
            .map(|part| match (part.prefix, self.types[at].get(part.position)) {
                (Some(_), _) | (None, None) => Extent::Unknown,
                (None, Some(mysql_type)) => mysql_type.extent(),
            })
            .collect();
        let prefixes = match index.uniqueness {
            Uniqueness::Unique => keys::fits(&extents).then(|| vec![None; extents.len()]),
            Uniqueness::NonUnique => keys::prefixes(&extents),
        };
        let Some(prefixes) = prefixes else {
            return refuse(self, "it is too long for MySQL");
        };
        let list: Vec<String> = read
            .iter()
            .zip(prefixes)
            .map(|(part, prefix)| {
                let column = self.names.column(&table.name, &table.columns[part.position].name);
                let letters = part.prefix.or(prefix).map(|letters| format!("({letters})"));
                format!(
                    "{}{}{}",
                    identifier(&column),
                    letters.unwrap_or_default(),
                    part.order
                )
            })
            .collect();
        let own = self.names.index(&index.name, "idx", table, &mut self.notes);
        let unique = match index.uniqueness {
            Uniqueness::Unique => "UNIQUE ",
            Uniqueness::NonUnique => "",
        };
        parts.after_rows.push(format!(
            "ADD {unique}INDEX {} ({})",
            identifier(&own),
            list.join(", ")
        ));
        let whole: Vec<Name> = read
            .iter()
            .take_while(|part| part.prefix.is_none())
            .map(|part| table.columns[part.position].name.clone())
            .collect();
        self.lead(&whole);
    }

    /// A column, or the first letters of one; `None` for other expressions.
    fn part(&self, table: &Table, part: &IndexPart) -> Option<Part> {
        match part {
            IndexPart::Column { name, order } => Some(Part {
                position: position(table, name)?,
                prefix: None,
                order: match order {
                    IndexOrder::Ascending => "",
                    IndexOrder::Descending => " DESC",
                },
            }),
            IndexPart::Expression(expression) if expression.dialect == Dialect::MySql => {
                let (name, letters) = expression
                    .text
                    .strip_prefix("left(`")?
                    .strip_suffix(')')?
                    .rsplit_once("`, ")?;
                Some(Part {
                    position: position(table, &Name::new(name.replace("``", "`")))?,
                    prefix: Some(letters.parse().ok()?),
                    order: "",
                })
            }
            IndexPart::Expression(_) => None,
        }
    }

    /// Clauses of the foreign keys of a table, when all tables have their keys and indexes.
    pub(super) fn foreign_keys(&mut self, at: usize) -> Vec<String> {
        let catalogue = self.catalogue;
        let table = &catalogue.tables[at];
        let mut clauses = Vec::with_capacity(table.foreign_keys.len());
        for foreign in &table.foreign_keys {
            match self.parent(at, foreign) {
                Ok(parent) => clauses.push(self.foreign_key(table, foreign, parent)),
                Err(why) => self.notes.push(format!(
                    "foreign key {} of table {} is left out: {why}",
                    foreign.name.key(),
                    table.name.key()
                )),
            }
        }
        clauses
    }

    /// The position of the parent, if the server takes the key.
    fn parent(&self, at: usize, foreign: &ForeignKey) -> Result<usize, String> {
        let key = foreign.parent_table.key();
        let tables = &self.catalogue.tables;
        let parent = tables.iter().position(|table| table.name.key() == key);
        let parent = parent.ok_or_else(|| format!("table {key} does not travel"))?;
        let wanted: Vec<String> = foreign.parent_columns.iter().map(Name::key).collect();
        if !self.led[parent]
            .iter()
            .any(|columns| columns.starts_with(&wanted))
        {
            return Err(format!("table {key} has no key over its columns there"));
        }
        for (own, other) in foreign.columns.iter().zip(&foreign.parent_columns) {
            let own_type = position(&tables[at], own).map(|own| &self.types[at][own]);
            let other_type = position(&tables[parent], other).map(|other| &self.types[parent][other]);
            let (Some(own_type), Some(other_type)) = (own_type, other_type) else {
                return Err(format!("there is no column {own} or {other}"));
            };
            if !own_type.is_comparable(other_type) {
                return Err(format!(
                    "{own} is {} and {other} is {}, which MySQL does not compare",
                    own_type.spelled(),
                    other_type.spelled()
                ));
            }
        }
        Ok(parent)
    }

    fn foreign_key(&mut self, table: &Table, foreign: &ForeignKey, parent: usize) -> String {
        let catalogue = self.catalogue;
        let parent = &catalogue.tables[parent];
        let joined: Vec<String> = foreign.columns.iter().map(Name::key).collect();
        let usual = format!("fk_{}_{}", table.name.key(), joined.join("_"));
        let own = self
            .names
            .constraint(&foreign.name, &usual, table, &mut self.notes);
        let is_not_null = foreign.columns.iter().any(|name| {
            let column = position(table, name).map(|at| &table.columns[at]);
            column.is_some_and(|column| column.nullability == Nullability::NotNull)
        });
        let mut actions = String::new();
        for (event, action) in [("UPDATE", foreign.on_update), ("DELETE", foreign.on_delete)] {
            let words =
                match action {
                    // To MySQL all three are one, and the last is what it does by itself.
                    ReferentialAction::NoAction | ReferentialAction::Restrict => continue,
                    ReferentialAction::Cascade => "CASCADE",
                    ReferentialAction::SetNull if !is_not_null => "SET NULL",
                    ReferentialAction::SetNull | ReferentialAction::SetDefault => {
                        self.notes.push(format!(
                        "foreign key {} of table {}: ON {event} becomes RESTRICT, MySQL cannot set {} there",
                        foreign.name.key(),
                        table.name.key(),
                        if action == ReferentialAction::SetNull { "NULL" } else { "a default" }
                    ));
                        continue;
                    }
                };
            actions.push_str(&format!(" ON {event} {words}"));
        }
        format!(
            "ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){actions}",
            identifier(&own),
            self.columns(&table.name, &foreign.columns),
            identifier(&(self.name_of)(&self.names.table(&parent.name))),
            self.columns(&parent.name, &foreign.parent_columns)
        )
    }

    /// Names as a list of SQL.
    fn columns(&self, table: &Name, names: &[Name]) -> String {
        let names: Vec<String> = names
            .iter()
            .map(|name| identifier(&self.names.column(table, name)))
            .collect();
        names.join(", ")
    }

    fn extents(&self, at: usize, columns: &[Name]) -> Vec<Extent> {
        let table = &self.catalogue.tables[at];
        columns
            .iter()
            .filter_map(|name| position(table, name))
            .map(|column| self.types[at][column].extent())
            .collect()
    }

    /// The table at hand has an index that begins with these.
    fn lead(&mut self, columns: &[Name]) {
        if let Some(led) = self.led.last_mut() {
            led.push(columns.iter().map(Name::key).collect());
        }
    }
}

/// A part of an index.
#[derive(Debug)]
struct Part {
    position: usize,
    prefix: Option<u32>,
    order: &'static str,
}

/// The columns of an index over nothing but columns.
pub(super) fn plain_columns(index: &Index) -> Option<Vec<Name>> {
    index
        .parts
        .iter()
        .map(|part| match part {
            IndexPart::Column { name, .. } => Some(name.clone()),
            IndexPart::Expression(_) => None,
        })
        .collect()
}
