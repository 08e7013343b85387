use super::*;
use crate::encryption::envelope::Keyring;
use crate::encryption::sentinel::check_sentinel;
use crate::secret::Secret;
use proptest::prelude::*;
use std::sync::LazyLock;

static KEY: LazyLock<DerivedKey> =
    LazyLock::new(|| DerivedKey::derive(&Secret::new("correct horse battery staple 42!")).unwrap());

/// 2021-02-11 18:38:56.042236 UTC, by `date -u -d '2021-02-11 18:38:56' +%s`.
const OLD_MICROS: i64 = 1_613_068_736_042_236;

fn now(after_old_micros: i64) -> DatabaseNow {
    DatabaseNow {
        unix_micros: OLD_MICROS + after_old_micros,
        server_offset_seconds: 0,
    }
}

/// The order of a collation that ignores punctuation at its first level, as glibc's and ICU's (shifted) do.
fn ignoring_punctuation(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_digit()).collect()
}

#[test]
fn boolean_texts() {
    let facts = [
        (None, Some(ReadOnlyMode::Off)),
        (Some(""), Some(ReadOnlyMode::Off)),
        (Some("true"), Some(ReadOnlyMode::On)),
        (Some("TRUE"), Some(ReadOnlyMode::On)),
        (Some("false"), Some(ReadOnlyMode::Off)),
        (Some("yes"), None),
    ];
    for (stored, expected) in facts {
        assert_eq!(ReadOnlyMode::from_setting_text(stored), expected, "{stored:?}");
    }
    assert_eq!(
        (ReadOnlyMode::On.setting_text(), ReadOnlyMode::Off.setting_text()),
        ("true", "false")
    );
}

#[test]
fn bumps_by_the_smallest_step_in_the_old_notation() {
    let facts = [
        (
            "2021-02-11 18:38:56.042236+00",
            Dialect::Postgres,
            "2021-02-11 18:38:57.000000+00",
        ),
        (
            "2021-02-12 00:08:56.04+05:30",
            Dialect::Postgres,
            "2021-02-12 00:08:57.000000+05:30",
        ),
        (
            "2021-02-11 15:38:56-03",
            Dialect::H2,
            "2021-02-11 15:38:57.000000-03",
        ),
        (
            "2020-02-28 23:59:59.9+00",
            Dialect::H2,
            "2020-02-29 00:00:00.000000+00",
        ),
        ("2020-12-31 23:59:59", Dialect::MySql, "2021-01-01 00:00:00"),
        (
            "2021-02-11 18:38:56.5",
            Dialect::MySql,
            "2021-02-11 18:38:57.000000",
        ),
    ];
    for (old, dialect, expected) in facts {
        assert_eq!(
            bump(Some(old), now(2_000_000), dialect),
            Ok(Bump::Write(expected.to_owned())),
            "{old}"
        );
    }
}

#[test]
fn waits_for_the_next_second_rather_than_write_the_future() {
    // Two writes within one second look equal on MySQL.
    assert_eq!(
        bump(Some("2021-02-11 18:38:56"), now(0), Dialect::MySql),
        Ok(Bump::Wait {
            micros: 1_000_000 - 42_236
        })
    );
    assert_eq!(
        bump(Some("2021-02-11 18:38:56.042236+00"), now(7), Dialect::Postgres),
        Ok(Bump::Wait {
            micros: 1_000_000 - 42_236 - 7
        })
    );
    assert_eq!(
        bump(
            Some("2021-02-11 18:38:56"),
            now(1_000_000 - 42_236),
            Dialect::MySql
        ),
        Ok(Bump::Write("2021-02-11 18:38:57".to_owned()))
    );
}

#[test]
fn refuses_the_future_foreign_zones_and_other_shapes() {
    let future = "2021-02-11 19:38:56+00".to_owned();
    assert_eq!(
        bump(Some(&future), now(0), Dialect::Postgres),
        Err(BumpRefused::Future {
            text: future,
            ahead_seconds: 3600
        })
    );
    // Two hours ahead of the server's own zone: a node with a session zone of its own wrote it.
    let foreign = "2021-02-11 20:38:56".to_owned();
    assert_eq!(
        bump(Some(&foreign), now(0), Dialect::MySql),
        Err(BumpRefused::ForeignOffset { text: foreign })
    );
    let far = "2031-02-11 20:38:56";
    assert!(matches!(
        bump(Some(far), now(0), Dialect::MySql),
        Err(BumpRefused::Future { .. })
    ));
    let shapes = [
        ("2021-02-11 18:38:56", Dialect::Postgres),
        ("2021-02-11 18:38:56+00", Dialect::MySql),
        ("2021-02-11T18:38:56+00", Dialect::Postgres),
        ("2021-02-11 18:38:56Z", Dialect::H2),
        ("2021-02-30 18:38:56+00", Dialect::Postgres),
        ("2021-02-11 18:38:56.+00", Dialect::Postgres),
        ("2021-02-11 18:38:56.1234567+00", Dialect::Postgres),
        ("2021-02-11 18:38:56+5", Dialect::Postgres),
        ("AAECAwQFBgcICQoLDA0ODw==", Dialect::Postgres),
        ("", Dialect::Postgres),
    ];
    for (text, dialect) in shapes {
        let refused = bump(Some(text), now(5_000_000), dialect);
        assert_eq!(
            refused,
            Err(BumpRefused::Unreadable {
                text: text.to_owned(),
                dialect
            })
        );
    }
}

#[test]
fn the_first_value_is_the_present() {
    let at = DatabaseNow {
        unix_micros: OLD_MICROS,
        server_offset_seconds: 7200,
    };
    assert_eq!(
        bump(None, at, Dialect::Postgres),
        Ok(Bump::FirstWrite("2021-02-11 18:38:56.000000+00".to_owned()))
    );
    assert_eq!(
        bump(None, at, Dialect::MySql),
        Ok(Bump::FirstWrite("2021-02-11 20:38:56".to_owned()))
    );
}

#[test]
fn columns_are_discovered_and_unknown_ones_refused() {
    assert_eq!(
        SettingColumns::discover(READ_ONLY_MODE, ["KEY", "VALUE"]),
        Ok(SettingColumns::Value)
    );
    assert_eq!(
        SettingColumns::discover(READ_ONLY_MODE, ["key", "value", "value_with_aad"]),
        Ok(SettingColumns::ValueAndAad)
    );
    assert!(SettingColumns::discover(READ_ONLY_MODE, ["key", "value", "value_sysadmin"]).is_err());
}

#[test]
fn both_columns_hold_what_a_node_will_read() {
    let iv: [u8; IV_BYTES] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let row = |columns, facts| setting_row(READ_ONLY_MODE, "true", columns, facts, iv);
    let no_key = |sentinel| EncryptionFacts {
        sentinel,
        key: None,
        last_updated_with_aad: None,
    };
    let with_key = |sentinel| EncryptionFacts {
        key: Some(&*KEY),
        ..no_key(sentinel)
    };
    let plain = |value_with_aad: Option<&str>| {
        Ok(SettingRow {
            value: "true".to_owned(),
            value_with_aad: value_with_aad.map(str::to_owned),
        })
    };

    // Without the second column a boolean is plain text, whatever the key.
    assert_eq!(
        row(SettingColumns::Value, no_key(SentinelState::KeyMissing)),
        plain(None)
    );
    assert_eq!(
        row(SettingColumns::ValueAndAad, no_key(SentinelState::Unencrypted)),
        plain(Some("true"))
    );
    assert_eq!(
        row(SettingColumns::ValueAndAad, no_key(SentinelState::Absent)),
        plain(Some("true"))
    );
    assert_eq!(
        row(SettingColumns::ValueAndAad, with_key(SentinelState::Verified)),
        // The vector of the reference for this setting and this key.
        plain(Some(
            "AAECAwQFBgcICQoLDA0OD2RY0ei4YGjQ8/I68lFAzDiMMx0BL97DmBCyiyu4sb/4Fj53kRMKwdlZsN4nWRhc5w=="
        ))
    );
    for facts in [
        no_key(SentinelState::KeyMissing),
        with_key(SentinelState::WrongKey),
        with_key(SentinelState::Unencrypted),
        EncryptionFacts {
            last_updated_with_aad: Some("2021-02-11 18:38:56+00"),
            ..with_key(SentinelState::Verified)
        },
        EncryptionFacts {
            last_updated_with_aad: Some("TUICAAAAAQ=="),
            ..no_key(SentinelState::Absent)
        },
    ] {
        let refused = row(SettingColumns::ValueAndAad, facts);
        assert!(refused.is_err(), "wrote {refused:?} with {facts:?}");
    }
}

#[test]
fn the_sentinel_tells_right_from_wrong_key() {
    let keys = Keyring::new(KEY.clone());
    let stored = KEY.encrypt_text("0e4b6b2e-8d5a-4d0e-8f6b-3c1f4f2d9a10", None, [7; IV_BYTES]);
    assert_eq!(check_sentinel(None, Some(&keys)), SentinelState::Absent);
    assert_eq!(
        check_sentinel(Some("unencrypted"), Some(&keys)),
        SentinelState::Unencrypted
    );
    assert_eq!(
        check_sentinel(Some(&stored), Some(&keys)),
        SentinelState::Verified
    );
    assert_eq!(check_sentinel(Some(&stored), None), SentinelState::KeyMissing);
    let damaged = stored.replacen('B', "C", 1);
    assert_eq!(
        check_sentinel(Some(&damaged), Some(&keys)),
        SentinelState::WrongKey
    );
}

/// A time as Postgres and H2 print it (no trailing zeros in the fraction), or as MySQL does.
fn printed(unix_micros: i64, offset_minutes: i64, dialect: Dialect) -> String {
    let wall = unix_micros + offset_minutes * 60 * MICROS_PER_SECOND;
    let first = DatabaseNow {
        unix_micros: wall,
        server_offset_seconds: 0,
    };
    let seconds = TimeText::first(first, Dialect::MySql).to_string();
    if dialect == Dialect::MySql {
        return seconds;
    }
    let fraction = format!(".{:06}", wall.rem_euclid(MICROS_PER_SECOND));
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset_minutes.abs() / 60, offset_minutes.abs() % 60);
    let minutes = if minutes == 0 {
        String::new()
    } else {
        format!(":{minutes:02}")
    };
    format!(
        "{seconds}{}{sign}{hours:02}{minutes}",
        fraction.trim_end_matches('0').trim_end_matches('.')
    )
}

proptest! {
    #[test]
    fn a_bump_sorts_after_the_old_value_and_never_lies_in_the_future(
        old_micros in 0_i64..4_000_000_000_000_000,
        elapsed_micros in 0_i64..5_000_000,
        quarters in -48_i64..56,
        dialect in prop_oneof![Just(Dialect::Postgres), Just(Dialect::H2), Just(Dialect::MySql)],
    ) {
        let old = printed(old_micros, quarters * 15, dialect);
        let server_offset_seconds = i32::try_from(quarters * 15 * 60).unwrap();
        let now = DatabaseNow { unix_micros: old_micros + elapsed_micros, server_offset_seconds };
        let new = match bump(Some(&old), now, dialect).unwrap() {
            Bump::Write(new) => new,
            Bump::FirstWrite(_) => return Err(TestCaseError::fail("there was an old value")),
            Bump::Wait { micros } => {
                prop_assert!(micros <= 1_000_000, "waits {micros} µs for one second");
                let later = DatabaseNow { unix_micros: now.unix_micros + i64::try_from(micros).unwrap(), ..now };
                let Ok(Bump::Write(new)) = bump(Some(&old), later, dialect) else {
                    return Err(TestCaseError::fail("waiting as told was not enough"));
                };
                let present = printed(later.unix_micros, quarters * 15, dialect);
                prop_assert_eq!(present.get(..19), new.get(..19));
                new
            }
        };
        prop_assert!(new > old, "{new} sorts before {old} by code units");
        prop_assert!(ignoring_punctuation(&new) > ignoring_punctuation(&old), "{new} before {old} by collation");
        // What Metabase writes a second later, with the same offset, sorts after ours both ways.
        let metabase = printed(old_micros + elapsed_micros + 2_000_001, quarters * 15, dialect);
        prop_assert!(metabase > new && ignoring_punctuation(&metabase) > ignoring_punctuation(&new));
    }

    #[test]
    fn texts_survive_being_taken_apart(micros in -60_000_000_000_000_000_i64..250_000_000_000_000_000) {
        let text = printed(micros, 0, Dialect::MySql);
        prop_assert_eq!(TimeText::parse(&text).unwrap().to_string(), text);
    }
}
