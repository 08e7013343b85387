//! Columns of tables, and the names of those of views.

use std::collections::HashMap;

use metaferry_domain::schema::{Column, DataType, Name, Nullability, ValueSource};
use metaferry_metabase::columns::ignores_case;
use sqlx::{MySqlConnection, Row as _};

use super::{Tables, said, text, word};
use crate::mysql::flavour::Flavour;
use crate::mysql::types::{NativeType, column_type};

/// Reads the tables' columns; gives the views' by view.
pub(super) async fn read(
    connection: &mut MySqlConnection,
    flavour: Flavour,
    database: &str,
    tables: &mut Tables,
) -> Result<HashMap<String, Vec<Name>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT c.table_name, c.column_name, c.data_type, c.column_type,
             CAST(c.character_maximum_length AS SIGNED), CAST(c.numeric_precision AS SIGNED),
             CAST(c.numeric_scale AS SIGNED), c.is_nullable, c.column_default, c.extra, c.column_comment,
             c.generation_expression, CAST(t.auto_increment AS SIGNED)
         FROM information_schema.columns c
         JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
         WHERE c.table_schema = ? AND t.table_schema = ? ORDER BY c.table_name, c.ordinal_position",
    )
    .bind(database)
    .bind(database)
    .fetch_all(connection)
    .await?;
    let mut elsewhere: HashMap<String, Vec<Name>> = HashMap::new();
    for row in &rows {
        let (table, name) = (word(row, 0)?, Name::new(word(row, 1)?));
        let Some(&at) = tables.by_name.get(&table) else {
            elsewhere.entry(table).or_default().push(name);
            continue;
        };
        let size = |position| -> Result<Option<u64>, sqlx::Error> {
            Ok(row.try_get::<Option<i64>, _>(position)?.map(i64::unsigned_abs))
        };
        let (data_type_word, native_type) = (word(row, 2)?.to_lowercase(), word(row, 3)?);
        let (mut data_type, reading) = column_type(NativeType {
            word: &data_type_word,
            full: &native_type.to_lowercase(),
            characters: size(4)?,
            precision: size(5)?,
            scale: size(6)?,
        });
        // Here every text is compared without regard to case. Elsewhere it must be said where that is meant.
        if let DataType::Varchar(length) = data_type
            && ignores_case(&table.to_lowercase(), &name.key())
        {
            data_type = DataType::VarcharIgnoreCase(length);
        }
        let extra = word(row, 9)?.to_lowercase();
        let generated = text(row, 11)?.filter(|expression| !expression.is_empty());
        let value_source = match generated {
            Some(expression) => ValueSource::Generated(flavour.expression(expression)),
            None if extra.contains("auto_increment") => ValueSource::Identity {
                next: row.try_get(12)?,
            },
            None => match flavour.default(text(row, 8)?, &extra, &data_type) {
                Some(default) => ValueSource::Default(default),
                None => ValueSource::None,
            },
        };
        tables.readings[at].push(reading);
        tables.tables[at].columns.push(Column {
            name,
            data_type,
            native_type,
            nullability: if word(row, 7)?.eq_ignore_ascii_case("yes") {
                Nullability::Nullable
            } else {
                Nullability::NotNull
            },
            value_source,
            comment: said(text(row, 10)?),
        });
    }
    Ok(elsewhere)
}
