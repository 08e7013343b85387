//! `metaferry migrate` as a process of its own, from a real Postgres to a store in another process: it arrives, or it is
//! cancelled or interrupted in any phase and everything is as it was.

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::api::SLOW_BYTES_PER_SECOND;
use crate::api::network::Network;
use crate::api::slow_store::{Silent, SlowStore};
use crate::api::world::{Options, Schema, World};
use crate::app_db::{AppDb, ended, psql, signal, told};
use crate::encryption::{OWN_TABLE, SECRET, encrypt};

/// How it is ended.
#[derive(Debug, Clone, Copy)]
enum By {
    /// `metaferry cancel` in another process.
    Cancel,
    Signal(&'static str),
}

/// When it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum While {
    StoreDoesNotAnswer,
    RowIsNew,
    ReadOnlySpreads,
    SnapshotIsHeldUp,
    RowsAreCopied,
    StoreIsSlow,
}

impl While {
    /// May Metabase not write just then?
    fn is_still(self) -> bool {
        matches!(
            self,
            Self::ReadOnlySpreads | Self::SnapshotIsHeldUp | Self::RowsAreCopied
        )
    }
}

fn world(options: Options) -> Option<World> {
    World::start(Options {
        unserved: true,
        ..options
    })
}

fn migrate(world: &World) -> Command {
    let mut migrate = world.metaferry();
    migrate
        .args(["--json", "migrate", "--yes", "--from", &world.through])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    migrate
}

/// What `metaferry status` says.
fn status(world: &World) -> Value {
    let output = world
        .metaferry()
        .args(["--json", "status", "--from", &world.url])
        .output()
        .unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    json
}

/// Of the newest row; empty where there is none.
fn phase(world: &World) -> String {
    world.sql("SELECT state FROM cloud_migration ORDER BY id DESC LIMIT 1")
}

#[test]
fn a_migration_of_the_sample_arrives_and_status_says_so() {
    arrives(Schema::Sample);
}

#[test]
fn a_migration_of_metabases_own_schema_arrives_and_status_says_so() {
    arrives(Schema::Metabase);
}

fn arrives(schema: Schema) {
    let Some(world) = world(Options {
        schema,
        ..Options::default()
    }) else {
        return;
    };
    let before = world.state_of_metabase();
    assert_eq!(status(&world), serde_json::json!({"state": null}));
    let output = migrate(&world).output().unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(json["state"], "done");
    let external_id = json["external_id"].as_str().unwrap();
    let shown = status(&world);
    assert_eq!(
        (&shown["state"], &shown["progress"], &shown["external_id"]),
        (&"done".into(), &100.into(), &external_id.into()),
        "{shown}"
    );
    // The store opens what it received in its own time.
    world.wait_for("the store has verified what arrived", || {
        world.state_at_store(external_id) == "verified"
    });
    let arrived = world.arrived();
    assert_eq!(arrived.len(), 1, "one H2 file lies in the store");
    assert_eq!(json["bytes"], arrived[0].len());
    assert!(world.state_of_metabase() == before, "it is not as it was");
    assert!(world.lease_is_free());
    assert_eq!(world.dumps(), [""; 0], "the dump is deleted");
    assert_eq!(world.rows(), 1);
}

#[test]
fn an_interrupt_before_the_store_answers_ends_it() {
    is_undone(While::StoreDoesNotAnswer, By::Signal("INT"));
}

#[test]
fn a_cancel_of_a_new_row_goes_no_further() {
    is_undone(While::RowIsNew, By::Cancel);
}

#[test]
fn an_interrupt_of_a_new_row_goes_no_further() {
    is_undone(While::RowIsNew, By::Signal("INT"));
}

#[test]
fn a_cancel_while_rows_are_copied_ends_it() {
    is_undone(While::RowsAreCopied, By::Cancel);
}

#[test]
fn an_interrupt_while_rows_are_copied_undoes_it() {
    is_undone(While::RowsAreCopied, By::Signal("INT"));
}

#[test]
fn a_cancel_while_read_only_spreads_ends_it() {
    is_undone(While::ReadOnlySpreads, By::Cancel);
}

#[test]
fn a_cancel_while_the_snapshot_is_held_up_ends_it() {
    is_undone(While::SnapshotIsHeldUp, By::Cancel);
}

#[test]
fn a_cancel_while_the_store_is_slow_ends_it() {
    is_undone(While::StoreIsSlow, By::Cancel);
}

#[test]
fn an_interrupt_while_read_only_spreads_undoes_it() {
    is_undone(While::ReadOnlySpreads, By::Signal("INT"));
}

#[test]
fn an_interrupt_while_the_snapshot_is_held_up_undoes_it() {
    is_undone(While::SnapshotIsHeldUp, By::Signal("INT"));
}

#[test]
fn an_interrupt_while_the_store_is_slow_undoes_it() {
    is_undone(While::StoreIsSlow, By::Signal("INT"));
}

#[test]
fn an_orchestrators_sigterm_undoes_it_too() {
    is_undone(While::ReadOnlySpreads, By::Signal("TERM"));
}

fn is_undone(then: While, by: By) {
    let store = match then {
        While::StoreDoesNotAnswer => Some(Silent::FromTheBeginning),
        While::StoreIsSlow => Some(Silent::Receiving),
        While::RowIsNew | While::ReadOnlySpreads | While::SnapshotIsHeldUp | While::RowsAreCopied => None,
    };
    let network = Network::default();
    let Some(world) = world(Options {
        schema: Schema::Metabase,
        propagation_seconds: match then {
            // Longer than anything here waits for: only what is asked for ends it.
            While::ReadOnlySpreads => 600,
            // The table is locked meanwhile.
            While::SnapshotIsHeldUp => 5,
            While::StoreDoesNotAnswer | While::RowIsNew | While::RowsAreCopied | While::StoreIsSlow => 0,
        },
        store: store.map(|silent| SlowStore::start(silent).address()),
        network: Some(network.clone()),
        ..Options::default()
    }) else {
        return;
    };
    if then == While::RowIsNew {
        // Which makes our tables.
        assert!(migrate(&world).status().unwrap().success());
        world.sql("DELETE FROM cloud_migration");
    }
    let before = world.state_of_metabase();
    let mut held = (then == While::RowIsNew).then(|| world.hold_in_init());
    if then == While::RowsAreCopied {
        network.slow_down_to(SLOW_BYTES_PER_SECOND);
    }
    let running = Running(Some(migrate(&world).spawn().unwrap()));
    match then {
        While::StoreDoesNotAnswer => world.wait_for("the store is asked", || lease_is_taken(&world)),
        While::RowIsNew => world.wait_for("the row is there", || phase(&world) == "init"),
        While::ReadOnlySpreads => world.wait_for("read-only is on", || world.read_only() == "true"),
        While::SnapshotIsHeldUp => {
            world.wait_for("read-only is on", || world.read_only() == "true");
            held = Some(world.lock_table("report_card"));
            world.wait_for("the dump begins", || phase(&world) == "dump");
        }
        While::RowsAreCopied => world.wait_for("rows are copied", || {
            let row = "SELECT state, progress > 22, progress < 50 FROM cloud_migration";
            world.sql(row) == "dump|t|t"
        }),
        While::StoreIsSlow => {
            world.wait_for("the upload begins", || phase(&world) == "upload");
            assert_ne!(world.dumps(), [""; 0], "the dump waits to be sent");
        }
    }
    if then.is_still() {
        assert!(world.state_of_metabase() != before, "read-only shows");
    }
    match by {
        By::Cancel => {
            let cancel = world
                .metaferry()
                .args(["--json", "cancel", "--from", &world.url])
                .output()
                .unwrap();
            let (json, code) = ended(&cancel);
            assert_eq!(
                (json, code),
                (serde_json::json!({"cancelled": 1}), 0),
                "{}",
                told(&cancel)
            );
        }
        By::Signal(name) => signal(name, running.id()),
    }
    if then == While::RowIsNew {
        // What holds it is the app DB itself.
        drop(held.take());
    }
    let output = running.end(&world);
    let (json, code) = ended(&output);
    assert_eq!(code, 130, "{then:?} {by:?}: {}", told(&output));
    assert_eq!(json["state"], "cancelled", "{json}");
    // All of it by the time that it has ended: nobody is left who would do the rest.
    assert!(
        world.state_of_metabase() == before,
        "it is not as it was: {}",
        told(&output)
    );
    assert_eq!(world.dumps(), [""; 0]);
    assert!(world.lease_is_free());
    let (shown, rows) = match then {
        While::StoreDoesNotAnswer => (Value::Null, 0),
        While::RowIsNew
        | While::ReadOnlySpreads
        | While::SnapshotIsHeldUp
        | While::RowsAreCopied
        | While::StoreIsSlow => ("cancelled".into(), 1),
    };
    assert_eq!((&status(&world)["state"], world.rows()), (&shown, rows));
    if then == While::RowIsNew {
        let newest = "SELECT count(*) FROM metaferry.journal WHERE entry LIKE '%effect_started%read_only_on%'
            AND migration_id = (SELECT id FROM metaferry.migration ORDER BY begun_at DESC LIMIT 1)";
        assert_eq!(world.sql(newest), "0", "{}", told(&output));
    }
    drop(held);
}

/// There may be no such table yet, and no row in it.
fn lease_is_taken(world: &World) -> bool {
    world.sql("SELECT to_regclass('metaferry.lease') IS NOT NULL") == "t"
        && world.sql("SELECT count(*) FROM metaferry.lease WHERE expires_at > clock_timestamp()") == "1"
}

#[test]
fn a_start_within_the_lease_of_a_killed_one_is_told_whose_it_is_and_for_how_long() {
    let Some(world) = world(Options {
        schema: Schema::Sample,
        propagation_seconds: 600,
        ..Options::default()
    }) else {
        return;
    };
    let running = Running(Some(migrate(&world).spawn().unwrap()));
    world.wait_for("read-only is on", || world.read_only() == "true");
    let killed = running.id();
    signal("KILL", killed);
    drop(running.end(&world));
    let refused = migrate(&world).output().unwrap();
    let (json, code) = ended(&refused);
    assert_eq!(code, 3, "{json}");
    let message = json["error"].as_str().unwrap();
    for words in [&*format!(":{killed} holds its lease"), "runs out within", " s"] {
        assert!(message.contains(words), "{words}: {json}");
    }
    assert!(
        json["what_to_do"]
            .as_str()
            .unwrap()
            .contains("when the lease has run out"),
        "{json}"
    );
}

/// Killed, should the test end before it does.
struct Running(Option<Child>);

impl Running {
    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Waits, but not for ever.
    fn end(mut self, world: &World) -> Output {
        world.wait_for("the migration ends", || {
            self.0.as_mut().unwrap().try_wait().unwrap().is_some()
        });
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Columns that are encrypted in the app DB; each is asked for by one line of SQL, which means the same to H2 once
/// quoted names are in capitals.
const SECRETS: [(&str, &str); 6] = [
    ("secrets", "SELECT id, \"value\" FROM secret ORDER BY id"),
    (
        "details",
        "SELECT id, details FROM metabase_database WHERE engine <> 'h2' AND NOT is_attached_dwh ORDER BY id",
    ),
    (
        "settings",
        "SELECT id, settings FROM metabase_database ORDER BY id",
    ),
    (
        "users",
        "SELECT id, settings FROM core_user WHERE settings IS NOT NULL ORDER BY id",
    ),
    (
        "somebody's own",
        "SELECT id, c01, c02, c03, c04, c05, c06, c07, c08, c09, c10, c11, c12, c13, c14 FROM somebodys_own ORDER BY id",
    ),
    (
        "values",
        "SELECT \"key\", \"value\" FROM setting WHERE \"key\" NOT IN ('encryption-check', 'read-only-mode', 'settings-last-updated') \
             ORDER BY \"key\"",
    ),
];

/// Everything in the app DB that is closed, a line each: base64, or a part of bytes in hex.
const CLOSED: &str = "SELECT details FROM metabase_database UNION ALL SELECT settings FROM metabase_database
     UNION ALL SELECT settings FROM core_user WHERE settings IS NOT NULL
     UNION ALL SELECT value FROM setting WHERE length(value) > 60
     UNION ALL SELECT unnest(ARRAY[c01, c02, c07, c13, c14]) FROM somebodys_own";

#[test]
fn an_encrypted_app_db_arrives_in_plain_text() {
    let Some(plain) = AppDb::load() else { return };
    let Some(world) = world(Options {
        schema: Schema::Metabase,
        ..Options::default()
    }) else {
        return;
    };
    for url in [&plain.url, &world.url] {
        psql(url, OWN_TABLE);
    }
    let attached = "SELECT count(*) > 0 FROM metabase_database WHERE engine <> 'h2' AND NOT is_attached_dwh";
    assert_eq!(psql(&plain.url, attached), "t", "there are details to open");
    encrypt(&world.url);
    let closed = world.sql(CLOSED);
    let before = world.state_of_metabase();

    for (key, why) in [
        (
            Some("another horse, another staple"),
            "is not the key of this app DB",
        ),
        (None, "give its MB_ENCRYPTION_SECRET_KEY"),
    ] {
        let refused = migrate(&world)
            .envs(key.map(|key| ("MB_ENCRYPTION_SECRET_KEY", key)))
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
        assert!(told(&refused).contains(why), "{}", told(&refused));
    }
    assert_eq!((world.rows(), world.arrived().len()), (0, 0));
    assert!(world.state_of_metabase() == before, "it is not as it was");
    assert_eq!(world.dumps(), [""; 0]);

    let output = migrate(&world)
        .env("MB_ENCRYPTION_SECRET_KEY", SECRET)
        .output()
        .unwrap();
    let (json, code) = ended(&output);
    assert_eq!(code, 0, "{}", told(&output));
    assert_eq!(json["state"], "done");
    assert!(world.state_of_metabase() == before, "the source is not as it was");
    assert!(world.sql(CLOSED) == closed, "the source does not stay encrypted");

    let [file] = <[_; 1]>::try_from(world.arrived()).unwrap();
    std::fs::write(plain.folder.path().join("arrived.mv.db"), &file).unwrap();
    let of_h2 = SECRETS.map(|(what, sql)| {
        let sql = sql.replace("\"key\"", "\"KEY\"");
        (what, sql.replace("\"value\"", "\"VALUE\""))
    });
    let mut opened = plain.java(
        &plain.h2_url("arrived"),
        &of_h2.each_ref().map(|(what, sql)| (*what, &**sql)),
    );
    let mut expected = plain.postgres(&SECRETS);
    for (what, _) in SECRETS {
        // Each server orders texts in its own way.
        let [opened, expected] = [&mut opened, &mut expected].map(|rows| rows.remove(what).unwrap());
        let [opened, expected] = [opened, expected].map(|mut rows| {
            rows.sort_unstable();
            rows
        });
        assert!(!expected.is_empty(), "{what}");
        assert_eq!(opened, expected, "{what}");
    }
    // The file is not compressed: what was closed would be found in it as it was.
    let holds = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"thirteen 3"), "plain text can be found at all");
    let mut looked = 0;
    for value in closed.lines() {
        assert!(!holds(value.as_bytes()), "{value}");
        looked += 1;
    }
    assert!(looked > 20, "{looked}");
}
