//! Keys that are secrets: how Metabase's API is asked, and the encryption key to be.

use metaferry_metabase::Secret;
use metaferry_metabase::encryption::SECRET_CHARS_MIN;
use metaferry_metabase::error::KeyTooShort;

use super::keys::{Keys, Named};

/// The key that `rekey` writes, or nothing where it decrypts.
pub(crate) const NEW_KEY: &str = "METAFERRY_NEW_ENCRYPTION_SECRET_KEY";

/// How Metabase itself is asked.
#[derive(Debug, Clone)]
pub(crate) struct MetabaseApi {
    /// One for each node.
    pub(crate) addresses: Vec<String>,
    pub(crate) key: Secret,
}

/// A key to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewKey {
    /// None: everything is decrypted. Said by a variable that is there and empty.
    Plain,
    /// This one.
    Secret(Secret),
}

impl Keys {
    /// Addresses and key, each worth nothing without the other.
    pub(super) fn metabase_api(&mut self) -> Option<MetabaseApi> {
        const URL: &str = "metabase_url";
        const KEY: &str = "metabase_api_key";
        let addresses: Vec<String> = self
            .take(URL)
            .unwrap_or_default()
            .split([',', ' '])
            .filter(|address| !address.is_empty())
            .map(str::to_owned)
            .collect();
        match (addresses.is_empty(), self.secret(KEY)) {
            (true, Named::Not) | (_, Named::Wrongly) => None,
            (false, Named::As(key)) if !key.expose().is_empty() => Some(MetabaseApi { addresses, key }),
            (false, Named::As(_) | Named::Not) => {
                self.problem(
                    KEY,
                    "an administrator's API key is needed beside METAFERRY_METABASE_URL",
                );
                None
            }
            (true, Named::As(_)) => {
                self.problem(
                    URL,
                    "Metabase's address is needed beside METAFERRY_METABASE_API_KEY",
                );
                None
            }
        }
    }

    /// From the variable or from the file that another one names, else `unnamed`. An empty file is a mistake, not a wish.
    pub(super) fn new_key(&mut self, unnamed: Option<NewKey>) -> Option<NewKey> {
        const KEY: &str = "new_encryption_secret_key";
        const FILE: &str = "new_encryption_secret_key_file";
        let secret = match self.secret(KEY) {
            Named::As(secret) => secret,
            Named::Not => return unnamed,
            Named::Wrongly => return None,
        };
        match secret.expose().chars().count() {
            0 => {
                self.problem(
                    FILE,
                    &format!("the file is empty; to decrypt, set {NEW_KEY} to nothing"),
                );
                None
            }
            chars if chars < SECRET_CHARS_MIN => {
                self.problem(KEY, &KeyTooShort { chars }.to_string());
                None
            }
            _ => Some(NewKey::Secret(secret)),
        }
    }
}

#[cfg(test)]
mod tests {
    use metaferry_metabase::Secret;

    use super::{NEW_KEY, NewKey};
    use crate::config::tests::config;

    #[test]
    fn a_new_key_is_given_by_a_variable_or_a_file_and_decrypting_by_an_empty_variable_alone() {
        let new_key = |pairs: &[(&str, &str)]| config(pairs).map(|config| config.new_encryption_key);
        assert_eq!(new_key(&[]).unwrap(), None);
        assert_eq!(new_key(&[(NEW_KEY, "")]).unwrap(), Some(NewKey::Plain));
        let secret = "a new horse, a new staple";
        let expected = Some(NewKey::Secret(Secret::new(secret)));
        assert_eq!(new_key(&[(NEW_KEY, secret)]).unwrap(), expected);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        let by_file = ("METAFERRY_NEW_ENCRYPTION_SECRET_KEY_FILE", file.to_str().unwrap());
        assert_eq!(new_key(&[by_file]).unwrap(), expected);
        for wrong in [&[(NEW_KEY, secret), by_file][..], &[(NEW_KEY, "too short")]] {
            let error = new_key(wrong).unwrap_err();
            assert!(
                error.message.contains(NEW_KEY) && !error.message.contains("horse"),
                "{}",
                error.message
            );
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(new_key(&[by_file]).unwrap_err().message.contains("is empty"));
    }

    #[test]
    fn metabase_is_asked_at_one_address_or_several_with_a_key() {
        let api = |pairs: &[(&str, &str)]| config(pairs).map(|config| config.metabase_api);
        let (url, key) = ("METAFERRY_METABASE_URL", "METAFERRY_METABASE_API_KEY");
        assert!(api(&[]).unwrap().is_none());
        let both = api(&[(url, "http://a:3000, http://b:3000"), (key, "mb_horse")])
            .unwrap()
            .unwrap();
        assert_eq!(both.addresses, ["http://a:3000", "http://b:3000"]);
        assert_eq!(both.key.expose(), "mb_horse");
        assert!(!format!("{both:?}").contains("horse"));
        for (wrong, named) in [((url, "http://a"), key), ((key, "mb_horse"), url)] {
            let error = api(&[wrong]).unwrap_err();
            assert!(
                error.message.contains(named) && !error.message.contains("horse"),
                "{}",
                error.message
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "mb_horse\n").unwrap();
        let by_file = [
            (url, "http://a"),
            ("METAFERRY_METABASE_API_KEY_FILE", file.to_str().unwrap()),
        ];
        assert_eq!(api(&by_file).unwrap().unwrap().key.expose(), "mb_horse");
    }
}
