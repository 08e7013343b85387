//! `cargo xtask bench …`.

use crate::failure::Failure;

pub(crate) fn dump(_options: &[&str]) -> Result<(), Failure> {
    Err(Failure::Usage("bench is being written".into()))
}
