//! Chance and names made of it.

use uuid::Uuid;

use crate::exit::CommandError;

/// A fraction from 0 to 1, for jitter.
pub(crate) fn random_fraction() -> f64 {
    let [a, b, ..] = Uuid::new_v4().into_bytes();
    f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX)
}

/// A name template with `{date}` (day in UTC), `{time}` and `{id}` (eight random hex digits) filled in.
pub(crate) fn fill_in_template(template: &str) -> Result<String, CommandError> {
    let now = time::OffsetDateTime::now_utc();
    let id = Uuid::new_v4().simple().to_string();
    let filled = template
        .replace(
            "{date}",
            &format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day()),
        )
        .replace(
            "{time}",
            &format!("{:02}{:02}{:02}", now.hour(), now.minute(), now.second()),
        )
        .replace("{id}", &id[..8]);
    // A user's name or password may have braces of its own, and is nobody's to read.
    let name = filled.rsplit_once('/').map_or(&*filled, |(_, name)| name);
    if name.contains(['{', '}']) {
        return Err(CommandError::usage(format!(
            "--to: the name {name:?} has other names in braces than {{date}}, {{time}} and {{id}}"
        )));
    }
    Ok(filled)
}
