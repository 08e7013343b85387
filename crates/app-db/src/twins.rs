//! Names that a catalogue must not have twice.

use std::collections::HashMap;

use metaferry_domain::schema::Catalogue;
use metaferry_domain::{ErrorKind, PortError};

/// Names are compared in lower case everywhere; two that differ in case only cannot be told apart.
pub(crate) fn refuse_twins(catalogue: &Catalogue) -> Result<(), PortError> {
    let refuse = |first: String, second: String| {
        PortError::new(
            ErrorKind::Unsupported,
            format!("{first} and {second} differ in case only; rename one of them, then retry"),
        )
    };
    for pair in catalogue.tables.windows(2) {
        if pair[0].name.key() == pair[1].name.key() {
            return Err(refuse(
                format!("tables {:?}", pair[0].name),
                format!("{:?}", pair[1].name),
            ));
        }
    }
    for table in &catalogue.tables {
        let mut seen = HashMap::new();
        for column in &table.columns {
            if let Some(twin) = seen.insert(column.name.key(), &column.name) {
                return Err(refuse(
                    format!("table {}: columns {twin:?}", table.name),
                    format!("{:?}", column.name),
                ));
            }
        }
    }
    Ok(())
}
