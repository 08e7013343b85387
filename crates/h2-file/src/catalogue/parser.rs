//! Steps through one catalogue text: names, keywords, expressions.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::tokens::{Token, first_token};

/// What was expected, and where in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

pub(super) type Parsed<T> = Result<T, Expected>;

/// A schema and a name in it.
pub(super) type Qualified = (String, String);

/// The schema of names that say none.
const SCHEMA_DEFAULT: &str = "PUBLIC";

#[derive(Debug, Clone, Copy)]
pub(super) struct Parser<'s> {
    sql: &'s str,
    at: usize,
}

impl<'s> Parser<'s> {
    pub(super) fn new(sql: &'s str) -> Self {
        Self { sql, at: 0 }
    }

    pub(super) fn expected<T>(&self, what: &'static str) -> Parsed<T> {
        Err(Expected { what, at: self.at })
    }

    /// The text that is left.
    pub(super) fn rest(&self) -> &'s str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Parsed<Option<(Token<'s>, usize, usize)>> {
        let found = first_token(self.rest()).map_err(|what| Expected { what, at: self.at })?;
        Ok(found
            .map(|(token, begin, end)| (token, self.at.saturating_add(begin), self.at.saturating_add(end))))
    }

    pub(super) fn next(&mut self) -> Parsed<Option<Token<'s>>> {
        let Some((token, _, end)) = self.peek()? else {
            return Ok(None);
        };
        self.at = end;
        Ok(Some(token))
    }

    /// Steps over `words` if they come next.
    pub(super) fn eat(&mut self, words: &[&str]) -> Parsed<bool> {
        let mut ahead = *self;
        for word in words {
            match ahead.next()? {
                Some(Token::Word(found)) if found.eq_ignore_ascii_case(word) => {}
                Some(_) | None => return Ok(false),
            }
        }
        *self = ahead;
        Ok(true)
    }

    pub(super) fn expect(&mut self, words: &[&str], what: &'static str) -> Parsed<()> {
        if self.eat(words)? {
            Ok(())
        } else {
            self.expected(what)
        }
    }

    pub(super) fn eat_symbol(&mut self, symbol: char) -> Parsed<bool> {
        let mut ahead = *self;
        let found = ahead.next()? == Some(Token::Symbol(symbol));
        if found {
            *self = ahead;
        }
        Ok(found)
    }

    pub(super) fn expect_symbol(&mut self, symbol: char, what: &'static str) -> Parsed<()> {
        if self.eat_symbol(symbol)? {
            Ok(())
        } else {
            self.expected(what)
        }
    }

    pub(super) fn is_quoted_name_next(&self) -> Parsed<bool> {
        Ok(matches!(self.peek()?, Some((Token::Name(_), _, _))))
    }

    /// A name; H2 turns unquoted ones into upper case.
    pub(super) fn name(&mut self) -> Parsed<String> {
        let mut ahead = *self;
        let name = match ahead.next()? {
            Some(Token::Name(name)) => name.into_owned(),
            Some(Token::Word(word)) => word.to_uppercase(),
            Some(Token::Text(_) | Token::Number(_) | Token::Symbol(_)) | None => {
                return self.expected("a name is missing");
            }
        };
        *self = ahead;
        Ok(name)
    }

    pub(super) fn qualified(&mut self) -> Parsed<Qualified> {
        let first = self.name()?;
        if self.eat_symbol('.')? {
            return Ok((first, self.name()?));
        }
        Ok((SCHEMA_DEFAULT.to_owned(), first))
    }

    pub(super) fn text(&mut self) -> Parsed<String> {
        let mut ahead = *self;
        match ahead.next()? {
            Some(Token::Text(text)) => {
                *self = ahead;
                Ok(text.into_owned())
            }
            Some(_) | None => self.expected("a string is missing"),
        }
    }

    /// `COMMENT '…'`, if it comes next.
    pub(super) fn comment(&mut self) -> Parsed<Option<String>> {
        if self.eat(&["COMMENT"])? {
            self.text().map(Some)
        } else {
            Ok(None)
        }
    }

    pub(super) fn integer<N: std::str::FromStr>(&mut self) -> Parsed<N> {
        let start = *self;
        let sign = if self.eat_symbol('-')? { "-" } else { "" };
        let number = match self.next()? {
            Some(Token::Number(digits)) => format!("{sign}{digits}").parse().ok(),
            Some(_) | None => None,
        };
        number.ok_or(Expected {
            what: "a whole number is missing or too large",
            at: start.at,
        })
    }

    /// `(name, name, …)`.
    pub(super) fn names_in_parentheses(&mut self) -> Parsed<Vec<String>> {
        self.expect_symbol('(', "a list of names is missing")?;
        let mut names = Vec::new();
        loop {
            names.push(self.name()?);
            if self.eat_symbol(')')? {
                return Ok(names);
            }
            self.expect_symbol(',', "a comma or parenthesis is missing")?;
        }
    }

    /// What stands in the parentheses that open here, as written.
    pub(super) fn in_parentheses(&mut self) -> Parsed<&'s str> {
        self.expect_symbol('(', "a parenthesis is missing")?;
        let from = self.at;
        let mut depth = 1_usize;
        while let Some((token, begin, end)) = self.peek()? {
            self.at = end;
            match token {
                Token::Symbol('(') => depth = depth.saturating_add(1),
                Token::Symbol(')') => depth = depth.saturating_sub(1),
                Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Number(_) | Token::Symbol(_) => {}
            }
            if depth == 0 {
                return Ok(self.sql.get(from..begin).unwrap_or_default().trim());
            }
        }
        self.expected("a closing parenthesis is missing")
    }

    /// An expression of a column definition, as written: up to a comma or closing parenthesis outside of
    /// parentheses, or the next clause of the column.
    pub(super) fn column_expression(&mut self) -> Parsed<&'s str> {
        let from = self.at;
        let mut depth = 0_usize;
        // `IS NOT NULL` does not end an expression, `NOT NULL` does.
        let mut after_is = false;
        while let Some((token, begin, end)) = self.peek()? {
            let is_clause =
                self.at > from && !after_is && matches!(token, Token::Word(_)) && self.is_column_clause()?;
            if depth == 0 && (is_clause || matches!(token, Token::Symbol(',' | ')'))) {
                return Ok(self.sql.get(from..begin).unwrap_or_default().trim());
            }
            after_is = matches!(&token, Token::Word(word) if word.eq_ignore_ascii_case("IS"));
            match token {
                Token::Symbol('(' | '[') => depth = depth.saturating_add(1),
                Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
                Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Number(_) | Token::Symbol(_) => {}
            }
            self.at = end;
        }
        Ok(self.sql.get(from..).unwrap_or_default().trim())
    }

    /// Does a clause of a column begin here?
    fn is_column_clause(&self) -> Parsed<bool> {
        const CLAUSES: [&[&str]; 10] = [
            &["INVISIBLE"],
            &["DEFAULT"],
            &["ON", "UPDATE"],
            &["GENERATED"],
            &["SEQUENCE"],
            &["SELECTIVITY"],
            &["COMMENT"],
            &["NOT", "NULL"],
            &["NULL_TO_DEFAULT"],
            &["CHECK"],
        ];
        for clause in CLAUSES {
            let mut ahead = *self;
            if ahead.eat(clause)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
