//! Every effect, with every fault, in every way that the effect comes to be performed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metaferry_domain::effect::Effect;
use metaferry_domain::migration::Phase;
use metaferry_orchestrator::FaultKind;

use super::judge::broken;
use super::place::{OnMaria, OnPostgres, Place};
use super::{Opens, in_places, metaferry, wait_for};
use crate::app_db::{Process, listen, signal};
use crate::mariadb::Maria;

/// App DBs at once on one server: most of a cell is waiting for a lease to run out.
const AT_ONCE: usize = 5;
/// What SIGABRT is.
const ABORTED: i32 = 6;

/// How an effect comes to be performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Everything else goes well.
    Onward,
    /// This goes wrong before.
    After(Effect, FaultKind),
    /// Somebody interrupts it in setup.
    Interrupted,
}

/// In which ways an effect is performed.
fn ways(effect: Effect) -> &'static [Way] {
    const SETUP_FAILS: Way = Way::After(Effect::AwaitRunningJobs, FaultKind::Error);
    const UPLOAD_FAILS: Way = Way::After(Effect::UploadDump, FaultKind::LoseAnswer);
    match effect {
        Effect::Preflight
        | Effect::AcquireLease
        | Effect::CreateAtStore
        | Effect::InsertRow
        | Effect::StoreUndoScript
        | Effect::ArmSwitch
        | Effect::ReadOnlyOn
        | Effect::AwaitReadOnly
        | Effect::QuiesceScheduler
        | Effect::AwaitRunningJobs
        | Effect::CopySnapshot
        | Effect::ProveReadOnlyHeld
        | Effect::FinishDump
        | Effect::UploadDump
        | Effect::VerifyObject
        | Effect::TellStore
        | Effect::WriteState(Phase::Init | Phase::Setup | Phase::Dump | Phase::Upload | Phase::Done)
        | Effect::WriteProgress => &[Way::Onward],
        Effect::RestoreScheduler | Effect::RestoreReadOnly | Effect::DisarmSwitch => {
            &[Way::Onward, SETUP_FAILS]
        }
        Effect::DeleteDump => &[Way::Onward, UPLOAD_FAILS],
        Effect::AbortUpload => &[UPLOAD_FAILS],
        Effect::WriteState(Phase::Error) => &[SETUP_FAILS],
        Effect::WriteState(Phase::Cancelled) => &[Way::Interrupted],
        Effect::ReleaseLease => &[Way::Onward, UPLOAD_FAILS, Way::Interrupted],
    }
}

/// One run of the program, and what makes good what it leaves.
#[derive(Debug, Clone, Copy)]
struct Cell {
    number: usize,
    is_of_every_run: bool,
    effect: Effect,
    way: Way,
    kind: FaultKind,
}

/// All of them. Of every run are so many that each effect goes wrong once in each of its ways, and each fault happens:
/// `shift` tells which.
fn cells(shift: usize) -> Vec<Cell> {
    let effects = Effect::ALL.into_iter().chain([Effect::WriteProgress]);
    let ways = effects.flat_map(|effect| ways(effect).iter().map(move |way| (effect, *way)));
    let mut cells = Vec::new();
    for (row, (effect, way)) in ways.enumerate() {
        for (column, kind) in FaultKind::ALL.into_iter().enumerate() {
            cells.push(Cell {
                number: cells.len(),
                is_of_every_run: column == (row + shift) % FaultKind::ALL.len(),
                effect,
                way,
                kind,
            });
        }
    }
    cells
}

impl Cell {
    /// As the program is told of it.
    fn fault(&self) -> String {
        format!("{}:{}", self.effect, self.kind.as_str())
    }

    /// What is told before that.
    fn first(&self) -> Option<String> {
        match self.way {
            Way::Onward => None,
            Way::After(effect, kind) => Some(format!("{effect}:{}", kind.as_str())),
            // Long enough to be interrupted in.
            Way::Interrupted => Some(format!("{}:{}", Effect::AwaitReadOnly, FaultKind::Delay.as_str())),
        }
    }
}

#[test]
fn whatever_becomes_of_an_effect_everything_is_as_before_or_done_postgres() {
    all_hold(0, &|work| {
        let Some(place) = OnPostgres::new() else { return };
        work(&place);
    });
}

#[test]
fn whatever_becomes_of_an_effect_everything_is_as_before_or_done_mariadb() {
    all_hold(1, &|work| {
        let Some(maria) = Maria::new() else { return };
        work(&OnMaria::new(&maria));
    });
}

/// Whether all of it is wanted, or one cell: `RestoreReadOnly:abort-after`.
fn wanted(cell: &Cell) -> bool {
    match std::env::var("METAFERRY_TEST_MATRIX").ok().as_deref() {
        None => cell.is_of_every_run,
        Some("all") => true,
        Some(fault) => cell.fault() == fault,
    }
}

/// `in_a_place` makes a place and hands it on to what is given to it, several times at once.
#[expect(clippy::print_stderr, reason = "how much was proved is worth a line")]
fn all_hold(shift: usize, in_a_place: &Opens) {
    let cells: Vec<Cell> = cells(shift).into_iter().filter(wanted).collect();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let began = Instant::now();
    in_places(AT_ONCE.min(cells.len()), in_a_place, &|place| {
        let mut before = place.as_it_is();
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let wrong = holds(place, cell, &before);
            place.forget();
            let took = started.elapsed().as_secs_f64();
            let verdict = if wrong.is_empty() { "" } else { "BROKEN" };
            eprintln!("{} {:?}: {took:.1} s {verdict} {wrong:?}", cell.fault(), cell.way);
            if !wrong.is_empty() {
                let log = std::fs::read_to_string(place.shore().folder().join("cell.log"));
                failed
                    .lock()
                    .unwrap()
                    .push((*cell, wrong, log.unwrap_or_default()));
                // The next is not to be accused of what this one leaves.
                before = place.as_it_is();
            }
        }
    });
    let ran = next.into_inner().min(cells.len());
    let failed = failed.into_inner().unwrap();
    eprintln!(
        "{ran} cells, {} broken, {:.0} s",
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    for (cell, wrong, log) in &failed {
        eprintln!(
            "{} {:?}:\n  {}\n{log}",
            cell.fault(),
            cell.way,
            wrong.join("\n  ")
        );
    }
    assert!(failed.is_empty());
}

/// What is wrong after a cell.
fn holds(place: &dyn Place, cell: &Cell, before: &[String]) -> Vec<String> {
    let log = place.shore().folder().join("cell.log");
    let faults = cell.first().into_iter().chain([cell.fault()]);
    let faults = faults.collect::<Vec<_>>().join(",");
    let strengths = place.strengths();
    let mut command = metaferry(place);
    command
        .args(["--json", "migrate", "--yes", "--from", &place.url()])
        .args(["--read-only", strengths[cell.number % strengths.len()]])
        .env("METAFERRY_FAULT", faults);
    let mut running = begin(&mut command, &log);
    let said = || std::fs::read_to_string(&log).unwrap();
    let mut wrong = Vec::new();
    if let (Way::Interrupted, Some(first)) = (cell.way, cell.first()) {
        place
            .shore()
            .wait_for("it can be interrupted", || said().contains(&first));
        signal("INT", running.0.id());
    }
    let status = end(&mut running, &mut wrong);
    if !said().contains(&format!("fault {} let loose", cell.fault())) {
        wrong.push("the effect was not performed".to_owned());
    }
    let aborts = match cell.kind {
        FaultKind::AbortBefore | FaultKind::AbortAfter => true,
        FaultKind::Error | FaultKind::LoseAnswer | FaultKind::Delay => false,
    };
    if aborts != status.is_some_and(|status| status.signal() == Some(ABORTED)) {
        wrong.push(format!("it ended with {status:?}"));
    }
    make_good(place, cell.number, &mut wrong);
    wrong.extend(broken(place, before));
    wrong
}

/// Whatever starts next makes good what was left: all of these do, on the same machine or on another one.
fn make_good(place: &dyn Place, number: usize, wrong: &mut Vec<String>) {
    let folder = place.shore().folder();
    let (disk, away) = (folder.join("data"), folder.join("away"));
    let mut next = metaferry(place);
    let is_elsewhere = number % 3 == 1 && disk.is_dir();
    if is_elsewhere {
        // What the dead one's disk holds is out of reach there.
        std::fs::rename(&disk, &away).unwrap();
        next.env("METAFERRY_DATA_DIR", folder.join("data-elsewhere"));
    }
    starts(place, number, next, wrong);
    if is_elsewhere {
        // Made by whoever looked for the dump there.
        std::fs::remove_dir_all(&disk).ok();
        std::fs::rename(&away, &disk).unwrap();
    }
    wait_for("no dump is left", wrong, || {
        if !place.shore().dumps().is_empty() {
            let mut recover = metaferry(place);
            recover.args(["recover", "--from", &place.url()]);
            end(
                &mut begin(&mut recover, &folder.join("back.log")),
                &mut Vec::new(),
            );
        }
        place.shore().dumps().is_empty()
    });
}

fn starts(place: &dyn Place, number: usize, mut next: Command, wrong: &mut Vec<String>) {
    let log = place.shore().folder().join("next.log");
    let url = place.url();
    match number % 4 {
        0 => {
            let (serving, _) = listen(next.args(["serve", "--from", &url]), &log);
            wait_for("all is settled and the lease is free", wrong, || {
                place.is_settled()
            });
            drop(serving);
            return;
        }
        1 => {
            // Until then it would be refused.
            wait_for("the lease is free", wrong, || place.lease_is_free());
            next.args(["migrate", "--yes", "--from", &url]);
        }
        _ => {
            next.args(["recover", "--from", &url]);
        }
    }
    let status = end(&mut begin(&mut next, &log), wrong);
    if !status.is_some_and(|status| status.success()) {
        let said = std::fs::read_to_string(&log).unwrap();
        wrong.push(format!("the next one ended with {status:?}: {said}"));
    }
    wait_for("the lease is free", wrong, || place.lease_is_free());
}

/// Runs it, with all that it says in a file.
fn begin(command: &mut Command, log: &std::path::Path) -> Process {
    let file = File::create(log).unwrap();
    let child: Child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    Process(child)
}

/// `None` where it does not end.
fn end(running: &mut Process, wrong: &mut Vec<String>) -> Option<ExitStatus> {
    let mut status = None;
    wait_for("it ends", wrong, || {
        status = running.0.try_wait().unwrap();
        status.is_some()
    });
    status
}
