//! Three programs serve one app DB, each on a machine of its own, and the one that works is cut off from the database in
//! the middle of a phase, while it still reaches the store. Another one undoes what it began once the lease has run out (how
//! soon is printed, and bounded for a machine that has other work); what was cut off stops by itself, and when it is back it does no harm, and works again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use metaferry_domain::effect::Effect;

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
/// App DBs at once on one server.
const AT_ONCE: usize = 4;
/// So slow that a phase lasts longer than all else.
const BYTES_PER_SECOND: usize = 2048;
/// The middle of each phase, and how it is held there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Middle {
    /// The store is to be asked, and says nothing.
    Init,
    /// It waits until read-only holds everywhere.
    Setup,
    /// Rows come slowly.
    Dump,
    /// Bytes go slowly.
    Upload,
}

/// All of it by `cargo xtask chaos --cut-off`.
fn all() -> bool {
    std::env::var_os("METAFERRY_TEST_CUT_OFF").is_some()
}

#[test]
fn who_is_cut_off_is_replaced_and_does_no_harm_postgres() {
    let cells: &[_] = if all() {
        &[
            (Middle::Init, Cut::Whole),
            (Middle::Setup, Cut::Whole),
            (Middle::Dump, Cut::Whole),
            (Middle::Upload, Cut::Whole),
            (Middle::Init, Cut::Answers),
            (Middle::Setup, Cut::Answers),
            (Middle::Dump, Cut::Answers),
            (Middle::Upload, Cut::Answers),
            (Middle::Setup, Cut::Questions),
            (Middle::Dump, Cut::Questions),
            (Middle::Upload, Cut::Questions),
        ]
    } else {
        &[
            (Middle::Init, Cut::Whole),
            (Middle::Setup, Cut::Answers),
            (Middle::Dump, Cut::Whole),
            (Middle::Upload, Cut::Whole),
        ]
    };
    each(cells, &|work| {
        if let Some(place) = OnPostgres::new() {
            work(&place);
        }
    });
}

#[test]
fn who_is_cut_off_is_replaced_and_does_no_harm_mariadb() {
    let cells: &[_] = if all() {
        &[
            (Middle::Init, Cut::Whole),
            (Middle::Setup, Cut::Whole),
            (Middle::Dump, Cut::Whole),
            (Middle::Upload, Cut::Whole),
            (Middle::Setup, Cut::Answers),
            (Middle::Dump, Cut::Questions),
        ]
    } else {
        &[(Middle::Setup, Cut::Whole), (Middle::Upload, Cut::Questions)]
    };
    each(cells, &|work| {
        if let Some(maria) = Maria::new() {
            work(&OnMaria::new(&maria));
        }
    });
}

/// Every cell in an app DB of its own, some at once.
fn each(cells: &[(Middle, Cut)], in_a_place: &Opens) {
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
    fn start(place: &dyn Place, number: usize, caught: Option<Middle>) -> Self {
        static MACHINES_SO_FAR: AtomicU32 = AtomicU32::new(0);
        let machine = Machine::set_up(MACHINES_SO_FAR.fetch_add(1, Ordering::Relaxed));
        let folder = place.shore().folder();
        let log = folder.join(format!("serve-{number}.log"));
        let mut serve = metaferry(place);
        serve
            .args(["serve", "--yes", "--from", &machine.database(&place.url())])
            .env(
                "MB_STORE_API_URL",
                format!("http://{}", machine.store(place.shore().store_address())),
            )
            .env("METAFERRY_DATA_DIR", folder.join(format!("data-{number}")))
            .env(
                "METAFERRY_PROPAGATION_SECONDS",
                caught.map_or(0, Middle::propagation_seconds).to_string(),
            );
        if caught == Some(Middle::Init) {
            serve.env("METAFERRY_FAULT", format!("{}:delay", Effect::CreateAtStore));
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
    /// How long the one that is cut off waits for read-only to hold: the time in which it can be caught.
    fn propagation_seconds(self) -> u32 {
        match self {
            Self::Init | Self::Upload => 0,
            Self::Setup => 10,
            Self::Dump => 4,
        }
    }

    /// Whether it is there, and will be for long.
    fn is_now(self, place: &dyn Place, worker: &Node) -> bool {
        let state = place
            .ask("SELECT state FROM cloud_migration ORDER BY id DESC LIMIT 1")
            .concat();
        match self {
            Self::Init => {
                let begun = !place.lease_is_free();
                if begun {
                    worker.machine.to_store.go_silent();
                }
                begun
            }
            Self::Setup => state == "setup",
            Self::Dump => {
                if state == "setup" {
                    worker.machine.to_database.slow_down_to(BYTES_PER_SECOND);
                }
                state == "dump"
            }
            Self::Upload => state == "upload",
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
fn cut_off(place: &dyn Place, (middle, cut): (Middle, Cut)) {
    let before = place.as_it_is();
    let mut wrong = Vec::new();
    let nodes = [Some(middle), None, None];
    let nodes: Vec<Node> = (0..)
        .zip(nodes)
        .map(|(number, caught)| Node::start(place, number, caught))
        .collect();
    let (worker, other) = (&nodes[0], &nodes[1]);
    let logs = || -> String {
        let logs = nodes
            .iter()
            .map(|node| std::fs::read_to_string(&node.log).unwrap());
        logs.collect::<Vec<_>>().join("\n--- the next\n")
    };
    // Our tables are made by the first migration that there is.
    let first = other.ask(place, "POST").map(|answer| answer.status);
    assert_eq!(first, Some(200), "{}", logs());
    wait_for("the first one has arrived", &mut wrong, || place.is_settled());

    match middle {
        Middle::Upload => worker.machine.to_store.slow_down_to(BYTES_PER_SECOND),
        Middle::Init | Middle::Setup | Middle::Dump => {}
    }
    let rows = "SELECT concat(external_id, ' ', state) FROM cloud_migration ORDER BY id";
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| worker.ask(place, "POST"));
        wait_for("it is in the middle", &mut wrong, || middle.is_now(place, worker));
        let held = token(place);
        let since = Instant::now();
        worker.machine.cut(cut);
        wait_for("another one has the lease", &mut wrong, || token(place) > held);
        let taken = since.elapsed();
        wait_for("all is undone", &mut wrong, || place.is_settled());
        let undone = since.elapsed();
        eprintln!(
            "{middle:?}, {cut:?}: another one had the lease after {:.1} s, all was undone after {:.1} s, of a lease of \
             {LEASE_SECONDS} s",
            taken.as_secs_f64(),
            undone.as_secs_f64()
        );
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
            network.speak_again();
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
    for row in &ended[1..] {
        let (external_id, state) = row.split_once(' ').unwrap();
        let at_store = place.shore().state_at_store(external_id);
        if state != "error" || ["uploaded", "verifying", "verified"].contains(&&*at_store) {
            wrong.push(format!("{row}, and to the store it is {at_store}"));
        }
    }
    wrong.extend(broken(place, &before));
    assert_eq!(wrong, [""; 0], "{middle:?}, {cut:?}: {}", logs());
}
