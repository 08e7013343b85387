//! Keys, checks and foreign keys: what is made, beside indexes, when the rows are there.

use metaferry_domain::schema::{Dialect, ForeignKey, Key, Name, ReferentialAction, Table};

use super::{AfterRows, TranslatedForeignKey, Translator, columns, joined, names};
use crate::sql;
use crate::sql::postgres_text::{fold, identifier};

impl Translator<'_> {
    /// Keys, indexes and checks.
    pub(super) fn after_rows(&mut self, table: &Table, name: &str) -> Vec<AfterRows> {
        let quoted = identifier(name);
        let mut statements = Vec::new();
        if let Some(key) = &table.primary_key {
            let usual = format!("{name}_pkey");
            let wanted = match self.dialect {
                Some(Dialect::H2) => Name::new(names::primary_key_from_h2(table, key)),
                // There all primary keys are called PRIMARY.
                Some(Dialect::MySql) => Name::new(usual.clone()),
                Some(Dialect::Postgres) | None => key.name.clone(),
            };
            let own = self.names.key(&wanted, &usual, table, &mut self.notes);
            let statement = format!(
                "ALTER TABLE {quoted} ADD CONSTRAINT {} PRIMARY KEY ({})",
                identifier(&own),
                columns(&key.columns)
            );
            statements.push(statement.into());
        }
        for unique in &table.uniques {
            let usual = unique_name(name, unique);
            // `MySQL` calls a key that nobody named as its first column, in every table anew.
            let is_named = unique.columns.first().map(Name::key) != Some(unique.name.key());
            let wanted = match self.dialect {
                Some(Dialect::MySql) if !is_named => Name::new(usual.clone()),
                Some(Dialect::MySql | Dialect::H2 | Dialect::Postgres) | None => unique.name.clone(),
            };
            let own = self.names.key(&wanted, &usual, table, &mut self.notes);
            let statement = format!(
                "ALTER TABLE {quoted} ADD CONSTRAINT {} UNIQUE ({})",
                identifier(&own),
                columns(&unique.columns)
            );
            statements.push(statement.into());
        }
        for index in &table.indexes {
            statements.extend(self.index(table, &quoted, index).map(AfterRows::from));
        }
        if self.dialect != Some(Dialect::Postgres) {
            statements.extend(self.indexes_of_foreign_keys(table, name));
            statements.extend(self.own_indexes(table, &quoted));
        }
        for check in &table.checks {
            let own = self
                .names
                .of_table(&check.name, &format!("{name}_check"), table, &mut self.notes);
            match sql::expression_to_postgres(&check.condition, table) {
                Ok(text) => {
                    let own = identifier(&own);
                    let statement = format!("ALTER TABLE {quoted} ADD CONSTRAINT {own} CHECK ({text})");
                    statements.push(statement.into());
                }
                Err(why) => self.notes.push(format!(
                    "check {} of table {} is left out because of {why}",
                    check.name.key(),
                    table.name.key()
                )),
            }
        }
        statements
    }

    pub(super) fn foreign_keys(&mut self, table: &Table, quoted: &str) -> Vec<TranslatedForeignKey> {
        let mut translated = Vec::with_capacity(table.foreign_keys.len());
        for foreign in &table.foreign_keys {
            let Some(parent) = self.catalogue.table(&foreign.parent_table.key()) else {
                self.notes.push(format!(
                    "foreign key {} of table {} is left out: table {} does not travel",
                    foreign.name.key(),
                    table.name.key(),
                    foreign.parent_table.key()
                ));
                continue;
            };
            let made_up = format!("{}_{}_fkey", fold(table.name.as_str()), joined(&foreign.columns));
            let own = self
                .names
                .of_table(&foreign.name, &made_up, table, &mut self.notes);
            translated.push(TranslatedForeignKey {
                add: format!(
                    "ALTER TABLE {quoted} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){} NOT VALID",
                    identifier(&own),
                    columns(&foreign.columns),
                    identifier(&fold(parent.name.as_str())),
                    columns(&foreign.parent_columns),
                    actions(foreign, self.dialect)
                ),
                validate: format!("ALTER TABLE {quoted} VALIDATE CONSTRAINT {}", identifier(&own)),
            });
        }
        translated
    }
}

/// What Postgres itself calls a unique constraint that nobody named.
fn unique_name(table: &str, unique: &Key) -> String {
    format!("{table}_{}_key", joined(&unique.columns))
}

/// ON DELETE and ON UPDATE. H2 and `MySQL` know no difference between RESTRICT and NO ACTION and say RESTRICT for
/// what was declared as neither; Metabase's own schema on Postgres has NO ACTION there.
fn actions(foreign: &ForeignKey, dialect: Option<Dialect>) -> String {
    let words = |action| match action {
        ReferentialAction::NoAction => None,
        ReferentialAction::Restrict => (dialect == Some(Dialect::Postgres)).then_some("RESTRICT"),
        ReferentialAction::Cascade => Some("CASCADE"),
        ReferentialAction::SetNull => Some("SET NULL"),
        ReferentialAction::SetDefault => Some("SET DEFAULT"),
    };
    let mut text = String::new();
    if let Some(action) = words(foreign.on_update) {
        text.push_str(" ON UPDATE ");
        text.push_str(action);
    }
    if let Some(action) = words(foreign.on_delete) {
        text.push_str(" ON DELETE ");
        text.push_str(action);
    }
    text
}
