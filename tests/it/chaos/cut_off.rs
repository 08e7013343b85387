//! Three programs serve one app DB, each on a machine of its own, and the one that works is cut off from the database in
//! the middle of a phase, while it still reaches the store. Another one undoes what it began once the lease has run out (how
//! soon is printed, and bounded for a machine that has other work); what was cut off stops by itself, and when it is back it does no harm, and works again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use metaferry_domain::effect::Effect;
use metaferry_orchestrator::FaultKind;

use super::judge::broken;
use super::machines::{Cut, Machine, may_be};
use super::place::{OnMaria, OnPostgres, Place};
use super::{LEASE_SECONDS, Opens, metaferry, wait_for};
use crate::api::shore::Answer;
use crate::app_db::{Process, listen_at};
use crate::mariadb::Maria;

/// How much longer than the lease another one may take to see that it has ended and to undo everything, on a machine that
/// has other work.
const ALLOWANCE: Duration = Duration::from_secs(15);
/// And to take the lease: it looks once a second.
const TAKES_OVER_MAX: Duration = Duration::from_secs(5);
/// App DBs at once on one server.
const AT_ONCE: usize = 4;
/// So slow that a phase lasts longer than all else.
const BYTES_PER_SECOND: usize = 2048;
/// So much has gone by once it is under way; all of it is many times more.
const UNDER_WAY_BYTES: usize = 8 * BYTES_PER_SECOND;
/// How long the first effect of a middle is held up there, in seconds: so long that it is seen there on any machine.
const HELD_UP_SECONDS: u32 = 8;

/// The middle of each phase, and how it is held there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Middle {
    /// The store is to be asked.
    Init,
    /// Read-only is on, schedules are paused, and jobs are to be waited for.
    Setup,
    /// Rows come slowly.
    Dump,
    /// Bytes go slowly.
    Upload,
}

/// A middle, the way in which the cable is cut, and the strength of read-only.
type Cell = (Middle, Cut, &'static str);

const ON_POSTGRES: &[Cell] = &[
    (Middle::Init, Cut::Whole, "flag"),
    (Middle::Setup, Cut::Whole, "flag"),
    (Middle::Dump, Cut::Whole, "flag"),
    (Middle::Upload, Cut::Whole, "flag"),
    (Middle::Setup, Cut::Whole, "enforced"),
    (Middle::Dump, Cut::Whole, "enforced"),
    (Middle::Upload, Cut::Whole, "enforced"),
    (Middle::Init, Cut::Answers, "flag"),
    (Middle::Setup, Cut::Answers, "flag"),
    (Middle::Dump, Cut::Answers, "enforced"),
    (Middle::Upload, Cut::Answers, "flag"),
    (Middle::Setup, Cut::Questions, "enforced"),
    (Middle::Dump, Cut::Questions, "flag"),
    (Middle::Dump, Cut::Questions, "enforced"),
    (Middle::Upload, Cut::Questions, "flag"),
];

const ON_MARIADB: &[Cell] = &[
    (Middle::Init, Cut::Whole, "flag"),
    (Middle::Setup, Cut::Whole, "flag"),
    (Middle::Dump, Cut::Whole, "flag"),
    (Middle::Upload, Cut::Whole, "flag"),
    (Middle::Setup, Cut::Whole, "enforced"),
    (Middle::Dump, Cut::Whole, "enforced"),
    (Middle::Setup, Cut::Answers, "enforced"),
    (Middle::Dump, Cut::Answers, "enforced"),
    (Middle::Setup, Cut::Questions, "flag"),
    (Middle::Dump, Cut::Questions, "enforced"),
];

#[test]
fn who_is_cut_off_is_replaced_and_does_no_harm_postgres() {
    let of_every_run = [
        (Middle::Init, Cut::Whole, "flag"),
        (Middle::Setup, Cut::Answers, "flag"),
        (Middle::Dump, Cut::Whole, "enforced"),
        (Middle::Upload, Cut::Whole, "flag"),
    ];
    each(&wanted(ON_POSTGRES, &of_every_run), &|work| {
        if let Some(place) = OnPostgres::new() {
            work(&place);
        }
    });
}

#[test]
fn who_is_cut_off_is_replaced_and_does_no_harm_mariadb() {
    let of_every_run = [
        (Middle::Setup, Cut::Whole, "flag"),
        (Middle::Dump, Cut::Whole, "enforced"),
    ];
    each(&wanted(ON_MARIADB, &of_every_run), &|work| {
        if let Some(maria) = Maria::new() {
            work(&OnMaria::new(&maria));
        }
    });
}

/// All of them, or one by its name, where that is asked for.
fn wanted(all: &[Cell], of_every_run: &[Cell]) -> Vec<Cell> {
    match std::env::var("METAFERRY_TEST_CUT_OFF").ok().as_deref() {
        None => of_every_run.to_vec(),
        Some("all") => all.to_vec(),
        Some(wanted) => {
            let named = all.iter().filter(|cell| name(**cell) == wanted);
            named.copied().collect()
        }
    }
}

/// As it is named where one is wanted: `Dump:Whole:enforced`.
fn name((middle, cut, strength): Cell) -> String {
    format!("{middle:?}:{cut:?}:{strength}")
}

/// Every cell in an app DB of its own, some at once.
fn each(cells: &[Cell], in_a_place: &Opens) {
    if !may_be() {
        return;
    }
    for cells in cells.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            for cell in cells {
                scope.spawn(move || in_a_place(&|place| cut_off(place, *cell)));
            }
        });
    }
}

/// One that serves, on its machine.
struct Node {
    machine: Machine,
    address: String,
    log: PathBuf,
    _process: Process,
}

impl Node {
    /// One that is to be caught in the middle of something takes its time there.
    fn start(place: &dyn Place, number: usize, strength: &str, caught: Option<Middle>) -> Self {
        static MACHINES_SO_FAR: AtomicU32 = AtomicU32::new(0);
        let machine = Machine::set_up(MACHINES_SO_FAR.fetch_add(1, Ordering::Relaxed));
        let folder = place.shore().folder();
        let log = folder.join(format!("serve-{number}.log"));
        let mut serve = metaferry(place);
        serve
            .args(["serve", "--yes", "--read-only", strength])
            .args(["--from", &machine.database(&place.url())])
            .env(
                "MB_STORE_API_URL",
                format!("http://{}", machine.store(place.shore().store_address())),
            )
            .env("METAFERRY_DATA_DIR", folder.join(format!("data-{number}")))
            .env("METAFERRY_PROPAGATION_SECONDS", "0");
        if let Some(middle) = caught {
            serve
                .env("METAFERRY_FAULT", middle.held_up())
                .env("METAFERRY_FAULT_SECONDS", HELD_UP_SECONDS.to_string());
        }
        let (process, address) = listen_at(&machine.listens_at(), &mut machine.runs(&serve), &log);
        Self {
            machine,
            address,
            log,
            _process: process,
        }
    }

    fn ask(&self, place: &dyn Place, method: &str) -> Option<Answer> {
        place.shore().ask_at(
            &self.address,
            method,
            "/api/cloud-migration",
            &[&place.superuser()],
        )
    }
}

impl Middle {
    /// What takes long, as the program is told.
    fn held_up(self) -> String {
        let effect = match self {
            Self::Init => Effect::CreateAtStore,
            Self::Setup => Effect::AwaitRunningJobs,
            Self::Dump => Effect::CopySnapshot,
            Self::Upload => Effect::UploadDump,
        };
        format!("{effect}:{}", FaultKind::Delay.as_str())
    }

    /// Where it is held up what comes next is made slow.
    fn slow_down(self, worker: &Node) {
        match self {
            Self::Init | Self::Setup => {}
            Self::Dump => worker.machine.to_database.slow_down_to(BYTES_PER_SECOND),
            Self::Upload => worker.machine.to_store.slow_down_to(BYTES_PER_SECOND),
        }
    }

    /// Whether what is held up has begun, and is slow.
    fn is_under_way(self, place: &dyn Place, worker: &Node, passed_bytes: usize) -> bool {
        match self {
            Self::Init | Self::Setup => true,
            Self::Dump => place.is_read(),
            Self::Upload => worker.machine.to_store.passed_bytes() > passed_bytes + UNDER_WAY_BYTES,
        }
    }

    /// What the newest row says then.
    fn state(self) -> &'static str {
        match self {
            // Its own is not there yet.
            Self::Init => "done",
            Self::Setup => "setup",
            Self::Dump => "dump",
            Self::Upload => "upload",
        }
    }
}

fn token(place: &dyn Place) -> u64 {
    let leases = place.own("lease");
    place
        .ask(&format!("SELECT token FROM {leases} WHERE id = 1"))
        .concat()
        .parse()
        .unwrap()
}

#[expect(clippy::print_stderr, reason = "how long it took is worth a line")]
fn cut_off(place: &dyn Place, cell: Cell) {
    let (name, (middle, cut, strength)) = (name(cell), cell);
    let before = place.as_it_is();
    let mut wrong = Vec::new();
    let nodes = [Some(middle), None, None];
    let nodes: Vec<Node> = (0..)
        .zip(nodes)
        .map(|(number, caught)| Node::start(place, number, strength, caught))
        .collect();
    let (worker, other) = (&nodes[0], &nodes[1]);
    let logs = || -> String {
        let logs = nodes
            .iter()
            .map(|node| std::fs::read_to_string(&node.log).unwrap());
        logs.collect::<Vec<_>>().join("\n--- the next\n")
    };
    let found_wrong = |wrong: &[String]| assert_eq!(wrong, [""; 0], "{name}: {}", logs());
    // Our tables are made by the first migration that there is.
    let first = other.ask(place, "POST").map(|answer| answer.status);
    assert_eq!(first, Some(200), "{}", logs());
    wait_for("the first one has arrived", &mut wrong, || place.is_settled());

    let rows = "SELECT concat(external_id, ' ', state) FROM cloud_migration ORDER BY id";
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| worker.ask(place, "POST"));
        wait_for("it is held up", &mut wrong, || {
            std::fs::read_to_string(&worker.log)
                .unwrap()
                .contains(&middle.held_up())
        });
        middle.slow_down(worker);
        let passed_bytes = worker.machine.to_store.passed_bytes();
        wait_for("it is in the middle", &mut wrong, || {
            middle.is_under_way(place, worker, passed_bytes)
        });
        found_wrong(&wrong);
        let held = token(place);
        let since = Instant::now();
        worker.machine.cut(cut);
        let state = place.ask("SELECT state FROM cloud_migration ORDER BY id DESC LIMIT 1");
        if state != [middle.state()] {
            wrong.push(format!("it was cut off in {state:?}"));
        }
        wait_for("another one has the lease", &mut wrong, || token(place) > held);
        let taken = since.elapsed();
        wait_for("all is undone", &mut wrong, || place.is_settled());
        let undone = since.elapsed();
        eprintln!(
            "{name}: another one had the lease after {:.1} s, all was undone after {:.1} s, of a lease of {LEASE_SECONDS} s",
            taken.as_secs_f64(),
            undone.as_secs_f64()
        );
        if taken > Duration::from_secs(LEASE_SECONDS) + TAKES_OVER_MAX {
            wrong.push(format!("the lease was taken after {taken:?}"));
        }
        if undone > Duration::from_secs(LEASE_SECONDS) + ALLOWANCE {
            wrong.push(format!("it took {undone:?}"));
        }
        let now = place.as_it_is();
        wrong.extend(now.iter().filter(|line| !before.contains(line)).cloned());
        wrong.extend(place.leftovers());
        let ended = place.ask(rows);
        // It is back, and may say all that it still has to say.
        worker.machine.mend(cut);
        for network in [&worker.machine.to_store, &worker.machine.to_database] {
            network.slow_down_to(0);
        }
        ended
    });
    wait_for("who was cut off begins another one", &mut wrong, || {
        worker
            .ask(place, "POST")
            .is_some_and(|answer| answer.status == 200)
    });
    wait_for("that one ends", &mut wrong, || place.is_settled());
    wait_for("no dump is left", &mut wrong, || place.shore().dumps().is_empty());
    let now = place.ask(rows);
    if now.len() != ended.len() + 1 || !now.starts_with(&ended) || !now.concat().ends_with("done") {
        wrong.push(format!("rows that were {ended:?} are {now:?}"));
    }
    for row in ended.iter().skip(1) {
        let (external_id, state) = row.split_once(' ').unwrap();
        let at_store = place.shore().state_at_store(external_id);
        if state != "error" || ["uploaded", "verifying", "verified"].contains(&&*at_store) {
            wrong.push(format!("{row}, and to the store it is {at_store}"));
        }
    }
    wrong.extend(broken(place, &before));
    found_wrong(&wrong);
}
