//! Index maps list every row once, in H2's order, with the values that the row has.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use metaferry_h2_file::{IndexKind, Text, Value};

use crate::support::{FIXTURES, open};

#[test]
fn every_index_entry_equals_its_row() {
    let mut indexes = 0;
    for name in FIXTURES {
        let database = open(name);
        for index in database.indexes() {
            let table = database
                .tables()
                .iter()
                .find(|table| table.id() == index.table)
                .unwrap();
            let Some(mut entries) = database.index_entries(index).unwrap() else {
                assert_eq!(
                    index.kind,
                    IndexKind::PrimaryKey,
                    "{name}: {} has no entries",
                    index.name
                );
                continue;
            };
            let columns: Vec<_> = index
                .columns
                .iter()
                .map(|column| {
                    table
                        .definition()
                        .columns
                        .iter()
                        .position(|known| known.name == column.name)
                        .unwrap()
                })
                .collect();
            let mut expected = BTreeMap::new();
            let mut rows = database.rows(table);
            while let Some(row) = rows.next_row().unwrap() {
                let values: Vec<_> = columns.iter().map(|place| &row.values[*place]).collect();
                expected.insert(row.key, format!("{values:?}"));
            }
            while let Some(entry) = entries.next_entry().unwrap() {
                let of_row = expected.remove(&entry.row_key);
                assert_eq!(
                    of_row,
                    Some(format!("{:?}", entry.values)),
                    "{name}: {} row {}",
                    index.name,
                    entry.row_key
                );
            }
            assert!(
                expected.is_empty(),
                "{name}: {} lacks rows {:?}",
                index.name,
                expected.keys()
            );
            indexes += 1;
        }
    }
    assert!(indexes >= 40, "{indexes}");
}

#[test]
fn entries_come_in_the_order_of_their_sort_types() {
    let database = open("index_order");
    let mut compared = 0;
    for index in database.indexes() {
        let Some(mut entries) = database.index_entries(index).unwrap() else {
            continue;
        };
        let mut previous: Option<(Vec<Value<'static>>, i64)> = None;
        while let Some(entry) = entries.next_entry().unwrap() {
            let mut key = Vec::new();
            for value in entry.values {
                // Types whose order is a plain comparison; the others are in other tests' care.
                key.push(match value {
                    Value::Integer(value) => Value::BigInt(value.into()),
                    Value::BigInt(value) => Value::BigInt(value),
                    Value::Null => Value::Null,
                    Value::Varchar(Text::Utf8(text)) => {
                        Value::Varchar(Text::Units(text.encode_utf16().collect()))
                    }
                    Value::Varchar(Text::Units(units)) => Value::Varchar(Text::Units(units)),
                    _ => Value::Boolean(false),
                });
            }
            if let Some((previous, row_key)) = previous {
                let order = compare(
                    &previous,
                    &key,
                    index.columns.iter().map(|column| column.sort_type),
                );
                assert!(
                    order.then(row_key.cmp(&entry.row_key)) == Ordering::Less || has_other(&key),
                    "{}",
                    index.name
                );
                compared += 1;
            }
            previous = Some((key, entry.row_key));
        }
    }
    assert!(compared > 50, "{compared}");
}

fn has_other(key: &[Value<'_>]) -> bool {
    key.contains(&Value::Boolean(false))
}

fn compare(left: &[Value<'_>], right: &[Value<'_>], sort_types: impl Iterator<Item = u8>) -> Ordering {
    for ((left, right), sort_type) in left.iter().zip(right).zip(sort_types) {
        let nulls_first = sort_type & 4 == 0;
        let order = match (left, right) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => {
                if nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (_, Value::Null) => {
                if nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (Value::BigInt(left), Value::BigInt(right)) => by_sort_type(left.cmp(right), sort_type),
            (Value::Varchar(Text::Units(left)), Value::Varchar(Text::Units(right))) => {
                by_sort_type(left.cmp(right), sort_type)
            }
            _ => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn by_sort_type(order: Ordering, sort_type: u8) -> Ordering {
    if sort_type & 1 == 1 {
        order.reverse()
    } else {
        order
    }
}
