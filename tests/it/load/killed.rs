//! `load` ended by SIGKILL at any moment: what is visible is as before or complete, and what the dead one left is gone
//! after the next start.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{done, leftovers, load};
use crate::app_db::{AppDb, Scale, command, program, psql, signal, told, wait_for};

/// How often in the tests that always run; `cargo xtask kill-load` sets the variable to the whole number.
const KILLS: u32 = 4;
/// Longer than the server needs to notice that its client has gone.
const BACKENDS_END: Duration = Duration::from_secs(20);

fn kills() -> u32 {
    let wanted = std::env::var("METAFERRY_TEST_KILLS").ok();
    wanted.map_or(KILLS, |wanted| wanted.parse().unwrap())
}

/// Rows of every table, and the highest ids and sequences.
pub(crate) fn visible(url: &str) -> String {
    psql(
        url,
        "SELECT coalesce(string_agg(relname || ' ' || (xpath('/row/c/text()', query_to_xml(
             format('SELECT count(*) || md5(string_agg(t::text, '''' ORDER BY t::text)) AS c FROM public.%I t', relname),
             true, true, '')))[1]::text, ',' ORDER BY relname), '')
         FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
}

#[test]
fn killed_while_an_empty_database_is_filled() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let whole = app_db.empty_beside();
    done(&load(&file, &whole, &[]));
    let complete = visible(&whole.url);
    let mut seen = Seen::default();
    let mut target = app_db.empty_beside();
    for number in 0..kills() {
        kill(&file, &target, number, &[]);
        match visible(&target.url) {
            nothing if nothing.is_empty() => seen.before += 1,
            all => {
                assert_eq!(all, complete, "kill {number}");
                seen.complete += 1;
                target = app_db.empty_beside();
            }
        }
    }
    // Whatever is left goes when the next one begins.
    if visible(&target.url).is_empty() {
        done(&load(&file, &target, &[]));
    }
    assert_eq!(visible(&target.url), complete);
    assert_eq!(leftovers(&target), "0");
    seen.prove_something();
}

#[test]
fn killed_while_a_metabase_is_replaced() {
    let Some(app_db) = AppDb::load() else { return };
    let file = app_db.h2_fixture();
    let mut target = app_db.set_up_beside();
    let other = app_db.set_up_beside();
    done(&load(&file, &other, &[]));
    let complete = visible(&other.url);
    let mut before = visible(&target.url);
    let mut seen = Seen::default();
    for number in 0..kills() {
        kill(&file, &target, number, &["--force"]);
        let now = visible(&target.url);
        if now == before {
            seen.before += 1;
        } else {
            assert_eq!(now, complete, "kill {number}");
            seen.complete += 1;
            target = app_db.set_up_beside();
            before = visible(&target.url);
        }
    }
    done(&load(&file, &target, &["--force"]));
    assert_eq!(visible(&target.url), complete);
    seen.prove_something();
}

/// An interrupt is not a death: everything is taken back before the program ends, and its exit code says so.
#[test]
fn interrupted_while_it_writes_it_takes_everything_back() {
    let Some(app_db) = AppDb::load_at(Scale::One) else {
        return;
    };
    app_db.dump_to(&app_db.file());
    let target = app_db.empty_beside();
    let running = command()
        .args(["load", "--from"])
        .arg(app_db.file())
        .args(["--to", &target.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = running.id();
    wait_for("rows are written", || copies_under_way(&target) != "0");
    // It stands still in the middle, however fast it is: the interrupt finds it there.
    signal("STOP", process);
    assert_eq!(
        visible(&target.url),
        "",
        "the load was over before it was interrupted"
    );
    assert_ne!(
        leftovers(&target),
        "0",
        "nothing was written before the interrupt"
    );
    signal("INT", process);
    signal("CONT", process);
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", told(&ended));
    assert_eq!(
        (visible(&target.url), leftovers(&target)),
        (String::new(), "0".to_owned())
    );
}

/// How many tables are being written.
fn copies_under_way(target: &AppDb) -> String {
    psql(
        &target.url,
        "SELECT count(*) FROM pg_stat_progress_copy WHERE command = 'COPY FROM' AND tuples_processed > 0
             AND datname = current_database()",
    )
}

/// What was found after a kill.
#[derive(Debug, Default)]
struct Seen {
    before: u32,
    complete: u32,
}

impl Seen {
    #[expect(clippy::print_stderr, reason = "how much was proved is worth a line")]
    fn prove_something(&self) {
        eprintln!("{self:?}");
        assert!(self.before > 0, "no kill came before the end: {self:?}");
    }
}

/// Starts a load and kills it after a while that differs from kill to kill, spread over how long a load takes. `timeout`
/// is the one that waits.
fn kill(file: &std::path::Path, target: &AppDb, number: u32, options: &[&str]) {
    // The golden ratio's multiples cover any interval evenly, in any number.
    let fraction = (f64::from(number) * 0.618_033_988_75).fract();
    let wait = 0.05 + fraction * 1.6;
    let path = std::env::var_os("PATH").unwrap_or_default();
    Command::new("timeout")
        .args(["--signal=KILL", &format!("{wait:.3}")])
        .arg(program())
        .args(["load", "--from"])
        .arg(file)
        .args(["--to", &target.url])
        .args(options)
        .env_clear()
        .env("PATH", path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // The server notices that its client has gone; until then it is asked again and again.
    let killed = Instant::now();
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'metaferry'";
    while psql(&target.url, busy) != "0" {
        assert!(killed.elapsed() < BACKENDS_END, "a backend outlives its client");
    }
}
