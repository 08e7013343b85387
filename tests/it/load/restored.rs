//! `restore`: a database of its own by a name template, gone again if the dump does not arrive.

use super::{done, s3_stub};
use crate::app_db::{AppDb, metaferry, metaferry_with, psql, told};

#[test]
fn a_dump_is_restored_into_a_database_made_for_it() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let (server, _) = app_db.url.rsplit_once('/').unwrap();
    let prefix = format!("{}_r_", app_db.database);
    let template = format!("{server}/{prefix}{{date}}_{{id}}");
    let restored = metaferry(&[
        "--json",
        "restore",
        "--from",
        file.to_str().unwrap(),
        "--to",
        &template,
    ]);
    assert_eq!(restored.status.code(), Some(0), "{}", told(&restored));
    let made = databases(&app_db, &prefix);
    let [name] = made.as_slice() else {
        panic!("{made:?}");
    };
    let digits = &name[prefix.len()..];
    assert!(digits.len() == 17 && digits.as_bytes()[8] == b'_', "{name}");
    let url = format!("{server}/{name}");
    assert_eq!(psql(&url, "SELECT count(*) > 10 FROM core_user"), "t");

    let again = metaferry(&["restore", "--from", file.to_str().unwrap(), "--to", &url]);
    assert_eq!(again.status.code(), Some(3), "{}", told(&again));
    assert!(told(&again).contains(name.as_str()), "{}", told(&again));
    psql(&app_db.url, &format!("DROP DATABASE {name} WITH (FORCE)"));
}

/// They hold password hashes, and had the mode that the umask gave.
#[test]
fn dumps_and_restored_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let Some(app_db) = AppDb::load() else { return };
    let (dump, restored) = (app_db.file(), app_db.folder.path().join("restored.mv.db"));
    app_db.dump_to(&dump);
    let target = format!("h2:{}", restored.display());
    done(&metaferry(&[
        "--json",
        "restore",
        "--from",
        dump.to_str().unwrap(),
        "--to",
        &target,
    ]));
    let manifest = dump.with_file_name("app-db.mv.db.manifest.json");
    for file in [dump, manifest, restored] {
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_dump_is_restored_into_an_h2_file_made_for_it() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let file = file.to_str().unwrap();
    let made = app_db.folder.path().join("made");
    let template = format!("h2:{}/app-db-{{date}}-{{id}}", made.display());
    std::fs::create_dir(&made).unwrap();
    let restored = metaferry(&["--json", "restore", "--from", file, "--to", &template]);
    assert_eq!(restored.status.code(), Some(0), "{}", told(&restored));
    let names: Vec<_> = std::fs::read_dir(&made)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".mv.db"))
        .collect();
    let [name] = names.as_slice() else {
        panic!("{names:?}");
    };
    let held = |url: &str| {
        app_db.java(
            url,
            &[
                ("users", "SELECT ID, EMAIL FROM CORE_USER ORDER BY ID"),
                (
                    "cards",
                    "SELECT ID, NAME, DATASET_QUERY FROM REPORT_CARD ORDER BY ID",
                ),
                ("log", "SELECT COUNT(*) FROM QUERY_EXECUTION"),
            ],
        )
    };
    let there = format!(
        "jdbc:h2:file:{}/{};IFEXISTS=TRUE",
        made.display(),
        name.trim_end_matches(".mv.db")
    );
    let expected = held(&app_db.h2_url("fixture"));
    assert!(expected["cards"].len() > 5, "{expected:?}");
    assert_eq!(held(&there), expected);

    let to = format!("h2:{}", made.join(name).display());
    let again = metaferry(&["restore", "--from", file, "--to", &to]);
    assert_eq!(again.status.code(), Some(3), "{}", told(&again));
    assert_eq!(held(&there), expected);
}

#[test]
fn what_cannot_be_restored_leaves_no_database() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    // A user of the name that a child refers to is taken away: the keys of the new database refuse the rest.
    app_db.java(
        &app_db.h2_url("fixture"),
        &[
            ("off", "SET REFERENTIAL_INTEGRITY FALSE"),
            (
                "gone",
                "DELETE FROM CORE_USER WHERE ID = (SELECT MAX(CREATOR_ID) FROM REPORT_CARD)",
            ),
        ],
    );
    let (server, _) = app_db.url.rsplit_once('/').unwrap();
    let prefix = format!("{}_f_", app_db.database);
    let template = format!("{server}/{prefix}{{id}}");
    let failed = metaferry(&["restore", "--from", file.to_str().unwrap(), "--to", &template]);
    assert_eq!(failed.status.code(), Some(1), "{}", told(&failed));
    assert!(told(&failed).contains("core_user"), "{}", told(&failed));
    assert_eq!(databases(&app_db, &prefix), [""; 0]);

    let missing = metaferry(&["restore", "--from", "no-such-file", "--to", &template]);
    assert_eq!(missing.status.code(), Some(3), "{}", told(&missing));
    let braces = metaferry(&[
        "restore",
        "--from",
        file.to_str().unwrap(),
        "--to",
        &format!("{server}/x_{{name}}"),
    ]);
    assert_eq!(braces.status.code(), Some(2), "{}", told(&braces));
    assert_eq!(databases(&app_db, &prefix), [""; 0]);
}

/// `md5sum` of a file.
fn md5(file: &std::path::Path) -> String {
    let output = std::process::Command::new("md5sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..32].to_owned()
}

#[test]
fn an_object_of_s3_is_fetched_compared_and_restored_although_its_connection_breaks() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let bytes = std::fs::read(&file).unwrap();
    let (server, _) = app_db.url.rsplit_once('/').unwrap();
    let prefix = format!("{}_s3_", app_db.database);
    let template = format!("{server}/{prefix}{{id}}");
    let data = app_db.folder.path().join("data");
    let restore = |endpoint: &str, key: &str| {
        metaferry_with(
            &[
                ("AWS_ENDPOINT_URL", endpoint),
                ("AWS_ACCESS_KEY_ID", "access"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
                ("METAFERRY_DATA_DIR", data.to_str().unwrap()),
            ],
            &["--json", "restore", "--from", key, "--to", &template],
        )
    };
    let key = "s3://freight/some/dump.mv.db";
    let left = || std::fs::read_dir(&data).unwrap().count();

    // As a kill in the middle leaves it, and as another restore has it.
    std::fs::create_dir(&data).unwrap();
    for name in ["scratch-killed", "scratch-other"] {
        std::fs::create_dir(data.join(name)).unwrap();
        std::fs::write(data.join(name).join("app-db.mv.db"), &bytes).unwrap();
    }
    let other = std::fs::File::open(data.join("scratch-other")).unwrap();
    other.lock().unwrap();
    let (endpoint, _) = s3_stub::serve(bytes.clone(), &"0".repeat(32), 0);
    let damaged = restore(&endpoint, key);
    assert_eq!(damaged.status.code(), Some(1), "{}", told(&damaged));
    assert!(
        told(&damaged).contains("the store's own checksum"),
        "{}",
        told(&damaged)
    );
    assert!(told(&damaged).contains("scratch-killed, which a command that was killed left"));
    assert!(data.join("scratch-other").exists(), "somebody has it");
    assert_eq!((databases(&app_db, &prefix), left()), (Vec::new(), 1));
    drop(other);

    let (endpoint, gets) = s3_stub::serve(bytes, &md5(&file), 2);
    let restored = restore(&endpoint, key);
    assert_eq!(restored.status.code(), Some(0), "{}", told(&restored));
    assert!(
        told(&restored).contains("equal to the store's MD5"),
        "{}",
        told(&restored)
    );
    assert_eq!(gets.load(std::sync::atomic::Ordering::Relaxed), 3);
    assert_eq!(left(), 0, "the file goes when it is restored");
    let made = databases(&app_db, &prefix);
    let url = format!("{server}/{}", made.concat());
    let users = app_db.java(
        &app_db.h2_url("fixture"),
        &[("users", "SELECT COUNT(*) FROM CORE_USER")],
    );
    assert_eq!(users["users"], [psql(&url, "SELECT count(*) FROM core_user")]);
    psql(
        &app_db.url,
        &format!("DROP DATABASE {} WITH (FORCE)", made.concat()),
    );

    for (wrong, code) in [("s3://freight", 2), ("s3://freight/", 2)] {
        let refused = restore(&endpoint, wrong);
        assert_eq!(refused.status.code(), Some(code), "{}", told(&refused));
        assert!(told(&refused).contains("s3://BUCKET/KEY"), "{}", told(&refused));
    }
    let nobody = metaferry(&["restore", "--from", key, "--to", &template]);
    assert_eq!(nobody.status.code(), Some(2), "{}", told(&nobody));
    assert!(told(&nobody).contains("AWS_ACCESS_KEY_ID"), "{}", told(&nobody));
}

fn databases(app_db: &AppDb, prefix: &str) -> Vec<String> {
    let names = psql(
        &app_db.url,
        &format!("SELECT datname FROM pg_database WHERE starts_with(datname, '{prefix}')"),
    );
    names.lines().map(str::to_owned).collect()
}
