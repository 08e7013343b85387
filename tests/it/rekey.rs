//! `rekey` on the real binary. Postgres' own pgcrypto encrypts an app DB under the old key and opens it under the new one;
//! the new key was derived by Python's hashlib, and Java's own cipher opens the data key that was wrapped anew.

mod endings;
mod mariadb;
mod memory;
mod refused;

use std::process::{Command, Output};

use serde_json::Value;

use crate::app_db::{AppDb, ended, metaferry_with, psql, told};
use crate::encryption::{ENVELOPE, Keys, OWN_TABLE, SECRET, encrypt, give_pgcrypto_of};

const NEW_SECRET: &str = "a new horse, a new staple, 2026";
/// `hashlib.pbkdf2_hmac('sha512', NEW_SECRET, b'', 100000)`
const NEW_KEYS: Keys = Keys {
    mac: "d4b8bfca554af6021530d1b610f13a3458ee203bf8bca41711a1e36c2502d9dc",
    cipher: "88247a09d516c16589d36fc459ae81cebdd41cfce948fa956fef6cf6b17eec91",
};
const NEW_KEY: &str = "METAFERRY_NEW_ENCRYPTION_SECRET_KEY";

/// Both keys, in the variables that have them.
fn rekey(old: Option<&str>, new: Option<&str>, arguments: &[&str]) -> Output {
    metaferry_with(&variables(old, new), &[&["--json", "rekey"], arguments].concat())
}

fn variables<'a>(old: Option<&'a str>, new: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let old = old.map(|key| ("MB_ENCRYPTION_SECRET_KEY", key));
    old.into_iter().chain(new.map(|key| (NEW_KEY, key))).collect()
}

fn done(output: &Output) -> Value {
    let (json, code) = ended(output);
    assert_eq!(code, 0, "{json} {}", told(output));
    json
}

/// Everything that is in it, as Postgres' own tool says it.
fn state(url: &str) -> String {
    let output = Command::new("pg_dump")
        .args(["--data-only", "-d", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    // Newer versions begin and end with a random word.
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// More formats than an app DB has today: with AAD, and a stream outside of the cache.
const MORE: &str = "ALTER TABLE public.setting ADD COLUMN value_with_aad text;
    UPDATE public.setting SET value_with_aad = value WHERE key <> 'encryption-check';
    ALTER TABLE public.somebodys_own ADD COLUMN streamed bytea;
    UPDATE public.somebodys_own SET streamed = convert_to(repeat('streamed ' || id, 20), 'UTF8');
    INSERT INTO public.query_cache VALUES ('\\x01', now(), '\\x02');";

/// A plain app DB, and the same under [`SECRET`]; for both keys, each has the functions of `oracle` and of `renewed`.
fn plain_and_encrypted() -> Option<(AppDb, AppDb)> {
    let (plain, encrypted) = (AppDb::load()?, AppDb::load()?);
    for app_db in [&plain, &encrypted] {
        psql(&app_db.url, OWN_TABLE);
        psql(&app_db.url, MORE);
    }
    psql(
        &plain.url,
        "DELETE FROM public.setting WHERE key = 'encryption-check'",
    );
    encrypt(&encrypted.url);
    psql(
        &encrypted.url,
        "SET search_path = public, oracle, crypto;
         UPDATE setting SET value_with_aad = seal(value_with_aad, 'setting.' || key) WHERE key <> 'encryption-check';
         UPDATE somebodys_own SET streamed = seal_stream(streamed);",
    );
    give_pgcrypto_of(&encrypted.url, "renewed", &NEW_KEYS);
    Some((plain, encrypted))
}

/// Per column, all its values opened by `open`, which gets a column's name and its AAD; in the order of the key.
fn opened(url: &str, open: impl Fn(&str, &str, Option<&str>) -> String) -> Vec<(String, String)> {
    let mut columns: Vec<(&str, String, String, &str, Option<&str>)> = vec![
        ("metabase_database", "details".into(), "id".into(), "true", None),
        ("metabase_database", "settings".into(), "id".into(), "true", None),
        ("core_user", "settings".into(), "id".into(), "true", None),
        ("channel", "details".into(), "id".into(), "true", None),
        ("secret", "value".into(), "id".into(), "length(value) > 0", None),
        (
            "setting",
            "value".into(),
            "key".into(),
            "key NOT IN ('settings-last-updated', 'encryption-check') AND value NOT IN ('true', 'false', '')",
            None,
        ),
        (
            "setting",
            "value_with_aad".into(),
            "key".into(),
            "key NOT IN ('settings-last-updated', 'encryption-check')",
            Some("'setting.' || key"),
        ),
        ("somebodys_own", "raw".into(), "id".into(), "true", None),
        (
            "somebodys_own",
            "streamed".into(),
            "id".into(),
            "true",
            Some("stream"),
        ),
    ];
    columns.extend((1..=13).map(|n| ("somebodys_own", format!("c{n:02}"), "id".into(), "true", None)));
    let answers = columns.into_iter().map(|(table, column, key, only, aad)| {
        let shown = open(table, &column, aad);
        let sql = format!(
            "SELECT string_agg({key} || '=' || coalesce({shown}, '?'), ';' ORDER BY {key}) FROM public.{table} WHERE {only}"
        );
        (format!("{table}.{column}"), psql(url, &sql))
    });
    answers.collect()
}

/// As they stand there.
fn as_they_are(_: &str, column: &str, _: Option<&str>) -> String {
    as_text(column, column)
}

fn as_text(column: &str, value: &str) -> String {
    if ["raw", "streamed"].contains(&column) {
        format!("encode({value}, 'hex')")
    } else {
        value.to_owned()
    }
}

/// As the functions of a schema open them.
fn by(schema: &'static str) -> impl Fn(&str, &str, Option<&str>) -> String {
    move |table, column, aad| {
        let value = match aad {
            Some("stream") => format!("{schema}.open_stream({column})"),
            Some(aad) => format!("{schema}.open({column}, {aad})"),
            None => format!("{schema}.open({column})"),
        };
        if (table, column) == ("secret", "value") {
            format!("encode({value}, 'hex')")
        } else {
            as_text(column, &value)
        }
    }
}

fn plain_values(url: &str) -> Vec<(String, String)> {
    opened(url, |table, column, aad| {
        if (table, column) == ("secret", "value") {
            "encode(value, 'hex')".to_owned()
        } else {
            as_they_are(table, column, aad)
        }
    })
}

#[test]
fn every_value_of_a_postgres_app_db_is_under_the_new_key_in_its_own_format() {
    let Some((plain, encrypted)) = plain_and_encrypted() else {
        return;
    };
    let url = &encrypted.url;
    let expected = plain_values(&plain.url);
    assert_eq!(opened(url, by("oracle")), expected, "the fixture");
    let last_updated = "SELECT value FROM public.setting WHERE key = 'settings-last-updated'";
    let before = psql(url, last_updated);

    let trial = state(url);
    let tried = done(&rekey(Some(SECRET), Some(NEW_SECRET), &[url, "--dry-run"]));
    assert_eq!(state(url), trial, "a trial changes nothing");
    let report = done(&rekey(Some(SECRET), Some(NEW_SECRET), &[url]));
    assert_eq!(report["columns"], tried["columns"]);
    assert_eq!(report["change"], "rotated");
    assert!(report["columns"].as_array().unwrap().len() >= 23, "{report}");
    assert_eq!(report["emptied"][0]["table"], "query_cache");
    assert!(report["emptied"][0]["rows"].as_u64() > Some(0), "{report}");

    assert_eq!(opened(url, by("renewed")), expected);
    // Under the old key nothing opens any more, also not the sentinel.
    for (column, values) in opened(url, |table, column, aad| match aad {
        Some("stream") => "NULL::text".to_owned(),
        _ => by("oracle")(table, column, aad),
    }) {
        assert!(
            values.split(';').all(|value| value.ends_with("=?")),
            "{column}: {values}"
        );
    }
    let sentinel = |schema: &str| {
        psql(
            url,
            &format!("SELECT {schema}.open(value) FROM public.setting WHERE key = 'encryption-check'"),
        )
    };
    assert_eq!((sentinel("renewed").len(), sentinel("oracle").as_str()), (36, ""));
    assert!(psql(url, last_updated) > before);
    assert_eq!(
        psql(
            url,
            "SELECT renewed.open(value_with_aad, 'setting.settings-last-updated') = value
                   FROM public.setting WHERE key = 'settings-last-updated'"
        ),
        "t"
    );
    // The envelope is as it was; its data key is under the new key.
    assert_eq!(
        psql(url, "SELECT DISTINCT c14 FROM public.somebodys_own"),
        ENVELOPE
    );
    let material = psql(
        url,
        "SELECT encode(key_material, 'hex') FROM public.data_encryption_key",
    );
    let data_key: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(unwrapped_by_java(&encrypted, NEW_KEYS.mac, &material), data_key);
    assert_eq!(psql(url, "SELECT count(*) FROM public.query_cache"), "0");

    // Everything else is as it was: a plain copy is that of the plain database.
    let (left, right) = (plain.file(), encrypted.file());
    let dump = |key: Option<&str>, from: &str, to: &std::path::Path, options: &[&str]| {
        let mut arguments = vec!["--json", "dump", "--from", from, "--to", to.to_str().unwrap()];
        arguments.extend(options);
        arguments.extend(["--exclude", "data_encryption_key"]);
        done(&metaferry_with(&variables(key, None), &arguments))
    };
    let plain_dump = {
        psql(
            &plain.url,
            "CREATE TABLE public.data_encryption_key (id integer PRIMARY KEY, key_material bytea)",
        );
        let set = format!(
            "UPDATE public.setting SET value = '{0}', value_with_aad = '{0}' WHERE key = 'settings-last-updated'",
            psql(url, last_updated)
        );
        psql(&plain.url, &set);
        dump(None, &plain.url, &left, &["--plaintext"])
    };
    let renewed_dump = dump(Some(NEW_SECRET), url, &right, &["--plaintext"]);
    let digests = |json: &Value| -> Vec<(Value, Value)> {
        let tables = json["tables"].as_array().unwrap().iter();
        tables
            .filter(|table| table["name"] != "somebodys_own")
            .map(|table| (table["name"].clone(), table["digest"].clone()))
            .collect()
    };
    assert_eq!(digests(&renewed_dump), digests(&plain_dump));
}

/// What a wrapped data key holds, by Java's AES in GCM.
fn unwrapped_by_java(app_db: &AppDb, key: &str, material: &str) -> String {
    const PROGRAM: &str = r#"
        import java.util.HexFormat;
        import javax.crypto.Cipher;
        import javax.crypto.spec.*;
        public class Unwrap {
            public static void main(String[] arguments) throws Exception {
                HexFormat hex = HexFormat.of();
                byte[] wrapped = hex.parseHex(arguments[1]);
                Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
                cipher.init(Cipher.DECRYPT_MODE, new SecretKeySpec(hex.parseHex(arguments[0]), "AES"),
                    new GCMParameterSpec(128, wrapped, 0, 12));
                System.out.print(hex.formatHex(cipher.doFinal(wrapped, 12, wrapped.length - 12)));
            }
        }"#;
    let file = app_db.folder.path().join("Unwrap.java");
    std::fs::write(&file, PROGRAM).unwrap();
    let output = Command::new("java")
        .arg(&file)
        .args([key, material])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_postgres_app_db_is_decrypted_and_encrypted_where_it_is() {
    let Some((plain, encrypted)) = plain_and_encrypted() else {
        return;
    };
    let url = &encrypted.url;
    let expected = plain_values(&plain.url);
    let report = done(&rekey(Some(SECRET), Some(""), &[url]));
    assert_eq!(report["change"], "decrypted");
    assert_eq!(plain_values(url), expected);
    assert_eq!(
        psql(url, "SELECT DISTINCT c14 FROM public.somebodys_own"),
        r#"{"db":"x"}"#
    );
    assert_eq!(
        psql(
            url,
            "SELECT count(*) FROM public.setting WHERE key = 'encryption-check'
                   UNION ALL SELECT count(*) FROM public.data_encryption_key"
        ),
        "0\n0"
    );

    // As versions are that may be encrypted from outside.
    psql(url, "ALTER TABLE public.setting DROP COLUMN value_with_aad");
    let report = done(&rekey(None, Some(NEW_SECRET), &[url]));
    assert_eq!(report["change"], "encrypted");
    let known = |(column, _): &(String, String)| {
        !column.starts_with("somebodys_own") && column != "setting.value_with_aad"
    };
    psql(url, "ALTER TABLE public.setting ADD COLUMN value_with_aad text");
    let under = opened(url, |table, column, aad| match (table, column) {
        ("somebodys_own", _) | (_, "value_with_aad") => "NULL::text".to_owned(),
        _ => by("renewed")(table, column, aad),
    });
    let under: Vec<_> = under.into_iter().filter(known).collect();
    assert_eq!(
        under,
        expected
            .iter()
            .filter(|pair| known(pair))
            .cloned()
            .collect::<Vec<_>>()
    );
    assert_eq!(
        psql(
            url,
            "SELECT length(renewed.open(value)) FROM public.setting WHERE key = 'encryption-check'"
        ),
        "36"
    );
    // What is somebody's own is nobody's to encrypt.
    assert_eq!(
        psql(url, "SELECT c01 FROM public.somebodys_own WHERE id = 1"),
        "one 1"
    );
}
