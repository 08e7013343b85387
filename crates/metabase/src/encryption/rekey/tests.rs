use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};

use super::{Change, Rekey, RekeyFacts};
use crate::encryption::DerivedKey;
use crate::encryption::envelope::Keyring;
use crate::encryption::recode::{RandomBytes, Unreadable};
use crate::error::RekeyRefused;
use crate::secret::Secret;

/// Deriving is slow on purpose: once for all tests.
static OLD: LazyLock<DerivedKey> =
    LazyLock::new(|| DerivedKey::derive(&Secret::new("correct horse battery staple 42!")).unwrap());
static NEW: LazyLock<DerivedKey> =
    LazyLock::new(|| DerivedKey::derive(&Secret::new("a new horse, a new staple, 2026")).unwrap());

const KEY_MATERIAL: &str = "000102030405060708090a0b90de3be76d6dfaaa4f0c4ef0e3a5ad054c5518439381307dea0a064d7f7c71c36c67b78554ed2ab0381ce9641c3da49f";
const ENVELOPE: &str = "TUICAAAAAQABAgMEBQYHCAkKCzwgsnnn3+Bjrzy4m5PBxilEJ/VTgzfbPEVo";

fn random() -> RandomBytes {
    let next = AtomicU8::new(0);
    Arc::new(move || [next.fetch_add(1, Ordering::Relaxed); 16])
}

fn plan(
    sentinel: Option<&str>,
    major: Option<u32>,
    old: Option<&DerivedKey>,
    new: Option<&DerivedKey>,
) -> Result<Change, RekeyRefused> {
    let old = old.map(|key| Keyring::new(key.clone()));
    let facts = RekeyFacts { sentinel, major };
    Rekey::plan(&facts, old, new.cloned(), random(), Unreadable::Refuse).map(|rekey| rekey.change())
}

#[test]
fn keys_and_sentinel_decide_what_is_done_or_why_not() {
    let sealed = OLD.encrypt_text("0b3ecf65-3b24-4fd3-9a7c-0d7e1c5a2f10", None, [7; 16]);
    let (sealed, plain) = (Some(sealed.as_str()), Some("unencrypted"));
    let (old, new) = (Some(&*OLD), Some(&*NEW));
    let (today, strict) = (Some(55), Some(63));
    for (sentinel, major, from, to, expected) in [
        (sealed, today, old, new, Ok(Change::Rotate)),
        (sealed, strict, old, new, Ok(Change::Rotate)),
        (sealed, None, old, new, Ok(Change::Rotate)),
        (sealed, today, old, None, Ok(Change::Decrypt)),
        // Before v53 nothing says so; the values will.
        (None, Some(50), old, new, Ok(Change::Rotate)),
        (plain, today, None, new, Ok(Change::Encrypt)),
        (None, today, None, new, Ok(Change::Encrypt)),
        (sealed, today, new, old, Err(RekeyRefused::WrongKey)),
        (sealed, today, None, new, Err(RekeyRefused::KeyMissing)),
        (sealed, today, old, old, Err(RekeyRefused::SameKey)),
        (plain, today, old, new, Err(RekeyRefused::NotEncrypted)),
        (plain, today, None, None, Err(RekeyRefused::NoKeys)),
        (plain, strict, None, new, Err(RekeyRefused::NotEncryptable)),
        (plain, None, None, new, Err(RekeyRefused::NotEncryptable)),
    ] {
        assert_eq!(plan(sentinel, major, from, to), expected, "{major:?}");
    }
}

#[test]
fn a_key_that_opened_nothing_was_not_this_databases() {
    let facts = RekeyFacts {
        sentinel: None,
        major: Some(50),
    };
    let old = Some(Keyring::new(OLD.clone()));
    let rekey = Rekey::plan(&facts, old, Some(NEW.clone()), random(), Unreadable::Refuse).unwrap();
    assert_eq!(rekey.refuse_if_nothing(0), Err(RekeyRefused::NotEncrypted));
    assert_eq!(rekey.refuse_if_nothing(1), Ok(()));
}

#[test]
fn a_data_key_that_is_wrapped_anew_opens_the_same_envelope_with_the_new_key_alone() {
    let old = Keyring::new(OLD.clone());
    let material = hex::decode(KEY_MATERIAL).unwrap();
    let rewrapped = old.rewrap_data_key(&material, &NEW, [9; 12]).unwrap();
    assert_eq!((rewrapped.len(), &rewrapped[..12]), (60, &[9; 12][..]));
    let mut renewed = Keyring::new(NEW.clone());
    renewed.unwrap_data_key(1, &rewrapped).unwrap();
    assert_eq!(renewed.decrypt_text(ENVELOPE, None).unwrap(), r#"{"db":"x"}"#);
    assert!(Keyring::new(OLD.clone()).unwrap_data_key(1, &rewrapped).is_err());
    assert!(
        Keyring::new(NEW.clone())
            .rewrap_data_key(&material, &OLD, [9; 12])
            .is_err()
    );
}
