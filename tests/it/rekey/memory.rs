//! Changing a key takes as much memory as any other command, also where wide rows come after narrow ones.

use super::mariadb::encrypted;
use super::{NEW_KEYS, NEW_SECRET, variables};
use crate::app_db::{AppDb, PEAK_KIB_MAX, measured, psql};
use crate::encryption::{KEYS, OWN_TABLE, SECRET, encrypt, give_pgcrypto_of};
use crate::mariadb::Maria;

/// Narrow rows, by which a batch might become long; then wide ones: more than may be held, all of them together.
const NARROW: u32 = 600;
const WIDE: u32 = 200;
/// Of a mebibyte; no ciphertext, so that nothing is written.
const TEXT: &str = "repeat('wide ', 209715)";

fn is_bounded(url: &str) {
    let variables = variables(Some(SECRET), Some(NEW_SECRET));
    let (json, peak_kib) = measured(&variables, &["--json", "rekey", url]);
    assert_eq!(json["change"], "rotated");
    assert!(peak_kib < PEAK_KIB_MAX, "{peak_kib} KiB at its peak");
}

#[test]
fn wide_rows_after_narrow_ones_of_postgres_are_walked_in_bounded_memory() {
    let Some(app_db) = AppDb::load() else { return };
    psql(&app_db.url, OWN_TABLE);
    encrypt(&app_db.url);
    psql(
        &app_db.url,
        &format!(
            "CREATE TABLE public.wide (id integer PRIMARY KEY, c text);
             INSERT INTO public.wide SELECT n, 'a text that is narrow, but long enough to be a ciphertext ' || n
                 FROM generate_series(1, {NARROW}) AS n;
             INSERT INTO public.wide SELECT {NARROW} + n, {TEXT} FROM generate_series(1, {WIDE}) AS n"
        ),
    );
    is_bounded(&app_db.url);
}

#[test]
fn wide_rows_after_narrow_ones_of_mariadb_are_walked_in_bounded_memory() {
    let Some(maria) = Maria::new() else { return };
    let Some(postgres) = AppDb::load() else { return };
    give_pgcrypto_of(&postgres.url, "oracle", &KEYS);
    give_pgcrypto_of(&postgres.url, "renewed", &NEW_KEYS);
    let (database, _) = encrypted(&maria, &postgres);
    database.ask(&format!(
        "CREATE TABLE wide (id int PRIMARY KEY, c longtext);
         INSERT INTO wide SELECT seq, concat('a text that is narrow, but long enough to be a ciphertext ', seq)
             FROM seq_1_to_{NARROW};
         INSERT INTO wide SELECT {NARROW} + seq, {TEXT} FROM seq_1_to_{WIDE}"
    ));
    is_bounded(&database.url());
}
