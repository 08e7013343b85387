//! An encrypted app DB through `dump --plaintext` and `load --encrypt`. Postgres' own pgcrypto encrypts it beforehand and
//! opens it afterwards: no code of ours judges ours.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::app_db::{AppDb, ended, metaferry_with, psql, told};

pub(crate) const SECRET: &str = "correct horse battery staple 42!";
/// Derived of it as published golden values show.
const MAC_KEY: &str = "622f5b668a9a94062f7c18217d06558da090570e546240afbf65c9f69dac8280";
const CIPHER_KEY: &str = "986e60363b8278e48ed0fb6434766b9321720864268121227b31760aff5c04b8";
/// `{"db":"x"}` in the envelope format, and the data key that opens it.
pub(crate) const ENVELOPE: &str = "TUICAAAAAQABAgMEBQYHCAkKCzwgsnnn3+Bjrzy4m5PBxilEJ/VTgzfbPEVo";
const KEY_MATERIAL: &str = "000102030405060708090a0b90de3be76d6dfaaa4f0c4ef0e3a5ad054c5518439381307dea0a064d7f7c71c36c67b78554ed2ab0381ce9641c3da49f";

/// A secret's derived key, in hexadecimal digits.
pub(crate) struct Keys {
    pub(crate) mac: &'static str,
    pub(crate) cipher: &'static str,
}

/// Those of [`SECRET`].
pub(crate) const KEYS: Keys = Keys {
    mac: MAC_KEY,
    cipher: CIPHER_KEY,
};

fn give_pgcrypto(url: &str) {
    give_pgcrypto_of(url, "oracle", &KEYS);
}

/// The legacy and the stream format in SQL, under those keys, into a schema that no copy looks at.
pub(crate) fn give_pgcrypto_of(url: &str, schema: &str, keys: &Keys) {
    let Keys { mac, cipher } = keys;
    let functions = format!(
        r"SET client_min_messages = error;
        CREATE SCHEMA IF NOT EXISTS crypto; CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA crypto;
        CREATE SCHEMA {schema}; SET search_path = {schema}, crypto, public;
        CREATE FUNCTION mac(aad bytea, signed bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
            SELECT substr(crypto.hmac(coalesce(aad, '') || signed ||
                CASE WHEN aad IS NULL THEN ''::bytea ELSE int8send(length(aad) * 8) END,
                '\x{mac}'::bytea, 'sha512'), 1, 32) $$;
        CREATE FUNCTION seal(plain bytea, aad bytea DEFAULT NULL) RETURNS bytea LANGUAGE sql VOLATILE AS $$
            SELECT iv || ct || {schema}.mac(aad, iv || ct) FROM (
                SELECT iv, crypto.encrypt_iv(plain, '\x{cipher}', iv, 'aes-cbc/pad:pkcs') AS ct
                FROM (SELECT crypto.gen_random_bytes(16) AS iv) AS random) AS closed $$;
        CREATE FUNCTION seal(plain text, aad text DEFAULT NULL) RETURNS text LANGUAGE sql VOLATILE AS $$
            SELECT translate(encode({schema}.seal(convert_to(plain, 'UTF8'), convert_to(aad, 'UTF8')), 'base64'), E'\n', '') $$;
        CREATE FUNCTION seal_stream(plain bytea) RETURNS bytea LANGUAGE sql VOLATILE AS $$
            SELECT convert_to(rpad('AES/CBC/PKCS5Padding', 32), 'UTF8') || iv
                || crypto.encrypt_iv(plain, '\x{cipher}', iv, 'aes-cbc/pad:pkcs')
            FROM (SELECT crypto.gen_random_bytes(16) AS iv) AS random $$;
        CREATE FUNCTION open_stream(raw bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
            SELECT CASE WHEN substr(raw, 1, 32) = convert_to(rpad('AES/CBC/PKCS5Padding', 32), 'UTF8')
                THEN crypto.decrypt_iv(substr(raw, 49), '\x{cipher}', substr(raw, 33, 16), 'aes-cbc/pad:pkcs') END $$;
        CREATE FUNCTION open(raw bytea, aad bytea DEFAULT NULL) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
            SELECT CASE WHEN length(raw) >= 64 AND substr(raw, length(raw) - 31) = {schema}.mac(aad, substr(raw, 1, length(raw) - 32))
                THEN crypto.decrypt_iv(substr(raw, 17, length(raw) - 48), '\x{cipher}', substr(raw, 1, 16), 'aes-cbc/pad:pkcs')
            END $$;
        CREATE FUNCTION open(value text, aad text DEFAULT NULL) RETURNS text LANGUAGE sql IMMUTABLE AS $$
            SELECT convert_from({schema}.open(decode(value, 'base64'), convert_to(aad, 'UTF8')), 'UTF8') $$;"
    );
    psql(url, &functions);
}

/// Columns that only this database has, fourteen of text and one of bytes; and plain values in place of the fixture's, which
/// are of a key that nobody has.
pub(crate) const OWN_TABLE: &str = "CREATE TABLE public.somebodys_own (id integer PRIMARY KEY, raw bytea,
    c01 text, c02 text, c03 text, c04 text, c05 text, c06 text, c07 text, c08 text, c09 text, c10 text, c11 text, c12 text,
    c13 text, c14 text);
    INSERT INTO public.somebodys_own SELECT n, convert_to('raw ' || n, 'UTF8'), 'one ' || n, 'two ' || n, 'three ' || n,
        'four ' || n, 'five ' || n, 'six ' || n, 'seven ' || n, 'eight ' || n, 'nine ' || n, 'ten ' || n, 'eleven ' || n,
        'twelve ' || n, 'thirteen ' || n, '{\"db\":\"x\"}' FROM generate_series(1, 3) AS n;
    UPDATE public.metabase_database SET details = '{\"host\":\"h' || id || '\"}', settings = '{\"a\":' || id || '}';
    UPDATE public.core_user SET settings = '{\"b\":' || id || '}';
    UPDATE public.secret SET value = convert_to('secret ' || id, 'UTF8');
    UPDATE public.setting SET value = 'value of ' || key WHERE length(value) > 47;";

/// Twenty columns and more of mixed formats.
pub(crate) fn encrypt(url: &str) {
    give_pgcrypto(url);
    let own: Vec<String> = (1..=13).map(|n| format!("c{n:02} = seal(c{n:02})")).collect();
    psql(
        url,
        &format!(
            "SET search_path = public, oracle, crypto;
            UPDATE metabase_database SET details = seal(details), settings = seal(settings);
            UPDATE core_user SET settings = seal(settings);
            UPDATE channel SET details = seal(details::text) WHERE details IS NOT NULL;
            UPDATE secret SET value = seal(value) WHERE length(value) > 0;
            UPDATE setting SET value = seal(value)
                WHERE key NOT IN ('settings-last-updated', 'encryption-check') AND value NOT IN ('true', 'false', '');
            UPDATE setting SET value = seal(gen_random_uuid()::text) WHERE key = 'encryption-check';
            UPDATE somebodys_own SET raw = seal(raw), c14 = '{ENVELOPE}', {};
            CREATE TABLE data_encryption_key (id integer PRIMARY KEY, key_material bytea NOT NULL);
            INSERT INTO data_encryption_key VALUES (1, '\\x{KEY_MATERIAL}')",
            own.join(", ")
        ),
    );
}

fn run(key: Option<&str>, arguments: &[&str]) -> Output {
    let variables: Vec<(&str, &str)> = key
        .map(|key| ("MB_ENCRYPTION_SECRET_KEY", key))
        .into_iter()
        .collect();
    metaferry_with(&variables, arguments)
}

fn dump(key: Option<&str>, url: &str, file: &Path, options: &[&str]) -> Output {
    let mut arguments = vec!["--json", "dump", "--from", url, "--to", file.to_str().unwrap()];
    arguments.extend(options);
    run(key, &arguments)
}

fn done(output: &Output) -> Value {
    let (json, code) = ended(output);
    assert_eq!(code, 0, "{json} {}", told(output));
    json
}

/// Name and digest of every table.
fn digests(json: &Value) -> Vec<(String, String)> {
    let tables = json["tables"].as_array().unwrap().iter();
    let named = tables.map(|table| (table["name"].as_str().unwrap(), table["digest"].as_str().unwrap()));
    named
        .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
        .collect()
}

#[test]
fn an_encrypted_postgres_app_db_is_dumped_plain_and_loaded_encrypted() {
    let (Some(plain), Some(encrypted)) = (AppDb::load(), AppDb::load()) else {
        return;
    };
    psql(&plain.url, OWN_TABLE);
    // A decrypted copy says nothing, which means the same.
    psql(
        &plain.url,
        "DELETE FROM public.setting WHERE key = 'encryption-check' AND value = 'unencrypted'",
    );
    psql(&encrypted.url, OWN_TABLE);
    encrypt(&encrypted.url);

    let expected = done(&dump(None, &plain.url, &plain.file(), &[]));
    let opened = done(&dump(
        Some(SECRET),
        &encrypted.url,
        &encrypted.file(),
        &["--plaintext"],
    ));
    assert_eq!(digests(&opened), digests(&expected));
    let notes = opened["notes"].to_string();
    for column in [
        "table secret, column value",
        "table somebodys_own, column c14: 3 values decrypted",
        "column raw",
    ] {
        assert!(notes.contains(column), "{column}: {notes}");
    }

    let target = plain.empty_beside();
    let file = encrypted.file();
    let arguments = [
        "--json",
        "load",
        "--from",
        file.to_str().unwrap(),
        "--to",
        &target.url,
        "--encrypt",
    ];
    done(&run(Some(SECRET), &arguments));
    give_pgcrypto(&target.url);
    for (table, column) in [
        ("metabase_database", "details"),
        ("core_user", "settings"),
        ("metabase_database", "settings"),
    ] {
        let held = |url: &str, value: &str| {
            psql(
                url,
                &format!("SELECT string_agg(id || {value}, ';' ORDER BY id) FROM public.{table}"),
            )
        };
        let opened_there = held(&target.url, &format!("oracle.open({column})"));
        // Details that a dump empties are empty in both.
        let expected = if column == "details" {
            held(
                &plain.url,
                "CASE WHEN engine = 'h2' OR is_attached_dwh THEN '{}' ELSE details END",
            )
        } else {
            held(&plain.url, column)
        };
        assert_eq!(opened_there, expected, "{table}.{column}");
    }
    let settings = |url: &str, value: &str| {
        let only = "key NOT IN ('encryption-check', 'read-only-mode', 'settings-last-updated')
            AND value NOT IN ('true', 'false', '')";
        psql(
            url,
            &format!("SELECT string_agg(key || {value}, ';' ORDER BY key) FROM public.setting WHERE {only}"),
        )
    };
    assert_eq!(
        settings(&target.url, "oracle.open(value)"),
        settings(&plain.url, "value")
    );
    let sentinel = "SELECT oracle.open(value) FROM public.setting WHERE key = 'encryption-check'";
    assert_eq!(psql(&target.url, sentinel).trim().len(), 36);
    let secrets = |url: &str, value: &str| {
        psql(
            url,
            &format!(
                "SELECT string_agg(id || encode({value}, 'hex'), ';' ORDER BY id) FROM public.secret WHERE length(value) > 0"
            ),
        )
    };
    assert_eq!(
        secrets(&target.url, "oracle.open(value)"),
        secrets(&plain.url, "value")
    );

    let again = target.file();
    let opened = done(&dump(Some(SECRET), &target.url, &again, &["--plaintext"]));
    assert_eq!(digests(&opened), digests(&expected));
    let verified = run(
        Some(SECRET),
        &["verify", "--left", &target.url, "--right", &plain.url],
    );
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
}

#[test]
fn without_the_right_key_of_a_postgres_app_db_nothing_is_written_and_the_column_is_named() {
    let Some(app_db) = AppDb::load() else {
        return;
    };
    psql(&app_db.url, OWN_TABLE);
    encrypt(&app_db.url);
    let file = app_db.file();
    for (key, code, why) in [
        (
            Some("another horse, another staple"),
            3,
            "is not the key of this app DB",
        ),
        (None, 3, "give its MB_ENCRYPTION_SECRET_KEY"),
        (Some("too short"), 2, "MB_ENCRYPTION_SECRET_KEY"),
    ] {
        let refused = dump(key, &app_db.url, &file, &["--plaintext"]);
        assert_eq!(refused.status.code(), Some(code), "{}", told(&refused));
        assert!(told(&refused).contains(why), "{}", told(&refused));
        assert_eq!(app_db.left_behind(), Vec::<String>::new());
    }
    let foreign = "AQEBAQEBAQEBAQEBAQEBAdrMZpJzVZ1mVn8SxU2zQ1kP0b5e9wCkT7oO3Yq4m2L6hX8uR1vJ5sFgH3dKQzWcEA==";
    psql(
        &app_db.url,
        &format!("UPDATE public.metabase_database SET details = '{foreign}' WHERE id = 2"),
    );
    let refused = dump(Some(SECRET), &app_db.url, &file, &["--plaintext"]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(
        told(&refused).contains("table metabase_database, column details"),
        "{}",
        told(&refused)
    );
    assert_eq!(app_db.left_behind(), Vec::<String>::new());
    let kept = done(&dump(
        Some(SECRET),
        &app_db.url,
        &file,
        &["--plaintext", "--keep-unreadable"],
    ));
    assert!(
        kept["notes"].to_string().contains("1 value look encrypted"),
        "{}",
        kept["notes"]
    );
    // As it is, it goes along without any key.
    let raw = app_db.folder.path().join("raw.mv.db");
    let raw = done(&dump(None, &app_db.url, &raw, &[]));
    assert!(
        raw["notes"]
            .to_string()
            .contains("needs the same MB_ENCRYPTION_SECRET_KEY"),
        "{}",
        raw["notes"]
    );
}
