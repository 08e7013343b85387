//! What H2 says of a file's tables, without looking at their rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::app_db::AppDb;

const TABLES: &str =
    "SELECT TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'PUBLIC'";
/// In the order of the canonical form; generated columns are no part of it.
const COLUMNS: &str = "SELECT TABLE_NAME, COLUMN_NAME, IS_IDENTITY FROM INFORMATION_SCHEMA.COLUMNS \
    WHERE TABLE_SCHEMA = 'PUBLIC' AND IS_GENERATED = 'NEVER' ORDER BY TABLE_NAME, LOWER(COLUMN_NAME)";
const PRIMARY_KEYS: &str = "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLE_CONSTRAINTS \
    WHERE TABLE_SCHEMA = 'PUBLIC' AND CONSTRAINT_TYPE = 'PRIMARY KEY'";
const INDEXES: &str = "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, ORDERING_SPECIFICATION FROM INFORMATION_SCHEMA.INDEX_COLUMNS \
    WHERE TABLE_SCHEMA = 'PUBLIC' ORDER BY TABLE_NAME, INDEX_NAME, ORDINAL_POSITION";
/// Child, its column, parent, its column; all foreign keys of the schema are over one column.
const FOREIGN_KEYS: &str = "SELECT C.TABLE_NAME, C.COLUMN_NAME, P.TABLE_NAME, P.COLUMN_NAME, K.DATA_TYPE \
    FROM INFORMATION_SCHEMA.REFERENTIAL_CONSTRAINTS R \
    JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE C USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME) \
    JOIN INFORMATION_SCHEMA.KEY_COLUMN_USAGE P \
      ON P.CONSTRAINT_SCHEMA = R.UNIQUE_CONSTRAINT_SCHEMA AND P.CONSTRAINT_NAME = R.UNIQUE_CONSTRAINT_NAME \
     AND P.ORDINAL_POSITION = C.POSITION_IN_UNIQUE_CONSTRAINT \
    JOIN INFORMATION_SCHEMA.COLUMNS K \
      ON K.TABLE_SCHEMA = C.TABLE_SCHEMA AND K.TABLE_NAME = C.TABLE_NAME AND K.COLUMN_NAME = C.COLUMN_NAME \
    ORDER BY 1, 2, 3";

/// Names as H2 spells them.
pub(crate) struct Shape {
    /// With their columns in canonical order.
    pub(crate) tables: BTreeMap<String, Vec<String>>,
    pub(crate) views: BTreeMap<String, Vec<String>>,
    /// The column that numbers a table's rows.
    pub(crate) identities: BTreeMap<String, String>,
    pub(crate) with_primary_key: BTreeSet<String>,
    /// By table and name: columns, each with `ASC` or `DESC`.
    pub(crate) indexes: BTreeMap<(String, String), Vec<(String, String)>>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
}

pub(crate) struct ForeignKey {
    pub(crate) child: String,
    pub(crate) column: String,
    pub(crate) parent: String,
    pub(crate) key: String,
    pub(crate) data_type: String,
}

impl ForeignKey {
    /// Counts children without a parent.
    pub(crate) fn orphans(&self) -> String {
        let Self {
            child,
            column,
            parent,
            key,
            ..
        } = self;
        format!(
            "SELECT COUNT(*) FROM \"{child}\" C WHERE C.\"{column}\" IS NOT NULL AND NOT EXISTS \
             (SELECT 1 FROM \"{parent}\" P WHERE P.\"{key}\" = C.\"{column}\")"
        )
    }
}

impl Shape {
    /// Of the database `name` in the folder for dumps, which is opened for reading only.
    pub(crate) fn of(app_db: &AppDb, name: &str) -> Self {
        let h2 = format!("{};ACCESS_MODE_DATA=r", app_db.h2_url(name));
        let answers = app_db.java(
            &h2,
            &[
                ("tables", TABLES),
                ("columns", COLUMNS),
                ("primary keys", PRIMARY_KEYS),
                ("indexes", INDEXES),
                ("foreign keys", FOREIGN_KEYS),
            ],
        );
        for (what, rows) in &answers {
            assert!(
                !rows.is_empty() && !rows[0].starts_with("!ERROR"),
                "{what}: {rows:?}"
            );
        }
        let cells = |what: &str| -> Vec<Vec<String>> {
            let rows = answers[what].iter();
            rows.map(|row| row.split('\t').map(str::to_owned).collect())
                .collect()
        };
        let mut shape = Self {
            tables: BTreeMap::new(),
            views: BTreeMap::new(),
            identities: BTreeMap::new(),
            with_primary_key: answers["primary keys"].iter().cloned().collect(),
            indexes: BTreeMap::new(),
            foreign_keys: Vec::new(),
        };
        for row in cells("tables") {
            let kind = if row[1] == "VIEW" {
                &mut shape.views
            } else {
                &mut shape.tables
            };
            kind.insert(row[0].clone(), Vec::new());
        }
        for row in cells("columns") {
            let kind = if shape.views.contains_key(&row[0]) {
                &mut shape.views
            } else {
                &mut shape.tables
            };
            kind.get_mut(&row[0]).unwrap().push(row[1].clone());
            if row[2] == "YES" {
                shape.identities.insert(row[0].clone(), row[1].clone());
            }
        }
        for row in cells("indexes") {
            let index = (row[0].clone(), row[1].clone());
            shape
                .indexes
                .entry(index)
                .or_default()
                .push((row[2].clone(), row[3].clone()));
        }
        for row in cells("foreign keys") {
            shape.foreign_keys.push(ForeignKey {
                child: row[0].clone(),
                column: row[1].clone(),
                parent: row[2].clone(),
                key: row[3].clone(),
                data_type: row[4].clone(),
            });
        }
        shape
    }
}
