//! Texts to syntax trees.

use sqlparser::ast::{Expr, Query};
use sqlparser::dialect::{Dialect, PostgreSqlDialect};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::Untranslatable;

/// `pg_get_viewdef` puts every operator and every join into parentheses of its own.
const NESTING_MAX: usize = 400;

pub(super) fn postgres_query(text: &str) -> Result<Query, Untranslatable> {
    let text = text.trim().trim_end_matches(';');
    parse(&PostgreSqlDialect {}, text, |parser| parser.parse_query()).map(|query| *query)
}

pub(super) fn postgres_expression(text: &str) -> Result<Expr, Untranslatable> {
    parse(&PostgreSqlDialect {}, text, |parser| parser.parse_expr())
}

/// Reads the whole of a text.
pub(super) fn parse<T>(
    dialect: &dyn Dialect,
    text: &str,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
) -> Result<T, Untranslatable> {
    let refuse = |error: ParserError| Untranslatable::new(format!("its syntax ({error})"));
    let mut parser = Parser::new(dialect)
        .with_recursion_limit(NESTING_MAX)
        .try_with_sql(text)
        .map_err(refuse)?;
    let parsed = read(&mut parser).map_err(refuse)?;
    match parser.peek_token().token {
        Token::EOF => Ok(parsed),
        rest => Err(Untranslatable::new(format!("its syntax (unexpected {rest})"))),
    }
}
