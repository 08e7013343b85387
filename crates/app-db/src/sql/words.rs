//! The spelling of what every dialect has: names, literals, and the types that casts go to.

use super::{Kind, h2_text, mysql_text, postgres_text};

/// The dialect that is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Words {
    /// H2's.
    #[default]
    H2,
    /// Postgres'.
    Postgres,
    /// MySQL's and MariaDB's.
    MySql,
}

impl Words {
    /// A name in the case that the dialect gives unquoted ones, quoted.
    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::H2 => h2_text::identifier(&h2_text::fold(name)),
            Self::Postgres => postgres_text::identifier(&postgres_text::fold(name)),
            Self::MySql => mysql_text::identifier(&mysql_text::fold(name)),
        }
    }

    /// A table or view as FROM names it, unless it is called otherwise there. On Postgres the search path finds it, on
    /// MySQL the session's database, wherever it is at the moment.
    pub(super) fn relation(self, name: &str) -> String {
        match self {
            Self::H2 => format!("\"PUBLIC\".{}", self.name(name)),
            Self::Postgres | Self::MySql => self.name(name),
        }
    }

    /// A character string literal.
    pub(super) fn literal(self, text: &str) -> String {
        match self {
            Self::H2 => h2_text::literal(text),
            Self::Postgres => postgres_text::literal(text),
            Self::MySql => mysql_text::literal(text),
        }
    }

    /// A truth value. MySQL has the numbers 1 and 0 for them.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "it is a truth value that is said"
    )]
    pub(super) fn truth(self, value: bool) -> &'static str {
        match (self, value) {
            (Self::H2 | Self::Postgres, true) => "TRUE",
            (Self::H2 | Self::Postgres, false) => "FALSE",
            (Self::MySql, true) => "1",
            (Self::MySql, false) => "0",
        }
    }

    /// A truth value as a column's default.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "it is a truth value that is said"
    )]
    pub(super) fn default_truth(self, value: bool) -> &'static str {
        match (self, value) {
            (Self::MySql, true) => "b'1'",
            (Self::MySql, false) => "b'0'",
            (Self::H2 | Self::Postgres, value) => self.truth(value),
        }
    }

    /// The moment of the insert, as a default.
    pub(super) fn now(self) -> &'static str {
        match self {
            Self::H2 => "LOCALTIMESTAMP",
            Self::Postgres => "now()",
            Self::MySql => "current_timestamp(6)",
        }
    }

    /// This moment, in an expression.
    pub(super) fn moment(self) -> &'static str {
        match self {
            Self::H2 | Self::Postgres => "CURRENT_TIMESTAMP",
            Self::MySql => "CURRENT_TIMESTAMP(6)",
        }
    }

    /// The wall clock's this moment, in an expression.
    pub(super) fn wall_clock(self) -> &'static str {
        match self {
            Self::H2 | Self::Postgres => "LOCALTIMESTAMP",
            Self::MySql => "LOCALTIMESTAMP(6)",
        }
    }

    /// A new random identifier, as a default.
    pub(super) fn random_uuid(self) -> &'static str {
        match self {
            Self::H2 => "RANDOM_UUID()",
            Self::Postgres => "gen_random_uuid()",
            Self::MySql => "(uuid())",
        }
    }

    /// The function that turns this dialect's name of a truth value into the other one's: `true` on Postgres, `TRUE` on
    /// H2. MySQL has no names for them.
    pub(super) fn name_of_truth(self) -> Option<&'static str> {
        match self {
            Self::H2 => Some("LOWER"),
            Self::Postgres => Some("UPPER"),
            Self::MySql => None,
        }
    }

    /// The type that a cast to that kind goes to, where the two spell it differently.
    pub(super) fn type_name(self, h2_name: &'static str) -> &'static str {
        match (self, h2_name) {
            (Self::Postgres, "DECFLOAT") => "numeric",
            (Self::Postgres, "VARCHAR_IGNORECASE") => "citext",
            (Self::Postgres, "BINARY VARYING") => "bytea",
            (Self::MySql, "CHARACTER VARYING" | "VARCHAR_IGNORECASE") => "char",
            (Self::MySql, "SMALLINT" | "INTEGER" | "BIGINT") => "signed",
            (Self::MySql, "DOUBLE PRECISION") => "double",
            (Self::MySql, "BINARY VARYING") => "binary",
            (Self::MySql, "DECFLOAT") => "decimal(65,30)",
            (Self::MySql, "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE") => "datetime(6)",
            (Self::MySql, "UUID") => "char(36)",
            (Self::H2 | Self::Postgres | Self::MySql, same) => same,
        }
    }

    /// A NULL that a UNION may meet with values of that kind. Postgres takes a bare one for text, branch by branch.
    pub(super) fn null(self, kind: Kind) -> &'static str {
        let typed = match kind {
            Kind::Boolean => "NULL::boolean",
            Kind::Integer => "NULL::integer",
            Kind::Exact => "NULL::numeric",
            Kind::Float => "NULL::double precision",
            Kind::Text | Kind::Padded => "NULL::text",
            Kind::CaseBlind => "NULL::citext",
            Kind::Bytes => "NULL::bytea",
            Kind::Date => "NULL::date",
            Kind::Timestamp => "NULL::timestamp",
            Kind::TimestampTz => "NULL::timestamptz",
            Kind::Uuid => "NULL::uuid",
            Kind::Untyped | Kind::Opaque => "NULL",
        };
        match self {
            Self::H2 | Self::MySql => "NULL",
            Self::Postgres => typed,
        }
    }
}
