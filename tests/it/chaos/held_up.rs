//! Somebody's long transaction keeps in use or locked what the program is about to change: whoever asks it to stop is heard
//! all the same, and nothing stays of what was made by then.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use metaferry_domain::effect::Effect;
use metaferry_domain::migration::Phase;

use super::judge::broken;
use super::place::{OnMaria, OnPostgres, Place};
use super::{LEASE_SECONDS, metaferry};
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
    is_heard_at_a_table(&place, "read_only_on", "enforced", GUARDED);
    // What the dead man's switch needs.
    is_heard_at_a_table(&place, "arm_switch", "flag", "qrtz_scheduler_state");
}

#[test]
fn a_stop_is_heard_while_a_guarded_table_is_kept_in_use_mariadb() {
    let Some(maria) = Maria::new() else { return };
    is_heard_at_a_table(&OnMaria::new(&maria), "read_only_on", "enforced", GUARDED);
}

#[test]
fn a_stop_is_heard_while_a_row_is_kept_locked_postgres() {
    let Some(place) = OnPostgres::new() else { return };
    is_heard_at_a_row(&place);
    costs_no_lease(&place);
}

#[test]
fn a_stop_is_heard_while_a_row_is_kept_locked_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let place = OnMaria::new(&maria);
    is_heard_at_a_row(&place);
    costs_no_lease(&place);
}

fn is_heard_at_a_table(place: &dyn Place, effect: &str, strength: &str, table: &str) {
    for stop in [Stop::Row, Stop::Interrupt] {
        let before = place.as_it_is();
        let kept = place.keep_in_use(table);
        let waits = || place.waits_for_a_table() && has_begun(place, effect);
        let heard = Heard::after(place, strength, stop, waits, || {
            if strength == "enforced" {
                assert!(place.leftovers().len() > 30, "most triggers are there");
            }
        });
        heard.judge(place, &before, &["cancelled"]);
        drop(kept);
        place.forget();
    }
}

fn is_heard_at_a_row(place: &dyn Place) {
    // Of a row that is not there yet an operator's SQL says nothing.
    for (effect, name, stops, states) in [
        (Effect::InsertRow, "insert_row", &[Stop::Interrupt][..], &[][..]),
        (
            Effect::ReadOnlyOn,
            "read_only_on",
            &[Stop::Row, Stop::Interrupt],
            &["cancelled"],
        ),
        (
            Effect::QuiesceScheduler,
            "quiesce_scheduler",
            &[Stop::Row, Stop::Interrupt],
            &["cancelled"],
        ),
    ] {
        for stop in stops {
            let before = place.as_it_is();
            let kept = place.keep_locked(effect);
            let waits = || place.waits_for_a_row() && has_begun(place, name);
            let heard = Heard::after(place, "flag", *stop, waits, || {});
            heard.judge(place, &before, states);
            drop(kept);
            place.forget();
        }
    }
}

/// What was changed is put back at once, and how it ended is written as soon as it can be.
#[test]
fn all_is_undone_while_the_migrations_own_row_is_kept_locked_postgres() {
    let Some(place) = OnPostgres::new() else { return };
    is_undone_while_its_row_is_locked(&place);
}

#[test]
fn all_is_undone_while_the_migrations_own_row_is_kept_locked_mariadb() {
    let Some(maria) = Maria::new() else { return };
    is_undone_while_its_row_is_locked(&OnMaria::new(&maria));
}

fn is_undone_while_its_row_is_locked(place: &dyn Place) {
    for strength in place.strengths() {
        let before = place.as_it_is();
        let mut migrate = migrate(place, strength);
        migrate
            .env("METAFERRY_FAULT", "CopySnapshot:delay")
            .env("METAFERRY_FAULT_SECONDS", "600");
        let mut migrating = Process(migrate.spawn().unwrap());
        let state = || place.ask("SELECT DISTINCT state FROM cloud_migration");
        place.shore().wait_for("it dumps", || {
            state() == ["dump"] && has_begun(place, "copy_snapshot")
        });
        let kept = place.keep_locked(Effect::WriteState(Phase::Cancelled));
        signal("INT", migrating.0.id());
        let since = Instant::now();
        place.shore().wait_for("all is as before", || {
            place.as_it_is() == before && place.leftovers().is_empty() && place.shore().dumps().is_empty()
        });
        let took = since.elapsed();
        assert!(took < UNDONE_WITHIN, "{strength}: {took:?}");
        assert_eq!(state(), ["dump"], "{strength}: it was locked");
        assert_eq!(migrating.0.try_wait().unwrap(), None, "{strength}");
        drop(kept);
        let mut status = None;
        place.shore().wait_for("it ends", || {
            status = migrating.0.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(status.unwrap().code(), Some(130), "{strength}");
        assert_eq!(state(), ["cancelled"], "{strength}");
        assert_eq!(broken(place, &before), [""; 0], "{strength}");
        place.forget();
    }
}

/// Every look at the row kept a connection, until there was none to renew the lease by.
fn costs_no_lease(place: &dyn Place) {
    let before = place.as_it_is();
    let mut migrate = migrate(place, "flag");
    migrate.env("METAFERRY_FAULT", "InsertRow:delay");
    let mut migrating = Process(migrate.spawn().unwrap());
    place
        .shore()
        .wait_for("it is about to insert", || has_begun(place, "insert_row"));
    let kept = place.keep_whole("cloud_migration");
    place
        .shore()
        .wait_for("it waits for the table", || place.waits_for_a_row());
    signal("INT", migrating.0.id());
    let since = Instant::now();
    place.shore().wait_for("it waits for longer than a lease", || {
        since.elapsed() > 2 * Duration::from_secs(LEASE_SECONDS)
    });
    assert_eq!(migrating.0.try_wait().unwrap(), None, "it has given up");
    drop(kept);
    let mut status = None;
    place.shore().wait_for("it ends", || {
        status = migrating.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.unwrap().code(), Some(130));
    assert_eq!(broken(place, &before), [""; 0]);
    place.forget();
}

fn migrate(place: &dyn Place, strength: &str) -> Command {
    let mut migrate: Command = metaferry(place);
    migrate
        .args(["--json", "migrate", "--yes", "--read-only", strength])
        .args(["--from", &place.url()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    migrate
}

fn has_begun(place: &dyn Place, effect: &str) -> bool {
    let journal = place.own("journal");
    let begun = format!("SELECT count(*) > 0 FROM {journal} WHERE entry LIKE '%effect_started%{effect}%'");
    ["1", "t"].contains(&&*place.ask(&begun)[0])
}

/// How a migration ended that was asked to stop.
struct Heard {
    asked: String,
    took: Duration,
    code: Option<i32>,
}

impl Heard {
    /// It is asked once it `waits`, and `then` was looked at.
    fn after(
        place: &dyn Place,
        strength: &str,
        stop: Stop,
        waits: impl FnMut() -> bool,
        then: impl FnOnce(),
    ) -> Self {
        let mut migrating = Process(migrate(place, strength).spawn().unwrap());
        place.shore().wait_for("it waits for who is in the way", waits);
        then();
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
        Self {
            asked: format!("{stop:?} {strength}"),
            took: since.elapsed(),
            code: status.unwrap().code(),
        }
    }

    /// All is as before, soon.
    fn judge(&self, place: &dyn Place, before: &[String], states: &[&str]) {
        let Self { asked, took, code } = self;
        assert_eq!(broken(place, before), [""; 0], "{asked}");
        let now = place.ask("SELECT DISTINCT state FROM cloud_migration");
        assert_eq!(now, states, "{asked}");
        assert_eq!(*code, Some(130), "{asked}");
        assert!(*took < UNDONE_WITHIN, "{asked}: {took:?}");
    }
}
