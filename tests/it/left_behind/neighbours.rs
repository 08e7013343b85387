//! Two app DBs of one machine whose files lie in one data folder, as they do unless told otherwise: what a migration of one
//! has left is its own, whatever becomes of the other.

use std::process::Command;

use serde_json::json;

use super::{command, ours, succeeds};
use crate::api::world::{Options, Schema, World};
use crate::app_db::{files_in, told, undo_script_in};

fn world() -> Option<World> {
    World::start(Options {
        schema: Schema::Sample,
        unserved: true,
        ..Options::default()
    })
}

/// Ends with no warning, before that effect.
fn killed_before(effect: &str, world: &World, from: &str) {
    let output = command(world, &["migrate", "--yes", "--from", from])
        .env("METAFERRY_FAULT", format!("{effect}:abort-before"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "{}", told(&output));
}

/// The way back by hand was that of whichever app DB was migrated last.
#[test]
fn the_undo_script_of_one_app_db_outlives_the_migration_of_another_postgres() {
    let (Some(one), Some(two)) = (world(), world()) else {
        return;
    };
    // So that the script of one does harm in the other.
    two.sql("DELETE FROM setting WHERE key = 'read-only-mode'");
    one.sql("UPDATE setting SET value = 'false' WHERE key = 'read-only-mode'");
    assert_eq!(one.read_only(), "false");
    let before = one.state_of_metabase();
    killed_before("CopySnapshot", &one, &one.url);
    assert_ne!(one.state_of_metabase(), before);
    let script = undo_script_in(&one.data_dir());

    let beside = |arguments: &[&str]| -> Command {
        let mut beside = command(&two, arguments);
        beside
            .args(["--from", &two.url])
            .env("METAFERRY_DATA_DIR", one.data_dir());
        beside
    };
    let untouched = two.state_of_metabase();
    for arguments in [&["migrate", "--yes"][..], &["recover"]] {
        let output = beside(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    assert_eq!(two.state_of_metabase(), untouched);
    let scripts = files_in(&one.data_dir());
    assert_eq!(scripts.len(), 2, "each has its own: {scripts:?}");

    let undone = Command::new("psql")
        .args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", &one.url, "-f"])
        .arg(&script)
        .output()
        .unwrap();
    assert!(undone.status.success(), "{}", told(&undone));
    assert_eq!(one.state_of_metabase(), before);
    let recovered = succeeds(&one, &["recover", "--from", &one.url]);
    assert_eq!(recovered["recovered"][0]["settled"], true, "{recovered}");
    assert_eq!(ours(&one), "");
}

/// Both had one journal and one lease: a migration of one was taken for the other's, and its dump sent or removed with it.
#[test]
fn two_h2_app_dbs_of_one_name_know_nothing_of_each_other_postgres() {
    let Some(world) = world() else { return };
    let [one, two] = ["one", "two"].map(|folder| {
        let file = world.folder().join(folder).join("metabase.mv.db");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        world.dump_to(&file);
        format!("h2:{}", file.display())
    });
    let dumps = || {
        let mut files = files_in(&world.data_dir());
        files.retain(|file| file.to_str().unwrap().contains("cloud_migration_dump"));
        files.sort();
        files
    };
    let with = |words: &[&'static str], from: &str| -> serde_json::Value {
        succeeds(&world, &[words, &["--from", from]].concat())
    };
    killed_before("UploadDump", &world, &one);
    let left = dumps();
    assert!(!left.is_empty(), "the dump waits to be sent");

    assert_eq!(with(&["status"], &two), json!({"state": null}));
    assert_eq!(
        with(&["recover"], &two),
        json!({"recovered": [], "dry_run": false})
    );
    assert_eq!(with(&["migrate", "--yes"], &two)["state"], "done");
    assert_eq!(dumps(), left);
    assert_eq!(world.arrived().len(), 1, "of the other one");

    let recovered = with(&["recover"], &one);
    assert_eq!(recovered["recovered"][0]["settled"], true, "{recovered}");
    assert_eq!(recovered["recovered"][0]["state"], "done", "{recovered}");
    assert_eq!(world.arrived().len(), 2);
    assert!(dumps().is_empty(), "{:?}", dumps());
}
