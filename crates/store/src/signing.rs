//! URLs that carry their own permission: path and end of life under HMAC-SHA256.
//!
//! The key is made at the first start and stays in the data folder, so URLs survive a restart.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use sha2::Sha256;

use crate::StoreError;

/// Signs paths, and tells whether a signature is ours.
pub(crate) struct Presigner {
    key: [u8; 32],
}

/// Why a URL gives no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// Not made by us for this path, or changed since.
    Forged,
    /// Ours, and too old.
    Expired,
}

impl std::fmt::Debug for Presigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presigner").finish_non_exhaustive()
    }
}

impl Presigner {
    /// With the key in that file, which is made if it is not there: 64 hex digits, for its owner's eyes only.
    pub(crate) fn open(file: &Path) -> Result<Self, StoreError> {
        let failed = |what, source| StoreError::Folder {
            what,
            path: file.to_owned(),
            source,
        };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::rng().random();
                let text = hex::encode(key);
                // Written beside and linked: of two starts at once one wins and both read the winner's key.
                let fresh = file.with_extension(format!("{:016x}", rand::rng().random::<u64>()));
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(0o600);
                options
                    .open(&fresh)
                    .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
                    .map_err(|source| failed("write", source))?;
                let linked = fs::hard_link(&fresh, file);
                fs::remove_file(&fresh).map_err(|source| failed("tidy up beside", source))?;
                match linked {
                    Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                        return Err(failed("write", source));
                    }
                    _ => fs::read_to_string(file).map_err(|source| failed("read", source))?,
                }
            }
            Err(source) => return Err(failed("read", source)),
        };
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| StoreError::Damaged {
            path: file.to_owned(),
            why: "a signing key is 64 hex digits".to_owned(),
        })?;
        Ok(Self { key })
    }

    /// The query that permits a PUT to `path` until `expires_s`, seconds since 1970.
    pub(crate) fn query(&self, path: &str, expires_s: u64) -> String {
        let signature = hex::encode(self.mac(path, expires_s).finalize().into_bytes());
        format!("expires={expires_s}&signature={signature}")
    }

    /// Does that query permit a PUT to `path` at `now_s`?
    pub(crate) fn check(&self, path: &str, query: &str, now_s: u64) -> Result<(), Unsigned> {
        let (expires, signature) = query.split_once('&').ok_or(Unsigned::Forged)?;
        let expires = expires.strip_prefix("expires=").ok_or(Unsigned::Forged)?;
        let expires_s: u64 = expires.parse().map_err(|_| Unsigned::Forged)?;
        let signature = signature.strip_prefix("signature=").ok_or(Unsigned::Forged)?;
        let signature = hex::decode(signature).map_err(|_| Unsigned::Forged)?;
        // `verify_slice` takes the same time wherever the difference is.
        self.mac(path, expires_s)
            .verify_slice(&signature)
            .map_err(|_| Unsigned::Forged)?;
        if now_s > expires_s {
            Err(Unsigned::Expired)
        } else {
            Ok(())
        }
    }

    fn mac(&self, path: &str, expires_s: u64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(b"metaferry-store-v1\nPUT\n");
        mac.update(path.as_bytes());
        mac.update(b"\n");
        mac.update(expires_s.to_string().as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_signature_is_good_for_its_path_until_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let presigner = Presigner::open(&dir.path().join("signing.key")).unwrap();
        let query = presigner.query("/objects/a", 1_000);
        assert_eq!(presigner.check("/objects/a", &query, 1_000), Ok(()));
        assert_eq!(
            presigner.check("/objects/a", &query, 1_001),
            Err(Unsigned::Expired)
        );
        assert_eq!(presigner.check("/objects/b", &query, 1), Err(Unsigned::Forged));
        let longer = query.replace("expires=1000", "expires=9000");
        assert_eq!(presigner.check("/objects/a", &longer, 1), Err(Unsigned::Forged));
        for bad in [
            "",
            "expires=1000",
            "expires=1000&signature=",
            "expires=1000&signature=zz",
            "signature=00&expires=1",
        ] {
            assert_eq!(
                presigner.check("/objects/a", bad, 1),
                Err(Unsigned::Forged),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_key_is_for_its_owner_only_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("signing.key");
        let query = Presigner::open(&file).unwrap().query("/objects/a", 1_000);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            Presigner::open(&file).unwrap().check("/objects/a", &query, 1),
            Ok(())
        );
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left beside the key"
        );
        let other = tempfile::tempdir().unwrap();
        let other = Presigner::open(&other.path().join("signing.key")).unwrap();
        assert_eq!(other.check("/objects/a", &query, 1), Err(Unsigned::Forged));
    }

    #[test]
    fn a_damaged_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("signing.key");
        fs::write(&file, "abc").unwrap();
        assert!(matches!(Presigner::open(&file), Err(StoreError::Damaged { path, .. }) if path == file));
    }
}
