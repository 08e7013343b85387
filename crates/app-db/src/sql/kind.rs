//! What an expression's value is, as coarsely as its translation needs to know.

use metaferry_domain::schema::DataType;

/// The kind of a value. Operators mean the same in two databases only for some kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string literal or NULL that nothing has given a type yet.
    Untyped,
    /// True or false.
    Boolean,
    /// A whole number of any width.
    Integer,
    /// An exact number.
    Exact,
    /// A floating-point number.
    Float,
    /// Text without padding, compared letter by letter.
    Text,
    /// CHAR: padded with blanks that do not count.
    Padded,
    /// Text compared without regard to case.
    CaseBlind,
    /// Bytes.
    Bytes,
    /// A day.
    Date,
    /// Wall-clock date and time.
    Timestamp,
    /// An instant.
    TimestampTz,
    /// 128-bit identifier.
    Uuid,
    /// Anything else: may be carried through, nothing may be done with it.
    Opaque,
}

impl Kind {
    /// The kind of a column of that type.
    pub(crate) fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::SmallInt | DataType::Integer | DataType::BigInt => Self::Integer,
            DataType::Real | DataType::Double => Self::Float,
            DataType::Decimal(_) => Self::Exact,
            DataType::Char(_) => Self::Padded,
            DataType::Varchar(_) | DataType::Text => Self::Text,
            DataType::VarcharIgnoreCase(_) => Self::CaseBlind,
            DataType::Binary(_) | DataType::Blob => Self::Bytes,
            DataType::Date => Self::Date,
            DataType::Timestamp => Self::Timestamp,
            DataType::TimestampTz => Self::TimestampTz,
            DataType::Uuid => Self::Uuid,
            DataType::Time | DataType::TimeTz | DataType::Json | DataType::Other => Self::Opaque,
        }
    }

    /// Is it a number?
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Exact | Self::Float)
    }

    /// The one kind that values of both may take without any change, as in the branches of a CASE or UNION.
    pub(crate) fn unify(self, other: Self) -> Option<Self> {
        match (self, other) {
            (one, another) if one == another => Some(one),
            (Self::Untyped, known) | (known, Self::Untyped) => Some(known),
            (Self::Integer, Self::Exact) | (Self::Exact, Self::Integer) => Some(Self::Exact),
            _ => None,
        }
    }

    /// Do `=` and `<>` between the two mean the same in every database?
    pub(crate) fn equality_is_shared(self, other: Self) -> bool {
        match (self, other) {
            (Self::Opaque, _) | (_, Self::Opaque) => false,
            (Self::Untyped, _) | (_, Self::Untyped) => true,
            (one, another) => one == another || (one.is_number() && another.is_number()),
        }
    }

    /// Do `<` and its like between the two mean the same in every database? Not for text: its order depends on
    /// collations.
    pub(crate) fn order_is_shared(self, other: Self) -> bool {
        let ordered =
            |kind: Self| kind.is_number() || matches!(kind, Self::Date | Self::Timestamp | Self::TimestampTz);
        ordered(self) && ordered(other) && self.equality_is_shared(other)
    }
}
