//! `load` into MariaDB ended by SIGKILL at any moment: what is visible is as before or complete, and what the dead one left
//! is gone after the next start.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Database, Maria, With};
use crate::app_db::{AppDb, command, program, signal, told, wait_for};
use crate::load::load_into;

/// How often in the tests that always run; `cargo xtask kill-load` sets the variable to the whole number.
const KILLS: u32 = 4;

fn kills() -> u32 {
    let wanted = std::env::var("METAFERRY_TEST_KILLS").ok();
    wanted.map_or(KILLS, |wanted| wanted.parse().unwrap())
}

/// Everything but what our own names begin: tables with the server's sums of their rows, and views that can be asked.
fn visible(database: &Database<'_>) -> Vec<String> {
    let named = database.ask(
        "SELECT table_name, table_type FROM information_schema.tables
         WHERE table_schema = database() AND left(table_name, 10) <> 'metaferry_' ORDER BY 1",
    );
    let of_kind = |kind: &str| -> Vec<String> {
        let found = named
            .iter()
            .filter_map(|line| line.strip_suffix(&format!("\t{kind}")));
        found.map(str::to_owned).collect()
    };
    let mut seen = match of_kind("BASE TABLE") {
        tables if tables.is_empty() => Vec::new(),
        tables => database.checksums(&tables),
    };
    for view in of_kind("VIEW") {
        let rows = database.ask(&format!("SELECT count(*) FROM `{view}`"));
        seen.push(format!("{view}: {}", rows.concat()));
    }
    seen
}

fn leftovers(database: &Database<'_>) -> Vec<String> {
    database.ask(
        "SELECT table_name FROM information_schema.tables
         WHERE table_schema = database() AND left(table_name, 15) = 'metaferry_load_'",
    )
}

#[test]
fn killed_while_an_empty_mariadb_is_filled() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let whole = maria.database(With::Nothing);
    let seconds = timed(&file, &whole, &[]);
    let complete = visible(&whole);
    assert!(complete.len() > 100, "{complete:?}");
    let mut seen = Seen::default();
    let mut target = maria.database(With::Nothing);
    for number in 0..kills() {
        kill(&file, &target, number, seconds, &[]);
        if leftovers(&target).len() > 1 {
            seen.half_done += 1;
        }
        match visible(&target) {
            nothing if nothing.is_empty() => seen.before += 1,
            all => {
                assert_eq!(all, complete, "kill {number}");
                assert_eq!(leftovers(&target), [""; 0]);
                seen.complete += 1;
                target = maria.database(With::Nothing);
            }
        }
    }
    // Whatever is left goes when the next one begins.
    if visible(&target).is_empty() {
        timed(&file, &target, &[]);
    }
    assert_eq!(visible(&target), complete);
    assert_eq!(leftovers(&target), [""; 0]);
    seen.prove_something();
    // So few kills as always run may all come before or after.
    assert!(
        seen.half_done > 0 || kills() <= KILLS,
        "no kill came while tables were filled: {seen:?}"
    );
}

#[test]
fn killed_while_a_metabase_on_mariadb_is_replaced() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let (mut target, other) = (maria.database(With::Schema), maria.database(With::Schema));
    let before = visible(&target);
    assert_eq!(visible(&other), before);
    let seconds = timed(&file, &other, &[]);
    let complete = visible(&other);
    let mut seen = Seen::default();
    for number in 0..kills() {
        kill(&file, &target, number, seconds, &["--force"]);
        let now = visible(&target);
        if now == before {
            seen.before += 1;
        } else {
            assert_eq!(now, complete, "kill {number}");
            seen.complete += 1;
            target = maria.database(With::Schema);
        }
    }
    timed(&file, &target, &["--force"]);
    assert_eq!(visible(&target), complete);
    assert_eq!(leftovers(&target), [""; 0]);
    seen.prove_something();
}

/// An interrupt is not a death: everything is taken back before the program ends, and its exit code says so.
#[test]
fn interrupted_while_it_fills_an_empty_mariadb_it_takes_everything_back() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = maria.database(With::Nothing);
    let running = command()
        .args(["load", "--from"])
        .arg(&file)
        .args(["--to", &target.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = running.id();
    wait_for("tables are made", || leftovers(&target).len() > 1);
    // It stands still in the middle, however fast it is: the interrupt finds it there.
    signal("STOP", process);
    assert_eq!(
        visible(&target),
        [""; 0],
        "the load was over before it was interrupted"
    );
    assert_ne!(
        leftovers(&target),
        [""; 0],
        "nothing was written before the interrupt"
    );
    signal("INT", process);
    signal("CONT", process);
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", told(&ended));
    assert_eq!((visible(&target), leftovers(&target)), (Vec::new(), Vec::new()));
}

/// What is left where the server itself died between the new tables and their views: the next start makes them.
#[test]
fn views_that_a_dead_mariadb_owed_are_made_by_the_next_start() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let target = maria.database(With::Nothing);
    timed(&file, &target, &[]);
    let complete = visible(&target);
    let query = target.ask("SELECT view_definition FROM information_schema.views WHERE table_schema = database() AND table_name = 'v_users'");
    let statement = format!("CREATE VIEW v_users AS {}", query.concat());
    target.ask(&format!(
        "DROP VIEW v_users;
         CREATE TABLE metaferry_load_0123456789ab (position int PRIMARY KEY, statement longtext NOT NULL)
             COMMENT='metaferry: an unfinished load; may be dropped';
         INSERT INTO metaferry_load_0123456789ab VALUES (0, '{}');
         CREATE TABLE metaferry_load_ffffffffffff (somebodys int)",
        statement.replace('\'', "''")
    ));
    assert_ne!(visible(&target), complete);
    let refused = load_into(&file, &target.url(), &[]);
    assert_eq!(
        refused.status.code(),
        Some(3),
        "there are users: {}",
        told(&refused)
    );
    assert_eq!(visible(&target), complete);
    // What has no comment of ours is not ours.
    assert_eq!(leftovers(&target), ["metaferry_load_ffffffffffff"]);
}

/// Whoever may make tables could write such a one; what it holds would be run by a user who may do more.
#[test]
fn a_register_that_holds_something_else_than_views_is_refused() {
    let Some(maria) = Maria::new() else { return };
    let Some(app_db) = AppDb::load() else { return };
    let target = maria.database(With::Nothing);
    target.ask(
        "CREATE TABLE metaferry_load_0123456789ab (position int PRIMARY KEY, statement longtext NOT NULL)
             COMMENT='metaferry: an unfinished load; may be dropped';
         INSERT INTO metaferry_load_0123456789ab VALUES (0, 'CREATE TABLE ours (id int)'),
             (1, 'CREATE VIEW v AS SELECT 1; CREATE TABLE ours (id int)')",
    );
    let refused = load_into(&app_db.h2_fixture(), &target.url(), &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
    assert!(
        told(&refused).contains("metaferry_load_0123456789ab"),
        "{}",
        told(&refused)
    );
    assert_eq!(target.tables(), ["metaferry_load_0123456789ab"]);
}

/// What was found after a kill.
#[derive(Debug, Default)]
struct Seen {
    before: u32,
    /// Of these, with tables that were being filled.
    half_done: u32,
    complete: u32,
}

impl Seen {
    #[expect(clippy::print_stderr, reason = "how much was proved is worth a line")]
    fn prove_something(&self) {
        eprintln!("{self:?}");
        assert!(self.before > 0, "no kill came before the end: {self:?}");
    }
}

/// A load that goes well; answers how long it took.
fn timed(file: &Path, target: &Database<'_>, options: &[&str]) -> f64 {
    let began = std::time::Instant::now();
    let loaded = load_into(file, &target.url(), options);
    assert_eq!(loaded.status.code(), Some(0), "{}", told(&loaded));
    began.elapsed().as_secs_f64()
}

/// Starts a load and kills it after a while that differs from kill to kill, spread over how long a load takes. `timeout`
/// is the one that waits.
fn kill(file: &Path, target: &Database<'_>, number: u32, seconds: f64, options: &[&str]) {
    // The golden ratio's multiples cover any interval evenly, in any number.
    let fraction = (f64::from(number) * 0.618_033_988_75).fract();
    let wait = 0.05 + fraction * seconds * 1.05;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Command::new("timeout")
        .args(["--signal=KILL", &format!("{wait:.3}")])
        .arg(program())
        .args(["load", "--from"])
        .arg(file)
        .args(["--to", &target.url()])
        .args(options)
        .env_clear()
        .env("PATH", path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // The server notices that its client has gone; until then it is asked again and again.
    let busy = format!(
        "SELECT count(*) FROM information_schema.processlist WHERE db = '{}'",
        target.name
    );
    wait_for("the dead one's sessions have ended", || {
        target.maria.client("", &busy) == ["0"]
    });
}
