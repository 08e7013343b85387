use super::classify::{Classified, classify_bytes, classify_text};
use super::envelope::Keyring;
use super::*;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Deriving is slow on purpose: once for all tests.
static KEY: LazyLock<DerivedKey> =
    LazyLock::new(|| DerivedKey::derive(&Secret::new("correct horse battery staple 42!")).unwrap());
static KEYS: LazyLock<Keyring> = LazyLock::new(|| Keyring::new(KEY.clone()));

const AAD: &[u8] = b"setting.read-only-mode";

fn counting<const N: usize>() -> [u8; N] {
    std::array::from_fn(|at| u8::try_from(at).unwrap())
}

/// Plain text, AAD, stored value: the reference's vectors for the key above and the IV 00 … 0f.
const LEGACY_VECTORS: [(&str, Option<&[u8]>, &str); 3] = [
    (
        r#"{"db":"x"}"#,
        None,
        "AAECAwQFBgcICQoLDA0OD/lHjH6NjSf9RQh9yC32O+y7ov0M9juoTnaWXRuG3V28sF0GrYZRTfKwPw3IpU1WIg==",
    ),
    (
        "0123456789abcdef",
        None,
        "AAECAwQFBgcICQoLDA0OD5k0pG0o4Y7FuLkg38d9R7kJb0EuPg9iF0onTdHnkGZxunARhd1qTMcSR+eKNuAjpyJqMApcF+Q98wzTkD0+Afw=",
    ),
    (
        "true",
        Some(AAD),
        "AAECAwQFBgcICQoLDA0OD2RY0ei4YGjQ8/I68lFAzDiMMx0BL97DmBCyiyu4sb/4Fj53kRMKwdlZsN4nWRhc5w==",
    ),
];

const KEY_MATERIAL: &str = "000102030405060708090a0b90de3be76d6dfaaa4f0c4ef0e3a5ad054c5518439381307dea0a064d7f7c71c36c67b78554ed2ab0381ce9641c3da49f";
const ENVELOPE: &str = "TUICAAAAAQABAgMEBQYHCAkKCzwgsnnn3+Bjrzy4m5PBxilEJ/VTgzfbPEVo";

#[test]
fn derives_the_reference_key() {
    assert_eq!(
        hex::encode(KEY.bytes()),
        "622f5b668a9a94062f7c18217d06558da090570e546240afbf65c9f69dac8280986e60363b8278e48ed0fb6434766b9321720864268121227b31760aff5c04b8"
    );
    assert_eq!(
        DerivedKey::derive(&Secret::new("15 characters !")).unwrap_err(),
        KeyTooShort { chars: 15 }
    );
    assert_eq!(format!("{:?}", *KEY), "DerivedKey(***)");
}

#[test]
fn legacy_vectors_hold_both_ways() {
    for (plain, aad, stored) in LEGACY_VECTORS {
        assert_eq!(KEY.encrypt_text(plain, aad, counting()), stored);
        assert_eq!(KEY.decrypt_text(stored, aad).unwrap(), plain);
        assert_eq!(KEYS.decrypt_text(stored, aad).unwrap(), plain);
        let other_aad = if aad.is_none() { Some(AAD) } else { None };
        assert_eq!(
            KEY.decrypt_text(stored, other_aad),
            Err(DecryptError::Mac),
            "{plain} with another AAD"
        );
    }
}

#[test]
fn envelope_vectors_hold() {
    let mut keys = Keyring::new(KEY.clone());
    assert_eq!(
        keys.decrypt_text(ENVELOPE, None),
        Err(DecryptError::UnknownGeneration { generation: 1 })
    );
    keys.unwrap_data_key(1, &hex::decode(KEY_MATERIAL).unwrap())
        .unwrap();
    assert_eq!(keys.decrypt_text(ENVELOPE, None).unwrap(), r#"{"db":"x"}"#);
    assert_eq!(keys.decrypt_text(ENVELOPE, Some(AAD)), Err(DecryptError::Mac));
    assert_eq!(
        classify_text(ENVELOPE, Some(&keys), &[]),
        Classified::Verified(r#"{"db":"x"}"#.to_owned())
    );
    assert_eq!(
        classify_text(ENVELOPE, Some(&KEYS), &[]),
        Classified::LooksEncrypted
    );

    let mut damaged = hex::decode(KEY_MATERIAL).unwrap();
    damaged[20] ^= 1;
    assert_eq!(keys.unwrap_data_key(2, &damaged), Err(DecryptError::Mac));
    assert_eq!(keys.unwrap_data_key(2, &damaged[..20]), Err(DecryptError::Shape));
}

#[test]
fn a_legacy_value_that_begins_like_an_envelope_is_still_read() {
    let mut iv = counting();
    iv[..3].copy_from_slice(&envelope::MAGIC);
    let stored = KEY.encrypt_text("x", None, iv);
    assert!(stored.starts_with("TUIC"));
    assert_eq!(KEYS.decrypt_text(&stored, None).unwrap(), "x");
}

#[test]
fn the_stream_format_is_read() {
    let stored = KEY.encrypt_stream(b"rows", counting());
    assert_eq!(&stored[..32], b"AES/CBC/PKCS5Padding            ");
    assert_eq!(KEY.decrypt_stream(&stored).unwrap(), b"rows");
    assert_eq!(KEY.decrypt_stream(b"rows"), Err(DecryptError::Shape));
    assert_eq!(KEY.decrypt_stream(&stored[..40]), Err(DecryptError::Shape));
    assert_eq!(
        classify_bytes(&stored, Some(&KEYS), &[]),
        Classified::LooksEncrypted
    );
}

#[test]
fn tells_ciphertext_from_what_only_looks_like_it() {
    let (plain, _, stored) = LEGACY_VECTORS[0];
    assert_eq!(
        classify_text(stored, Some(&KEYS), &[]),
        Classified::Verified(plain.to_owned())
    );
    assert_eq!(classify_text(stored, None, &[]), Classified::LooksEncrypted);
    let (plain, _, stored) = LEGACY_VECTORS[2];
    assert_eq!(
        classify_text(stored, Some(&KEYS), &[AAD]),
        Classified::Verified(plain.to_owned())
    );
    assert_eq!(
        classify_text(stored, Some(&KEYS), &[]),
        Classified::LooksEncrypted
    );

    let facts = [
        "",
        "false",
        r#"{"db":"a database with a long enough name to be interesting, and more and more"}"#,
        // 64 hex digits (a token), 128 hex digits (a session's hash): valid Base64 of a fitting length.
        &"0123456789abcdef".repeat(4),
        &"0123456789abcdef".repeat(8),
        "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        // Words without digits.
        &"ThisIsNotEncrypted".repeat(8)[..128],
        // Base64 of a text whose length fits.
        &STANDARD.encode("a text of exactly sixty-four bytes, which is four blocks of AES!"),
    ];
    for text in facts {
        assert_eq!(
            classify_text(text, Some(&KEYS), &[AAD]),
            Classified::Plaintext,
            "{text}"
        );
    }
    assert_eq!(format!("{:?}", Classified::Verified("hunter2")), "Verified(***)");
}

#[test]
fn tells_binary_ciphertext_from_files() {
    let stored = KEY.encrypt_bytes(&counting::<200>(), None, counting());
    assert_eq!(
        classify_bytes(&stored, Some(&KEYS), &[]),
        Classified::Verified(counting::<200>().to_vec())
    );
    assert_eq!(classify_bytes(&stored, None, &[]), Classified::LooksEncrypted);
    // A key file of a length that fits, a 32-byte hash, a DER sequence that fills its file, a Java key store.
    let mut der = vec![0x30, 0x82, 0x00, 0x5c];
    der.resize(96, 0xfa);
    let mut store = vec![0xfe, 0xed, 0xfe, 0xed];
    store.resize(96, 0xfa);
    for raw in [
        b"-----BEGIN PRIVATE KEY-----\n".repeat(16),
        vec![0xfa; 32],
        der,
        store,
        Vec::new(),
    ] {
        assert_eq!(
            classify_bytes(&raw, Some(&KEYS), &[]),
            Classified::Plaintext,
            "{} bytes",
            raw.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_byte_of_a_value_is_protected(
        plain in prop::collection::vec(any::<u8>(), 0..100),
        aad in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        iv in any::<[u8; IV_BYTES]>(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let stored = KEY.encrypt_bytes(&plain, aad.as_deref(), iv);
        prop_assert_eq!(&KEYS.decrypt_bytes(&stored, aad.as_deref()).unwrap(), &plain);
        let mut damaged = stored.clone();
        damaged[at.index(stored.len())] ^= 1 << bit;
        prop_assert!(KEYS.decrypt_bytes(&damaged, aad.as_deref()).is_err());
        prop_assert!(KEYS.decrypt_bytes(&stored[..at.index(stored.len())], aad.as_deref()).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(raw in prop::collection::vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let mut raw = raw;
        if magic {
            raw.splice(0..0, envelope::MAGIC);
        }
        prop_assert!(!matches!(classify_bytes(&raw, Some(&KEYS), &[AAD]), Classified::Verified(_)));
        prop_assert!(!matches!(classify_text(&STANDARD.encode(&raw), Some(&KEYS), &[]), Classified::Verified(_)));
        prop_assert!(KEY.decrypt_bytes(&raw, None).is_err());
    }

    #[test]
    fn text_that_is_written_is_never_taken_for_plain(plain in ".{0,200}", iv in any::<[u8; IV_BYTES]>()) {
        let stored = KEY.encrypt_text(&plain, None, iv);
        prop_assert_eq!(classify_text(&stored, None, &[]), Classified::LooksEncrypted);
    }
}
