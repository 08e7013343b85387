use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock};

use metaferry_domain::PortError;
use metaferry_domain::recoding::{RowRecoder, ValueRecoder};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::{Column, DataType, Key, Nullability, Table, ValueSource};

use super::{Decryption, Encryption, Sentinel, Unreadable};
use crate::encryption::envelope::Keyring;
use crate::encryption::{DerivedKey, setting_aad};
use crate::secret::Secret;

/// Deriving is slow on purpose: once for all tests.
static KEY: LazyLock<DerivedKey> =
    LazyLock::new(|| DerivedKey::derive(&Secret::new("correct horse battery staple 42!")).unwrap());
static OTHER: LazyLock<DerivedKey> =
    LazyLock::new(|| DerivedKey::derive(&Secret::new("another horse, another staple")).unwrap());

/// The reference's vectors for the key above, and an envelope under the data key 00 … 1f of generation 1.
const LEGACY: &str =
    "AAECAwQFBgcICQoLDA0OD/lHjH6NjSf9RQh9yC32O+y7ov0M9juoTnaWXRuG3V28sF0GrYZRTfKwPw3IpU1WIg==";
const WITH_AAD: &str =
    "AAECAwQFBgcICQoLDA0OD2RY0ei4YGjQ8/I68lFAzDiMMx0BL97DmBCyiyu4sb/4Fj53kRMKwdlZsN4nWRhc5w==";
const ENVELOPE: &str = "TUICAAAAAQABAgMEBQYHCAkKCzwgsnnn3+Bjrzy4m5PBxilEJ/VTgzfbPEVo";
const KEY_MATERIAL: &str = "000102030405060708090a0b90de3be76d6dfaaa4f0c4ef0e3a5ad054c5518439381307dea0a064d7f7c71c36c67b78554ed2ab0381ce9641c3da49f";
const PLAIN: &str = r#"{"db":"x"}"#;

fn keys() -> Keyring {
    let mut keys = Keyring::new(KEY.clone());
    keys.unwrap_data_key(1, &hex::decode(KEY_MATERIAL).unwrap())
        .unwrap();
    keys
}

fn table(name: &str, columns: &[(&str, DataType)], key: &str) -> Table {
    Table {
        schema: "public".into(),
        name: name.into(),
        columns: columns
            .iter()
            .map(|(name, data_type)| Column {
                name: (*name).into(),
                data_type: data_type.clone(),
                native_type: String::new(),
                nullability: Nullability::Nullable,
                value_source: ValueSource::None,
                comment: None,
            })
            .collect(),
        primary_key: Some(Key {
            name: "pk".into(),
            columns: vec![key.into()],
        }),
        uniques: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
        indexes: Vec::new(),
        comment: None,
        rows_estimate: 0,
        bytes_estimate: 0,
    }
}

fn settings() -> Table {
    let columns = [
        ("key", DataType::Text),
        ("value", DataType::Text),
        ("value_with_aad", DataType::Text),
    ];
    table("setting", &columns, "key")
}

fn rows_of(recoder: &dyn ValueRecoder, table: &Table) -> Box<dyn RowRecoder> {
    let columns: Vec<&Column> = table.columns.iter().collect();
    recoder.table(table, &columns).unwrap()
}

/// The rows as they are carried.
fn carried(rows: &mut dyn RowRecoder, batch: &RowBatch) -> Result<RowBatch, PortError> {
    let mut out = RowBatch::new(batch.columns());
    for row in 0..batch.rows() {
        for column in 0..batch.columns() {
            let cell = batch.cell(row, column);
            let recoded = rows.recode(batch, row, column, cell)?;
            out.push(recoded.as_ref().map_or(cell, |recoded| recoded.cell()));
        }
        out.end_row();
    }
    Ok(out)
}

fn batch(rows: &[&[Cell<'_>]]) -> RowBatch {
    let mut batch = RowBatch::new(rows[0].len());
    for row in rows {
        row.iter().for_each(|cell| batch.push(*cell));
        batch.end_row();
    }
    batch
}

fn cells(batch: &RowBatch) -> Vec<Vec<Cell<'_>>> {
    (0..batch.rows()).map(|row| batch.row(row).collect()).collect()
}

/// Initialisation vectors that differ from each other.
fn encryption(sentinel: Sentinel) -> Encryption {
    let next = AtomicU8::new(0);
    let random = move || [next.fetch_add(1, Ordering::Relaxed); 16];
    Encryption::new(Keyring::new(KEY.clone()), Arc::new(random), sentinel)
}

#[test]
fn whatever_the_keys_prove_is_opened_in_any_column_and_counted() {
    let unknown = [
        ("id", DataType::Integer),
        ("whatever", DataType::Text),
        ("raw", DataType::Blob),
    ];
    let table = table("somebodys_own", &unknown, "id");
    let raw = KEY.encrypt_bytes(b"bytes", None, [7; 16]);
    let before = batch(&[
        &[Cell::Int(1), Cell::Text(LEGACY), Cell::Bytes(&raw)],
        &[Cell::Int(2), Cell::Text(ENVELOPE), Cell::Null],
        &[Cell::Int(3), Cell::Text("plain"), Cell::Bytes(b"plain")],
    ]);
    let mut rows = rows_of(&Decryption::new(Some(keys()), Unreadable::Refuse), &table);
    let after = carried(&mut *rows, &before).unwrap();
    assert_eq!(
        cells(&after),
        [
            vec![Cell::Int(1), Cell::Text(PLAIN), Cell::Bytes(b"bytes")],
            vec![Cell::Int(2), Cell::Text(PLAIN), Cell::Null],
            vec![Cell::Int(3), Cell::Text("plain"), Cell::Bytes(b"plain")],
        ]
    );
    assert_eq!(
        rows.notes(),
        [
            "table somebodys_own, column whatever: 2 values decrypted",
            "table somebodys_own, column raw: 1 value decrypted",
        ]
    );
}

#[test]
fn a_setting_bound_to_its_name_opens_under_that_name_only() {
    let before = |name| batch(&[&[Cell::Text(name), Cell::Text("true"), Cell::Text(WITH_AAD)]]);
    let decryption = Decryption::new(Some(keys()), Unreadable::Refuse);
    let mut rows = rows_of(&decryption, &settings());
    let after = carried(&mut *rows, &before("read-only-mode")).unwrap();
    assert_eq!(after.cell(0, 2), Cell::Text("true"));
    let error = carried(&mut *rows, &before("site-name")).unwrap_err();
    assert!(
        error
            .chain()
            .starts_with("table setting, column value_with_aad holds a value that looks encrypted"),
        "{}",
        error.chain()
    );
}

#[test]
fn what_no_key_opens_ends_the_copy_or_is_counted_and_is_never_shown() {
    let table = table(
        "secret",
        &[("id", DataType::Integer), ("value", DataType::Text)],
        "id",
    );
    let before = batch(&[&[Cell::Int(1), Cell::Text(LEGACY)]]);
    for (keys, why) in [
        (Some(Keyring::new(OTHER.clone())), "does not open it"),
        (None, "no MB_ENCRYPTION_SECRET_KEY is given"),
    ] {
        let refusing = Decryption::new(keys.clone(), Unreadable::Refuse);
        let error = carried(&mut *rows_of(&refusing, &table), &before).unwrap_err();
        let said = error.chain();
        assert!(
            said.contains("table secret, column value") && said.contains(why),
            "{said}"
        );
        assert!(!said.contains(&LEGACY[..16]), "{said}");

        let carrying = Decryption::new(keys, Unreadable::Carry);
        let mut rows = rows_of(&carrying, &table);
        let after = carried(&mut *rows, &before).unwrap();
        assert_eq!(after.cell(0, 1), Cell::Text(LEGACY));
        assert_eq!(rows.notes().len(), 1);
    }
}

#[test]
fn an_encrypted_key_is_refused_because_other_rows_may_name_it() {
    let table = table("odd", &[("id", DataType::Text)], "id");
    let before = batch(&[&[Cell::Text(LEGACY)]]);
    let decryption = Decryption::new(Some(keys()), Unreadable::Carry);
    let error = carried(&mut *rows_of(&decryption, &table), &before).unwrap_err();
    assert!(
        error.chain().contains("table odd, column id"),
        "{}",
        error.chain()
    );
}

#[test]
fn encrypting_leaves_what_metabase_reads_raw_and_writes_a_sentinel_that_verifies() {
    let before = batch(&[
        &[Cell::Text("site-name"), Cell::Text("Ferry"), Cell::Null],
        &[Cell::Text("enable-xrays"), Cell::Text("true"), Cell::Null],
        &[
            Cell::Text("settings-last-updated"),
            Cell::Text("2026-01-01 00:00:00+00"),
            Cell::Null,
        ],
        &[Cell::Text("empty"), Cell::Text(""), Cell::Null],
        &[Cell::Text("encrypted before"), Cell::Text(LEGACY), Cell::Null],
    ]);
    let encryption = encryption(Sentinel::Written);
    let mut rows = rows_of(&encryption, &settings());
    let closed = carried(&mut *rows, &before).unwrap();
    let Cell::Text(name) = closed.cell(0, 1) else {
        panic!("{:?}", closed.cell(0, 1))
    };
    assert_eq!(KEY.decrypt_text(name, None).unwrap(), "Ferry");
    for row in 1..5 {
        assert_eq!(closed.cell(row, 1), before.cell(row, 1), "row {row}");
    }
    assert_eq!(rows.notes(), ["table setting, column value: 1 value encrypted"]);

    let mut added = RowBatch::new(3);
    rows.append(&mut added);
    rows.append(&mut added);
    assert_eq!(added.rows(), 1, "one sentinel, once");
    assert_eq!(added.cell(0, 0), Cell::Text("encryption-check"));
    let Cell::Text(sentinel) = added.cell(0, 1) else {
        panic!("{:?}", added.cell(0, 1))
    };
    let uuid = KEY.decrypt_text(sentinel, None).unwrap();
    assert_eq!(uuid.len(), 36);
    assert_eq!(&uuid[14..15], "4", "{uuid}");
}

#[test]
fn a_sentinel_that_is_there_becomes_one_of_the_key_and_none_is_added() {
    let encryption = encryption(Sentinel::Written);
    let mut rows = rows_of(&encryption, &settings());
    let before = batch(&[&[
        Cell::Text("encryption-check"),
        Cell::Text("unencrypted"),
        Cell::Null,
    ]]);
    let closed = carried(&mut *rows, &before).unwrap();
    let Cell::Text(sentinel) = closed.cell(0, 1) else {
        panic!("{:?}", closed.cell(0, 1))
    };
    KEY.decrypt_text(sentinel, None).unwrap();
    let mut added = RowBatch::new(3);
    rows.append(&mut added);
    assert_eq!(added.rows(), 0);
}

#[test]
fn versions_without_a_sentinel_get_none_and_other_tables_never() {
    let mut added = RowBatch::new(3);
    rows_of(&encryption(Sentinel::Unknown), &settings()).append(&mut added);
    let secrets = table(
        "secret",
        &[("id", DataType::Integer), ("value", DataType::Blob)],
        "id",
    );
    rows_of(&encryption(Sentinel::Written), &secrets).append(&mut added);
    assert_eq!(added.rows(), 0);
    let plain = table(
        "revision",
        &[("id", DataType::Integer), ("value", DataType::Text)],
        "id",
    );
    let columns: Vec<&Column> = plain.columns.iter().collect();
    assert!(encryption(Sentinel::Written).table(&plain, &columns).is_none());
}

#[test]
fn values_under_another_key_are_not_encrypted_twice() {
    let table = table(
        "secret",
        &[("id", DataType::Integer), ("value", DataType::Text)],
        "id",
    );
    let foreign = OTHER.encrypt_text("somebody's", None, [3; 16]);
    let before = batch(&[&[Cell::Int(1), Cell::Text(&foreign)]]);
    let error = carried(&mut *rows_of(&encryption(Sentinel::Written), &table), &before).unwrap_err();
    assert!(
        error.chain().contains("table secret, column value"),
        "{}",
        error.chain()
    );
}

#[test]
fn what_was_encrypted_is_opened_again_whatever_it_was() {
    let table = table(
        "secret",
        &[("id", DataType::Integer), ("value", DataType::Blob)],
        "id",
    );
    for length in [1, 15, 16, 17, 31, 32, 33, 1000] {
        let value: Vec<u8> = (0..length)
            .map(|at: usize| u8::try_from(at % 251).unwrap())
            .collect();
        let before = batch(&[&[Cell::Int(1), Cell::Bytes(&value)]]);
        let closed = carried(&mut *rows_of(&encryption(Sentinel::Written), &table), &before).unwrap();
        assert_ne!(closed.cell(0, 1), before.cell(0, 1), "{length}");
        let decryption = Decryption::new(Some(keys()), Unreadable::Refuse);
        let opened = carried(&mut *rows_of(&decryption, &table), &closed).unwrap();
        assert_eq!(cells(&opened), cells(&before), "{length}");
    }
    assert_eq!(setting_aad("x"), b"setting.x");
}
