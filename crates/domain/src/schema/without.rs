//! A catalogue without some of its tables, and without what cannot be without them.

use std::collections::BTreeSet;

use super::Catalogue;

impl Catalogue {
    /// The catalogue without these tables (by [`Name::key`](super::Name::key)), without foreign keys that refer to them
    /// and without views that are asked of them or of such a view; with notes on what else went. Which tables a view is
    /// asked of is told by its text: the names after FROM and JOIN.
    #[must_use]
    pub fn without(&self, tables: &BTreeSet<String>) -> (Self, Vec<String>) {
        let mut rest = self.clone();
        let mut notes = Vec::new();
        rest.tables.retain(|table| !tables.contains(&table.name.key()));
        for table in &mut rest.tables {
            let key = table.name.key();
            table.foreign_keys.retain(|foreign| {
                let parent = foreign.parent_table.key();
                let stays = !tables.contains(&parent);
                if !stays {
                    notes.push(format!(
                        "foreign key {} of table {key} is left out with table {parent}",
                        foreign.name.key()
                    ));
                }
                stays
            });
        }
        // A view only uses tables and earlier views.
        let mut gone = tables.clone();
        rest.views.retain(|view| {
            let Some(missing) = relations(&view.query.text)
                .into_iter()
                .find(|relation| gone.contains(relation))
            else {
                return true;
            };
            let key = view.name.key();
            notes.push(format!("view {key} is left out with {missing}"));
            gone.insert(key);
            false
        });
        (rest, notes)
    }
}

/// A word of a query: an identifier or keyword in lower case, or another letter.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
    Sign(char),
}

/// The names, in lower case and without their schema, that stand where a query names what it reads.
fn relations(query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut in_list, mut expected) = (false, false);
    let mut words = words(query).into_iter().peekable();
    while let Some(word) = words.next() {
        let name = match word {
            Word::Bare(word) => match word.as_str() {
                "from" | "join" => {
                    (in_list, expected) = (true, true);
                    continue;
                }
                "on" | "using" | "where" | "select" | "group" | "order" | "having" | "limit" | "union"
                | "except" | "intersect" => {
                    (in_list, expected) = (false, false);
                    continue;
                }
                "only" | "lateral" => continue,
                _ => word,
            },
            Word::Quoted(word) => word,
            Word::Sign(',') => {
                expected = in_list;
                continue;
            }
            Word::Sign(_) => continue,
        };
        if !expected {
            continue;
        }
        // What stands before a dot is a schema.
        if words.next_if_eq(&Word::Sign('.')).is_none() {
            expected = false;
            names.insert(name);
        }
    }
    names
}

fn words(query: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut letters = query.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => while letters.next().is_some_and(|letter| letter != '\'') {},
            '"' | '`' => {
                let mut name = String::new();
                while let Some(next) = letters.next() {
                    if next != letter {
                        name.push(next);
                    } else if letters.next_if_eq(&letter).is_some() {
                        // A doubled quote is one of the name's.
                        name.push(letter);
                    } else {
                        break;
                    }
                }
                words.push(Word::Quoted(name.to_lowercase()));
            }
            letter if is_of_word(letter) => {
                let mut word = String::from(letter);
                while let Some(next) = letters.next_if(|letter| is_of_word(*letter)) {
                    word.push(next);
                }
                words.push(Word::Bare(word.to_lowercase()));
            }
            letter if letter.is_whitespace() => {}
            letter => words.push(Word::Sign(letter)),
        }
    }
    words
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Dialect, ForeignKey, Name, ReferentialAction, SqlText, Table, View};

    fn table(name: &str, parent: Option<&str>) -> Table {
        let foreign_keys = parent.map(|parent| ForeignKey {
            name: "fk_x".into(),
            columns: vec!["x".into()],
            parent_table: parent.into(),
            parent_columns: vec!["id".into()],
            on_delete: ReferentialAction::NoAction,
            on_update: ReferentialAction::NoAction,
        });
        Table {
            schema: "public".into(),
            name: name.into(),
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            foreign_keys: foreign_keys.into_iter().collect(),
            checks: Vec::new(),
            indexes: Vec::new(),
            comment: None,
            rows_estimate: 0,
            bytes_estimate: 0,
        }
    }

    fn view(name: &str, query: &str) -> View {
        View {
            schema: "public".into(),
            name: name.into(),
            columns: Vec::new(),
            query: SqlText {
                dialect: Dialect::Postgres,
                text: query.to_owned(),
            },
            comment: None,
        }
    }

    #[test]
    fn what_rests_on_a_table_goes_with_it() {
        let catalogue = Catalogue {
            tables: vec![
                table("Odd", None),
                table("child", Some("odd")),
                table("other", Some("child")),
            ],
            views: vec![
                view("first", "SELECT a FROM other o JOIN public.\"Odd\" ON true"),
                view("second", "SELECT 'from odd', odd FROM other odd"),
                view("third", "SELECT 1 FROM (other), first"),
            ],
        };
        let (rest, notes) = catalogue.without(&BTreeSet::from(["odd".to_owned()]));
        let names = |names: Vec<&Name>| names.iter().map(|name| name.key()).collect::<Vec<_>>();
        assert_eq!(
            names(rest.tables.iter().map(|table| &table.name).collect()),
            ["child", "other"]
        );
        assert_eq!(rest.tables[0].foreign_keys, []);
        assert_eq!(rest.tables[1].foreign_keys.len(), 1);
        assert_eq!(
            names(rest.views.iter().map(|view| &view.name).collect()),
            ["second"]
        );
        assert_eq!(
            notes,
            [
                "foreign key fk_x of table child is left out with table odd",
                "view first is left out with odd",
                "view third is left out with first",
            ]
        );
        let (same, notes) = catalogue.without(&BTreeSet::new());
        assert_eq!((same, notes), (catalogue, Vec::new()));
    }

    #[test]
    fn a_querys_relations_are_those_after_from_and_join() {
        for (query, wanted) in [
            (
                "select `a`.`x` from (`db`.`a` left join `db`.`b` on (`a`.`x` = `b`.`y`))",
                "a b",
            ),
            (
                "SELECT x, y FROM a, ONLY b WHERE f(x, y) IN (SELECT z FROM c) ORDER BY x, y",
                "a b c",
            ),
            (
                "SELECT \"we\"\"ird\" FROM \"PUBLIC\".\"We\"\"ird\" AS t",
                "we\"ird",
            ),
            (
                "SELECT 'it''s from x' FROM a AS from_b GROUP BY x, y UNION ALL SELECT 1 FROM d",
                "a d",
            ),
        ] {
            let found: Vec<String> = relations(query).into_iter().collect();
            assert_eq!(found.join(" "), wanted, "{query}");
        }
    }
}
