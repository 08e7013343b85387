//! What loading into a database means, whichever it is: what a person allows, and how the source's tables fit those
//! that are there.

pub(crate) mod fit;
pub(crate) mod pool;

use metaferry_domain::{ErrorKind, PortError};

/// What becomes of users at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// A target with users in it is refused, and one with triggers.
    Refuse,
    /// They are replaced, with everything else; triggers fire.
    Replace,
}

impl Users {
    /// What is said of triggers that somebody made on the target's tables, each as `TABLE.TRIGGER`: they fire while rows are
    /// loaded, and what they write elsewhere nobody compares.
    pub(crate) fn judge_triggers(self, triggers: &[String], target: &str) -> Result<Vec<String>, PortError> {
        if triggers.is_empty() {
            return Ok(Vec::new());
        }
        let named = triggers.join(", ");
        match self {
            Self::Refuse => Err(PortError::new(
                ErrorKind::Conflict,
                format!(
                    "triggers on tables of {target} would fire while rows are loaded: {named}; drop them, or say --force to \
                     load all the same"
                ),
            )),
            Self::Replace => Ok(vec![format!("triggers fired while rows were loaded: {named}")]),
        }
    }
}

/// What becomes of columns and tables that the target has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownColumns {
    /// They are refused by name.
    Refuse,
    /// They stay behind.
    Drop,
}

/// What a person allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadOptions {
    /// May users be replaced?
    pub users: Users,
    /// May columns be left behind?
    pub unknown: UnknownColumns,
}
