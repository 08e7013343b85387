//! Somebody's long transaction keeps a table in use that is to get a trigger: whoever asks the program to stop is heard
//! all the same, and nothing stays of what was made by then.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::judge::broken;
use super::metaferry;
use super::place::{OnMaria, OnPostgres, Place};
use crate::app_db::{Process, signal};
use crate::mariadb::Maria;

/// How soon all must be as before.
const UNDONE_WITHIN: Duration = Duration::from_secs(2);
/// Among the last that are guarded: most triggers are there by then.
const GUARDED: &str = "secret";

/// Who asks it to stop.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// An operator's own SQL: nobody tells the program.
    Row,
    Interrupt,
}

#[test]
fn a_stop_is_heard_while_a_guarded_table_is_kept_in_use_postgres() {
    let Some(place) = OnPostgres::new() else { return };
    is_heard(&place, "read_only_on", "enforced", GUARDED);
    // What the dead man's switch needs.
    is_heard(&place, "arm_switch", "flag", "qrtz_scheduler_state");
}

#[test]
fn a_stop_is_heard_while_a_guarded_table_is_kept_in_use_mariadb() {
    let Some(maria) = Maria::new() else { return };
    is_heard(&OnMaria::new(&maria), "read_only_on", "enforced", GUARDED);
}

/// `effect` is what waits.
fn is_heard(place: &dyn Place, effect: &str, strength: &str, table: &str) {
    let journal = place.own("journal");
    for stop in [Stop::Row, Stop::Interrupt] {
        let before = place.as_it_is();
        let kept = place.keep_in_use(table);
        let mut migrate: Command = metaferry(place);
        let migrating = migrate
            .args(["--json", "migrate", "--yes", "--read-only", strength])
            .args(["--from", &place.url()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut migrating = Process(migrating.spawn().unwrap());
        place.shore().wait_for("it waits for the table", || {
            let begun =
                format!("SELECT count(*) > 0 FROM {journal} WHERE entry LIKE '%effect_started%{effect}%'");
            place.waits_for_a_table() && ["1", "t"].contains(&&*place.ask(&begun)[0])
        });
        if strength == "enforced" {
            assert!(place.leftovers().len() > 30, "most triggers are there");
        }
        match stop {
            Stop::Row => {
                place.ask("UPDATE cloud_migration SET state = 'cancelled'");
            }
            Stop::Interrupt => signal("INT", migrating.0.id()),
        }
        let since = Instant::now();
        let mut status = None;
        place.shore().wait_for("it ends", || {
            status = migrating.0.try_wait().unwrap();
            status.is_some()
        });
        let took = since.elapsed();
        assert_eq!(broken(place, &before), [""; 0], "{stop:?} {strength}");
        assert_eq!(
            place.ask("SELECT DISTINCT state FROM cloud_migration"),
            ["cancelled"],
            "{stop:?} {strength}"
        );
        assert_eq!(status.unwrap().code(), Some(130), "{stop:?} {strength}");
        assert!(took < UNDONE_WITHIN, "{stop:?} {strength}: {took:?}");
        drop(kept);
        place.forget();
    }
}
