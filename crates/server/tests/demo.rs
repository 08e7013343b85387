//! The binary's demo, run as anybody would.

use std::path::Path;
use std::process::{Command, Output};

/// Runs it with temporary folders in `temporary`, and nothing of this machine's environment that names an app DB.
fn demo(temporary: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metaferry"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("MB_") || name.starts_with("METAFERRY_") {
            command.env_remove(name);
        }
    }
    // A proxy of the environment is none of the demo's business: both of its ends are on this machine.
    command
        .env("http_proxy", "http://127.0.0.1:9")
        .env("TMPDIR", temporary);
    command
        .arg("demo")
        .args(arguments)
        .output()
        .expect("the binary that was just built starts")
}

#[test]
fn every_table_of_the_demo_arrives_equal_and_nothing_stays_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let ended = demo(temporary.path(), &["--scale", "0.05", "--json"]);
    let told = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{told}");
    let json: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(json["equal"], true);
    let tables = json["tables"].as_array().unwrap();
    assert!(tables.len() > 20, "{}", tables.len());
    let mut rows = 0;
    for table in tables {
        assert_eq!(table["equal"], true, "{table}");
        assert_eq!(
            (&table["rows"], &table["digest"]),
            (&table["restored"]["rows"], &table["restored"]["digest"]),
            "{table}"
        );
        rows += table["rows"].as_u64().unwrap();
    }
    assert!(rows > 300, "{rows}");
    assert_eq!(json["rows"], rows);
    assert!(json["bytes"].as_u64().unwrap() > 0);
    assert!(json["seconds"].as_f64().unwrap() > 0.0 && json["snapshot_seconds"].is_number());
    let names = |list: &serde_json::Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|table| table["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (carried, left_out) = (names(&json["tables"]), names(&json["left_out"]));
    for table in [
        "core_user",
        "setting",
        "metabase_field",
        "report_card",
        "databasechangelog",
    ] {
        assert!(carried.contains(&table.to_owned()), "{table}");
    }
    for table in ["cloud_migration", "qrtz_triggers", "query_execution"] {
        assert!(
            left_out.contains(&table.to_owned()) && !carried.contains(&table.to_owned()),
            "{table}"
        );
    }
    let leftovers: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn a_named_folder_keeps_both_shores_and_is_not_used_twice() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("kept");
    let arguments = ["--scale", "0.01", "--dir", folder.to_str().unwrap()];
    let ended = demo(temporary.path(), &arguments);
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(
        text.contains("core_user") && text.contains("equal on both shores"),
        "{text}"
    );
    assert!(folder.join("metabase.db.mv.db").is_file() && folder.join("restored.mv.db").is_file());
    let again = demo(temporary.path(), &arguments);
    assert_eq!(
        again.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
}
