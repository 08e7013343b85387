//! The type registry that H2 wrote agrees with the catalogue that H2 wrote.

use metaferry_h2_file::{DataType, Format, RowKeys, RowType};

use crate::support::{FIXTURES, open};

#[test]
fn registered_types_agree_with_the_catalogue() {
    let (mut tables, mut indexes) = (0, 0);
    for name in FIXTURES {
        let database = open(name);
        if database.facts().format == Format::V1 {
            // Format 1 has no registry.
            continue;
        }
        for types in database.map_types().unwrap() {
            let id = types
                .map
                .split_once('.')
                .and_then(|(_, id)| id.parse::<u32>().ok());
            let place = format!("{name}: {}", types.map);
            if let Some(table) = database
                .tables()
                .iter()
                .find(|table| types.map == format!("table.{}", table.id()))
            {
                let columns = table.definition().columns.len();
                let row = RowType {
                    columns: u32::try_from(columns).unwrap(),
                    sort_types: Some(vec![0; columns]),
                    indexes: None,
                    row_keys: RowKeys::NotStored,
                };
                assert_eq!(types.key, Some(DataType::Long), "{place}");
                assert_eq!(
                    types.value,
                    Some(DataType::Versioned(Box::new(DataType::Row(row)))),
                    "{place}"
                );
                tables += 1;
            } else if types.map.starts_with("index.") {
                let index = database
                    .indexes()
                    .iter()
                    .find(|index| Some(index.id) == id)
                    .unwrap();
                let table = database
                    .tables()
                    .iter()
                    .find(|table| table.id() == index.table)
                    .unwrap();
                let columns = &table.definition().columns;
                let place_of = |name: &str| columns.iter().position(|column| column.name == name).unwrap();
                let row = RowType {
                    columns: u32::try_from(columns.len()).unwrap(),
                    sort_types: Some(
                        index
                            .columns
                            .iter()
                            .map(|column| column.sort_type.into())
                            .collect(),
                    ),
                    indexes: Some(
                        index
                            .columns
                            .iter()
                            .map(|column| i32::try_from(place_of(&column.name)).unwrap())
                            .collect(),
                    ),
                    row_keys: RowKeys::Stored,
                };
                assert_eq!(types.key, Some(DataType::Row(row)), "{place}");
                assert_eq!(
                    types.value,
                    Some(DataType::Versioned(Box::new(DataType::Null))),
                    "{place}"
                );
                indexes += 1;
            } else {
                let expected = match types.map.as_str() {
                    "lobMap" => Some(DataType::BlobMeta),
                    "lobData" | "tempLobMap" => Some(DataType::ByteArray),
                    "lobRef" => Some(DataType::Null),
                    "table.0" => continue,
                    _ => None,
                };
                assert_eq!(types.value, expected, "{place}");
            }
        }
    }
    assert!(tables >= 25 && indexes >= 40, "{tables} {indexes}");
}
