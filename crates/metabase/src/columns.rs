//! What is meant by a column of Metabase's own where not every database can say it.

/// Whether the texts of a column are compared without regard to case. Postgres and H2 say so by its type; on MySQL all
/// texts are, and it must be known which of them mean it. Names in lower case.
///
/// ```
/// use metaferry_metabase::columns::ignores_case;
///
/// assert!(ignores_case("core_user", "email"));
/// assert!(!ignores_case("core_user", "first_name"));
/// ```
#[must_use]
pub fn ignores_case(table: &str, column: &str) -> bool {
    (table, column) == ("core_user", "email")
}
