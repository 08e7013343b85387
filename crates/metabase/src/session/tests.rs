use super::*;

const COOKIE: &str = "4c2b1f3a-7a61-4c3e-9a6b-0d6b8f1f2e11";

const VALID: SessionFacts = SessionFacts {
    created_at_ms: 1_000_000,
    expires_at_ms: None,
    ended_at_ms: None,
    purpose: SessionPurpose::Normal,
    user: UserStanding::Active,
    rights: UserRights::Superuser,
};

#[test]
fn hashes_as_any_sha512_does() {
    // `printf abc | sha512sum`, the example of FIPS 180-4.
    assert_eq!(
        session_hash("abc"),
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    );
}

#[test]
fn a_value_is_taken_for_an_id_only_where_metabase_does() {
    let id = || SessionLookup::Id(Secret::new(COOKIE));
    assert_eq!(session_lookups(COOKIE, SessionSchema::PlainId, None), [id()]);
    assert_eq!(
        session_lookups(COOKIE, SessionSchema::KeyHashed, None),
        [SessionLookup::KeyHashed(session_hash(COOKIE)), id()]
    );
    // A random word as ids are since v54: whoever reads the table knows it, so it must not let anybody in.
    assert_eq!(
        session_lookups("aB3xY9kLm2Qz", SessionSchema::KeyHashed, None),
        [SessionLookup::KeyHashed(session_hash("aB3xY9kLm2Qz"))]
    );
}

#[test]
fn only_whole_uuids_are_well_formed() {
    assert!(is_well_formed_uuid(COOKIE));
    assert!(is_well_formed_uuid(&COOKIE.to_uppercase()));
    for value in [
        "",
        "1-1-1-1-1",
        &COOKIE[1..],
        &COOKIE.replace('-', "0"),
        &format!("{COOKIE} "),
        &"-".repeat(36),
    ] {
        assert!(!is_well_formed_uuid(value), "{value:?}");
    }
}

#[test]
fn a_session_secret_replaces_the_plain_hash() {
    let key = DerivedKey::derive(&Secret::new("a session secret of enough length")).unwrap();
    let lookups = session_lookups(COOKIE, SessionSchema::KeyHashed, Some(&key));
    let SessionLookup::KeyHashed(hash) = &lookups[0] else {
        panic!("no hash first: {lookups:?}")
    };
    assert_eq!(hash.len(), 128);
    assert!(!lookups.contains(&SessionLookup::KeyHashed(session_hash(COOKIE))));
}

#[test]
fn judges_by_age_end_purpose_and_standing() {
    let day_ms = 24 * 60 * 60_000;
    let now = VALID.created_at_ms + 14 * day_ms;
    let facts = [
        (VALID, now - 1, Ok(UserRights::Superuser)),
        (VALID, now, Err(SessionRefused::Expired)),
        (
            SessionFacts {
                rights: UserRights::Ordinary,
                ..VALID
            },
            now - 1,
            Ok(UserRights::Ordinary),
        ),
        (
            SessionFacts {
                user: UserStanding::Inactive,
                ..VALID
            },
            now - 1,
            Err(SessionRefused::Inactive),
        ),
        (
            SessionFacts {
                purpose: SessionPurpose::Embedded,
                ..VALID
            },
            now - 1,
            Err(SessionRefused::Embedded),
        ),
        (
            SessionFacts {
                ended_at_ms: Some(5),
                ..VALID
            },
            now - 1,
            Err(SessionRefused::Ended),
        ),
        (
            SessionFacts {
                expires_at_ms: Some(now - 1),
                ..VALID
            },
            now - 1,
            Err(SessionRefused::Expired),
        ),
        (
            SessionFacts {
                expires_at_ms: Some(now),
                ..VALID
            },
            now - 1,
            Ok(UserRights::Superuser),
        ),
    ];
    for (session, now_ms, expected) in facts {
        assert_eq!(
            judge_session(&session, now_ms, MAX_SESSION_AGE_MINUTES),
            expected,
            "{session:?} at {now_ms}"
        );
    }
}

#[test]
fn api_keys_are_found_by_seven_characters() {
    assert_eq!(api_key_prefix("mb_AbCd1234="), Some("mb_AbCd"));
    for text in ["", "mb_", "mb_AbCd", "xx_AbCd1234", "mb_ÄÖÜ1234"] {
        assert_eq!(api_key_prefix(text), None, "{text:?}");
    }
}
