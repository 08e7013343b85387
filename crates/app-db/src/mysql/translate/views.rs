//! Views.

use metaferry_domain::PortError;
use metaferry_domain::schema::Dialect;

use super::{TranslatedView, Translator};
use crate::sql::mysql_text::{fold, identifier};
use crate::sql::{self, Kind, Relations, Words};

impl Translator<'_> {
    /// All views that can be said, in order of use.
    pub(super) fn views(&mut self) -> Result<Vec<TranslatedView>, PortError> {
        let catalogue = self.catalogue;
        let mut relations = Relations::of_tables(catalogue, Words::MySql);
        for table in &catalogue.tables {
            let called = identifier(&(self.name_of)(&self.names.table(&table.name)));
            relations.call(table.name.as_str(), called);
        }
        let mut views = Vec::with_capacity(catalogue.views.len());
        for view in &catalogue.views {
            let query = match sql::query_to_mysql(&view.query, view.schema.as_str(), &relations) {
                Ok(query) => query,
                Err(why) => {
                    self.notes
                        .push(format!("view {} is left out because of {why}", view.name.key()));
                    continue;
                }
            };
            let kinds = query.kinds.into_iter().chain(std::iter::repeat(Kind::Opaque));
            let columns = view
                .columns
                .iter()
                .map(|name| name.as_str().to_owned())
                .zip(kinds)
                .collect();
            relations.add(view.schema.as_str(), view.name.as_str(), columns);
            let name = self.names.relation(&view.name)?;
            let called = identifier(&(self.name_of)(&name));
            relations.call(view.name.as_str(), called.clone());
            let list: Vec<String> = view
                .columns
                .iter()
                .map(|column| match self.dialect {
                    Some(Dialect::MySql) => identifier(column.as_str()),
                    Some(Dialect::H2 | Dialect::Postgres) | None => identifier(&fold(column.as_str())),
                })
                .collect();
            if view.comment.is_some() {
                self.notes.push(format!(
                    "view {}: its comment is left out, MySQL has none on views",
                    view.name.key()
                ));
            }
            views.push(TranslatedView {
                create: format!("CREATE VIEW {called} ({}) AS {}", list.join(", "), query.text),
                name,
            });
        }
        Ok(views)
    }
}
