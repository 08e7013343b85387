//! The digest `mf1` a second time, from its description alone, and the reports that a test expects.

use metaferry_domain::ports::TableReport;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::database::{Row, Value};

/// The report of those rows, whose cells are the named columns; generated ones are not among them.
pub(crate) fn report(name: &str, columns: &[&str], rows: &[Row]) -> TableReport {
    let mut sorted: Vec<usize> = (0..columns.len()).collect();
    sorted.sort_by_key(|&position| columns[position].to_lowercase());
    let sum = rows.iter().fold(0u128, |sum, row| {
        let mut bytes = Vec::new();
        for &position in &sorted {
            encode(&row[position], &mut bytes);
        }
        // The eight letters `mf1 rows`.
        sum.wrapping_add(xxh3_128_with_seed(&bytes, u64::from_be_bytes(*b"mf1 rows")))
    });
    TableReport {
        name: name.to_owned(),
        rows: rows.len() as u64,
        digest: format!("mf1:{sum:032x}"),
    }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0),
        Value::Boolean(value) => out.extend([1, u8::from(*value)]),
        Value::Int(value) => {
            out.push(2);
            out.extend(value.to_le_bytes());
        }
        Value::Text(text) => {
            out.push(5);
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        }
        Value::Timestamp { micros, .. } => {
            out.push(10);
            out.extend(micros.to_le_bytes());
        }
    }
}
