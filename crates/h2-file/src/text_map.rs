//! Text maps: `key:value` pairs joined by commas, with an optional checksum at the end. Used by the file header,
//! chunk headers and footers, and the values of the layout and meta maps.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use crate::error::Malformed;
use crate::fletcher::fletcher32;

/// A parsed text map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextMap {
    entries: BTreeMap<String, String>,
}

impl TextMap {
    /// Parses Latin-1 text.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut entries = BTreeMap::new();
        let mut bytes = text.iter().copied().enumerate().peekable();
        while bytes.peek().is_some() {
            let mut key = String::new();
            loop {
                match bytes.next() {
                    Some((_, b':')) => break,
                    Some((_, byte)) => key.push(char::from(byte)),
                    None => return Err(Malformed::new(text.len(), "text map key without a value")),
                }
            }
            let mut value = String::new();
            while let Some((at, byte)) = bytes.next() {
                match byte {
                    b',' => break,
                    b'"' => loop {
                        match bytes.next() {
                            Some((_, b'"')) => break,
                            Some((_, b'\\')) => match bytes.next() {
                                Some((_, escaped)) => value.push(char::from(escaped)),
                                None => return Err(Malformed::new(at, "unclosed quote in a text map")),
                            },
                            Some((_, quoted)) => value.push(char::from(quoted)),
                            None => return Err(Malformed::new(at, "unclosed quote in a text map")),
                        }
                    },
                    _ => value.push(char::from(byte)),
                }
            }
            entries.insert(key, value);
        }
        Ok(Self { entries })
    }

    /// Parses text whose last entry is `fletcher`, and checks it.
    pub(crate) fn parse_checked(text: &[u8]) -> Result<Self, Malformed> {
        const MARK: &[u8] = b",fletcher:";
        let text = trim(text);
        let mark = text
            .windows(MARK.len())
            .rposition(|window| window == MARK)
            .ok_or(Malformed::new(text.len(), "no checksum"))?;
        let (covered, stored) = text.split_at_checked(mark).unwrap_or((text, &[]));
        let stored = stored
            .get(MARK.len()..)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u32::from_str_radix(hex, 16).ok())
            .ok_or(Malformed::new(mark, "checksum is not a number"))?;
        if stored != fletcher32(covered) {
            return Err(Malformed::new(mark, "checksum does not match"));
        }
        Self::parse(covered)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    /// A hexadecimal number; `None` if the key is absent.
    pub(crate) fn hex(&self, key: &str) -> Result<Option<u64>, Malformed> {
        match self.get(key) {
            None => Ok(None),
            Some(text) => u64::from_str_radix(text, 16)
                .map(Some)
                .map_err(|_| Malformed::new(0, "value is not a hexadecimal number")),
        }
    }

    /// The same, with a default for an absent key.
    pub(crate) fn hex_or(&self, key: &str, default: u64) -> Result<u64, Malformed> {
        Ok(self.hex(key)?.unwrap_or(default))
    }
}

/// H2 takes every byte up to the space as white space.
fn trim(mut text: &[u8]) -> &[u8] {
    while let Some((first, rest)) = text.split_first()
        && *first <= b' '
    {
        text = rest;
    }
    while let Some((last, rest)) = text.split_last()
        && *last <= b' '
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::TextMap;

    #[test]
    fn unquotes_values_with_commas_and_quotes() {
        let map = TextMap::parse(br#"name:"a,\"b\\",x:1f,empty:"#).unwrap();
        assert_eq!(map.get("name"), Some("a,\"b\\"));
        assert_eq!(map.hex("x"), Ok(Some(0x1f)));
        assert_eq!(map.get("empty"), Some(""));
        assert!(map.hex("name").is_err());
    }

    #[test]
    fn refuses_a_changed_text() {
        let good = b"  chunk:1,block:2,version:1,fletcher:84d0d5f6 \n";
        assert_eq!(TextMap::parse_checked(good).unwrap().hex("block"), Ok(Some(2)));
        assert!(TextMap::parse_checked(b"chunk:1,block:3,version:1,fletcher:84d0d5f6").is_err());
        assert!(TextMap::parse_checked(b"chunk:1").is_err());
        assert!(TextMap::parse(b"no colon").is_err());
    }
}
