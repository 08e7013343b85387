//! The spelling of what every dialect has: names, literals, and the types that casts go to.

use super::{Kind, h2_text, postgres_text};

/// The dialect that is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Words {
    /// H2's.
    #[default]
    H2,
    /// Postgres'.
    Postgres,
}

impl Words {
    /// A name in the case that the dialect gives unquoted ones, quoted.
    pub(super) fn name(self, name: &str) -> String {
        match self {
            Self::H2 => h2_text::identifier(&h2_text::fold(name)),
            Self::Postgres => postgres_text::identifier(&postgres_text::fold(name)),
        }
    }

    /// A table or view as FROM names it. On Postgres the search path finds it, wherever it is at the moment.
    pub(super) fn relation(self, name: &str) -> String {
        match self {
            Self::H2 => format!("\"PUBLIC\".{}", self.name(name)),
            Self::Postgres => self.name(name),
        }
    }

    /// A character string literal.
    pub(super) fn literal(self, text: &str) -> String {
        match self {
            Self::H2 => h2_text::literal(text),
            Self::Postgres => postgres_text::literal(text),
        }
    }

    /// The moment of the insert, as a default.
    pub(super) fn now(self) -> &'static str {
        match self {
            Self::H2 => "LOCALTIMESTAMP",
            Self::Postgres => "now()",
        }
    }

    /// A new random identifier, as a default.
    pub(super) fn random_uuid(self) -> &'static str {
        match self {
            Self::H2 => "RANDOM_UUID()",
            Self::Postgres => "gen_random_uuid()",
        }
    }

    /// The function that turns this dialect's name of a truth value into the other one's: `true` here, `TRUE` there.
    pub(super) fn name_of_truth(self) -> &'static str {
        match self {
            Self::H2 => "LOWER",
            Self::Postgres => "UPPER",
        }
    }

    /// The type that a cast to that kind goes to, where the two spell it differently.
    pub(super) fn type_name(self, h2_name: &'static str) -> &'static str {
        match (self, h2_name) {
            (Self::Postgres, "DECFLOAT") => "numeric",
            (Self::Postgres, "VARCHAR_IGNORECASE") => "citext",
            (Self::Postgres, "BINARY VARYING") => "bytea",
            (Self::H2 | Self::Postgres, same) => same,
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
            Self::H2 => "NULL",
            Self::Postgres => typed,
        }
    }
}
