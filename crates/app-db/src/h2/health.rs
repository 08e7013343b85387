//! The state in which an H2 file was found, in words for a person.

use metaferry_h2_file::{Agreement, Facts, Health, OpenWork};

/// What a person should know before relying on what is read. Empty for a file that was closed in order.
#[must_use]
pub fn notes(facts: &Facts) -> Vec<String> {
    let mut notes = Vec::new();
    let version = facts.version;
    match facts.health {
        Health::Closed => {}
        Health::Recovered => notes.push(format!(
            "the H2 file is not closed (it is in use, or its process was killed): read as of version {version}, \
             the newest in it"
        )),
        Health::FellBack => notes.push(format!(
            "the H2 file is not closed (it is in use, or its process was killed) and its newest version is \
             incomplete: read as of version {version}, the newest complete one"
        )),
        Health::Salvaged => notes.push(format!(
            "the H2 file is damaged; SALVAGED as of the older version {version}: whatever was written later is lost"
        )),
    }
    notes.extend(
        facts
            .passed_over
            .iter()
            .map(|newer| format!("passed over: {newer}")),
    );
    match facts.open_transactions {
        OpenWork::None => {}
        OpenWork::RolledBack => {
            notes.push("what transactions had begun and not committed is left out".to_owned());
        }
    }
    match facts.header_copies {
        Agreement::Both => {}
        Agreement::One => {
            notes.push("one of the two copies of the file header is damaged or stale".to_owned())
        }
    }
    notes
}
