//! What loading into a database means, whichever it is: what a person allows, and how the source's tables fit those
//! that are there.

pub(crate) mod fit;
pub(crate) mod pool;

/// What becomes of users at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Users {
    /// A target with users in it is refused.
    Refuse,
    /// They are replaced, with everything else.
    Replace,
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
