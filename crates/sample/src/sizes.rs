//! How many rows each table has at a scale.

/// Rows per table. Foreign keys are drawn from these numbers, so they always hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) users: u64,
    pub(crate) sessions: u64,
    pub(crate) databases: u64,
    pub(crate) tables: u64,
    pub(crate) fields: u64,
    pub(crate) field_values: u64,
    pub(crate) collections: u64,
    pub(crate) cards: u64,
    pub(crate) dashboards: u64,
    pub(crate) dashboard_cards: u64,
    pub(crate) groups: u64,
    pub(crate) permissions: u64,
    pub(crate) privileges: u64,
    pub(crate) secrets: u64,
    pub(crate) limits: u64,
    pub(crate) logins: u64,
    pub(crate) views: u64,
    pub(crate) audits: u64,
    pub(crate) executions: u64,
    pub(crate) tasks: u64,
    pub(crate) revisions: u64,
    pub(crate) settings: u64,
}

impl Sizes {
    /// Scale 1 is about ten thousand rows in all; the smallest scale still has a row of everything that matters.
    pub(crate) fn at(scale: f64) -> Self {
        let rows = |at_one: u32, least: u64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small positive number"
            )]
            let scaled = (f64::from(at_one) * scale.clamp(0.0, 100_000.0)).round() as u64;
            scaled.max(least)
        };
        let databases = rows(5, 2);
        let tables = rows(150, 4).max(databases);
        Self {
            users: rows(120, 5),
            sessions: rows(60, 3),
            databases,
            tables,
            fields: rows(2400, 12).max(tables),
            field_values: rows(200, 2),
            collections: rows(60, 4),
            cards: rows(500, 6),
            dashboards: rows(80, 2),
            dashboard_cards: rows(600, 4),
            groups: rows(8, 3),
            permissions: rows(300, 4),
            privileges: rows(100, 2),
            secrets: rows(8, 3),
            limits: rows(20, 4),
            logins: rows(600, 4),
            views: rows(2000, 8),
            audits: rows(700, 4),
            executions: rows(800, 4),
            tasks: rows(300, 4),
            revisions: rows(900, 6),
            settings: rows(40, 2),
        }
    }
}
