//! Splits H2 SQL into tokens. Identifiers and strings come out unquoted.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

/// A token and where it ends in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'s> {
    /// A keyword or an unquoted name, as written.
    Word(&'s str),
    /// A quoted name.
    Name(Cow<'s, str>),
    /// A string literal.
    Text(Cow<'s, str>),
    Number(&'s str),
    Symbol(char),
}

/// The first token of `text` behind white space and comments; the byte offsets where it begins and ends.
/// `Ok(None)` at the end of the text, `Err` at something unclosed.
pub(super) fn first_token(text: &str) -> Result<Option<(Token<'_>, usize, usize)>, &'static str> {
    let begin = skip_blank(text)?;
    let rest = text.get(begin..).unwrap_or_default();
    let Some(first) = rest.chars().next() else {
        return Ok(None);
    };
    let (token, length) = token_at(rest, first)?;
    Ok(Some((token, begin, begin.saturating_add(length))))
}

fn token_at(rest: &str, first: char) -> Result<(Token<'_>, usize), &'static str> {
    let bytes = rest.as_bytes();
    let unicode = matches!(bytes, [b'U' | b'u', b'&', b'"' | b'\'', ..]);
    let at_quote = if unicode {
        rest.get(2..).unwrap_or_default()
    } else {
        rest
    };
    if let Some(quote @ (b'"' | b'\'')) = at_quote.as_bytes().first() {
        let (content, length) = quoted(at_quote, char::from(*quote))?;
        let content = if unicode {
            Cow::Owned(unescape(&content)?)
        } else {
            content
        };
        let token = if *quote == b'"' {
            Token::Name(content)
        } else {
            Token::Text(content)
        };
        return Ok((token, length.saturating_add(if unicode { 2 } else { 0 })));
    }
    if let Some(body) = rest.strip_prefix("$$") {
        let end = body.find("$$").ok_or("a closing $$")?;
        return Ok((
            Token::Text(Cow::Borrowed(body.get(..end).unwrap_or_default())),
            end.saturating_add(4),
        ));
    }
    let run = |belongs: fn(char) -> bool| rest.find(|character| !belongs(character)).unwrap_or(rest.len());
    if first.is_alphabetic() || first == '_' {
        let length = run(|character| character.is_alphanumeric() || matches!(character, '_' | '$'));
        return Ok((Token::Word(rest.get(..length).unwrap_or_default()), length));
    }
    if first.is_ascii_digit() {
        let length = run(|character| character.is_ascii_alphanumeric() || character == '.');
        return Ok((Token::Number(rest.get(..length).unwrap_or_default()), length));
    }
    Ok((Token::Symbol(first), first.len_utf8()))
}

fn skip_blank(text: &str) -> Result<usize, &'static str> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").ok_or("an end of the comment")?.1;
        } else {
            return Ok(text.len().saturating_sub(rest.len()));
        }
    }
}

/// The contents of a quoted token and its length with quotes. A quote inside is doubled.
fn quoted(text: &str, quote: char) -> Result<(Cow<'_, str>, usize), &'static str> {
    let body = text.get(1..).unwrap_or_default();
    let mut content = Cow::Borrowed("");
    let mut from = 0_usize;
    loop {
        let tail = body.get(from..).unwrap_or_default();
        let end = tail.find(quote).ok_or("a closing quote")?;
        let part = tail.get(..end).unwrap_or_default();
        if content.is_empty() {
            content = Cow::Borrowed(part);
        } else {
            content.to_mut().push_str(part);
        }
        from = from.saturating_add(end).saturating_add(1);
        if !body.get(from..).unwrap_or_default().starts_with(quote) {
            return Ok((content, from.saturating_add(1)));
        }
        content.to_mut().push(quote);
        from = from.saturating_add(1);
    }
}

/// Undoes `\XXXX`, `\+XXXXXX` and `\\`. Surrogate pairs may be written as two escapes; a lone one becomes U+FFFD.
fn unescape(text: &str) -> Result<String, &'static str> {
    const HEX: &str = "hexadecimal digits of a Unicode escape";
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
        if character != '\\' {
            units.extend_from_slice(character.encode_utf16(&mut [0; 2]));
            continue;
        }
        if let Some(after) = rest.strip_prefix('\\') {
            units.push(u16::from(b'\\'));
            rest = after;
            continue;
        }
        let (digits, after) = match rest.strip_prefix('+') {
            Some(long) => long.split_at_checked(6),
            None => rest.split_at_checked(4),
        }
        .ok_or(HEX)?;
        let code = u32::from_str_radix(digits, 16).map_err(|_| HEX)?;
        match (char::from_u32(code), u16::try_from(code)) {
            (Some(character), _) => units.extend_from_slice(character.encode_utf16(&mut [0; 2])),
            (None, Ok(surrogate)) => units.push(surrogate),
            (None, Err(_)) => return Err(HEX),
        }
        rest = after;
    }
    Ok(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use super::{Token, first_token};

    fn tokens(mut text: &str) -> Vec<Token<'_>> {
        let mut all = Vec::new();
        while let Some((token, _, end)) = first_token(text).unwrap() {
            all.push(token);
            text = &text[end..];
        }
        all
    }

    #[test]
    fn unquotes_names_and_strings() {
        let all = tokens(r#"A."b ""c""" U&"\65e5\\" 'it''s' U&'\+01f600\d83d\de00' '' -- end"#);
        let expected = [
            Token::Word("A"),
            Token::Symbol('.'),
            Token::Name("b \"c\"".into()),
            Token::Name("日\\".into()),
            Token::Text("it's".into()),
            Token::Text("\u{1F600}\u{1F600}".into()),
            Token::Text("".into()),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn keeps_quotes_next_to_quotes_apart() {
        assert_eq!(
            tokens(r#"'''a' '''' /* ' */ 1.5e3"#),
            [
                Token::Text("'a".into()),
                Token::Text("'".into()),
                Token::Number("1.5e3")
            ]
        );
    }

    #[test]
    fn names_what_is_unclosed() {
        for text in ["'abc", "\"abc", "/* abc", "$$ abc", r"U&'\12'"] {
            assert!(first_token(text).is_err(), "{text}");
        }
    }
}
