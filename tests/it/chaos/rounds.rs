//! Two programs serve one app DB, and either is ended by SIGKILL, or stopped for longer than its lease, at a moment that is
//! drawn. After each round what is left is judged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metaferry_test_kit::seed::Seed;

use super::judge::broken;
use super::place::{OnMaria, OnPostgres, Place};
use super::{Opens, in_places, metaferry, wait_for};
use crate::api::shore::Answer;
use crate::app_db::{Process, listen, signal};
use crate::mariadb::Maria;

/// In the tests that always run; `cargo xtask chaos` sets the variable to the whole number.
const ROUNDS: u64 = 4;
/// App DBs at once on one server.
const AT_ONCE: usize = 4;

/// A number that a variable holds.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn one_of_two_that_serve_is_killed_at_any_moment_and_all_is_made_good_postgres() {
    all_hold(&|work| {
        if let Some(place) = OnPostgres::new() {
            work(&place);
        }
    });
}

#[test]
fn one_of_two_that_serve_is_killed_at_any_moment_and_all_is_made_good_mariadb() {
    all_hold(&|work| {
        if let Some(maria) = Maria::new() {
            work(&OnMaria::new(&maria));
        }
    });
}

#[expect(clippy::print_stderr, reason = "how much was proved is worth a line")]
fn all_hold(in_a_place: &Opens) {
    let wanted = number("METAFERRY_TEST_CHAOS_ROUNDS");
    let rounds = wanted.unwrap_or(ROUNDS);
    let seed = number("METAFERRY_TEST_CHAOS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        wanted.map_or(1, |_| now.as_secs())
    });
    eprintln!("METAFERRY_TEST_CHAOS_SEED={seed}");
    let next = AtomicU64::new(0);
    let seen: Mutex<BTreeMap<String, u32>> = Mutex::default();
    let failed = Mutex::new(Vec::new());
    let began = Instant::now();
    in_places(
        AT_ONCE.min(usize::try_from(rounds).unwrap()),
        in_a_place,
        &|place| {
            let before = place.as_it_is();
            let mut pair: Option<Pair<'_>> = None;
            loop {
                let round = next.fetch_add(1, Ordering::Relaxed);
                if round >= rounds || !failed.lock().unwrap().is_empty() {
                    return;
                }
                let mut seed = Seed::new(seed.wrapping_mul(1_000_003).wrapping_add(round));
                let pair = pair.get_or_insert_with(|| Pair::start(place));
                let started = Instant::now();
                let (what, mut wrong) = pair.round(&mut seed);
                wrong.extend(broken(place, &before));
                eprintln!("round {round}: {what} {:.1} s", started.elapsed().as_secs_f64());
                if !wrong.is_empty() {
                    let logs = pair.logs();
                    failed.lock().unwrap().push(format!(
                        "round {round}: {what}:\n  {}\n{logs}",
                        wrong.join("\n  ")
                    ));
                }
                *seen.lock().unwrap().entry(what).or_default() += 1;
            }
        },
    );
    let failed = failed.into_inner().unwrap();
    let seen = seen.into_inner().unwrap();
    for (what, times) in &seen {
        eprintln!("{times:4} × {what}");
    }
    eprintln!(
        "{} rounds, {} broken, {:.0} s",
        seen.values().sum::<u32>(),
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Two programs that serve.
struct Pair<'a> {
    place: &'a dyn Place,
    nodes: [Node; 2],
    /// How long a migration takes that nobody disturbs.
    takes: Duration,
}

struct Node {
    process: Process,
    address: String,
    log: PathBuf,
}

impl<'a> Pair<'a> {
    fn start(place: &'a dyn Place) -> Self {
        let mut pair = Self {
            place,
            nodes: [0, 1].map(|number| serve(place, number)),
            takes: Duration::ZERO,
        };
        // The first one also makes our tables.
        for _ in 0..2 {
            let began = Instant::now();
            assert_eq!(pair.begin(0).unwrap().status, 200, "{}", pair.logs());
            let mut wrong = Vec::new();
            wait_for("it arrives", &mut wrong, || {
                place.ask("SELECT state FROM cloud_migration ORDER BY id DESC LIMIT 1") == ["done"]
            });
            pair.takes = began.elapsed();
            pair.settles(&mut wrong);
            assert_eq!(wrong, [""; 0], "{}", pair.logs());
        }
        pair
    }

    fn logs(&self) -> String {
        let logs = self
            .nodes
            .each_ref()
            .map(|node| std::fs::read_to_string(&node.log).unwrap());
        logs.join("\n--- the other\n")
    }

    fn begin(&self, node: usize) -> Option<Answer> {
        let superuser = self.place.superuser();
        let address = &self.nodes[node].address;
        self.place
            .shore()
            .ask_at(address, "POST", "/api/cloud-migration", &[&superuser])
    }

    fn cancel(&self, node: usize) -> Option<Answer> {
        let superuser = self.place.superuser();
        let address = &self.nodes[node].address;
        self.place
            .shore()
            .ask_at(address, "PUT", "/api/cloud-migration/cancel", &[&superuser])
    }

    fn settles(&self, wrong: &mut Vec<String>) {
        wait_for("all is settled and the lease is free", wrong, || {
            self.place.is_settled()
        });
    }

    /// One migration that is disturbed; answers how, and what is wrong by the way.
    fn round(&mut self, seed: &mut Seed) -> (String, Vec<String>) {
        let takes = u64::try_from(self.takes.as_millis()).unwrap();
        let draw = Draw::of(seed, takes);
        let mut wrong = Vec::new();
        let (in_phase, began) = std::thread::scope(|scope| {
            let (pair, draw) = (&*self, &draw);
            let mut starts = vec![scope.spawn(|| pair.begin(draw.starter))];
            if draw.both_start {
                starts.push(scope.spawn(|| pair.begin(1 - draw.starter)));
            }
            if draw.cancelled {
                scope.spawn(|| {
                    pause(draw.after / 2);
                    pair.cancel(1 - draw.starter)
                });
            }
            pause(draw.after);
            for (node, name) in draw.strikes() {
                signal(name, pair.nodes[node].process.0.id());
            }
            let newest = "SELECT state FROM cloud_migration ORDER BY id DESC LIMIT 1";
            let in_phase = pair.place.ask(newest).concat();
            if draw.blow == Blow::Stop {
                // The other one takes over meanwhile, if there is something.
                pair.settles(&mut wrong);
                signal("CONT", pair.nodes[draw.victim].process.0.id());
            }
            let answers = starts.into_iter().filter_map(|start| start.join().unwrap());
            (in_phase, answers.filter(|answer| answer.status == 200).count())
        });
        if began > 1 {
            wrong.push("two migrations began".to_owned());
        }
        if draw.blow == Blow::Stop {
            self.settles(&mut wrong);
            // Nothing goes on in it once it begins another one.
            self.place
                .shore()
                .wait_for("who was stopped begins another one", || {
                    self.begin(draw.victim).is_some_and(|answer| answer.status == 200)
                });
        } else {
            let dead: Vec<usize> = draw.strikes().into_iter().map(|(node, _)| node).collect();
            if draw.restart == Restart::OnceSettled && dead.len() == 1 {
                self.settles(&mut wrong);
            }
            for node in dead {
                self.nodes[node] = serve(self.place, node);
            }
        }
        self.settles(&mut wrong);
        // Of a dump that the other one could not reach, its own program takes care once it runs again.
        wait_for("no dump is left", &mut wrong, || {
            self.place.shore().dumps().is_empty()
        });
        let cancelled = if draw.cancelled { ", cancelled too" } else { "" };
        (format!("{:?} in {in_phase:?}{cancelled}", draw.blow), wrong)
    }
}

/// What a round is to be like.
struct Draw {
    starter: usize,
    both_start: bool,
    /// By the other one, half way to the blow.
    cancelled: bool,
    blow: Blow,
    victim: usize,
    after: Duration,
    restart: Restart,
}

/// What happens to one of the two, or to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    KillBoth,
    /// Until the other one has settled everything.
    Stop,
}

/// When who was killed begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    AtOnce,
    OnceSettled,
}

impl Draw {
    /// A migration that nobody disturbs takes so many milliseconds.
    fn of(seed: &mut Seed, takes: u64) -> Self {
        let blows = [Blow::Kill, Blow::Kill, Blow::Kill, Blow::KillBoth, Blow::Stop];
        let starter = usize::from(seed.below(2) == 1);
        Self {
            starter,
            both_start: seed.below(4) == 0,
            cancelled: seed.below(5) == 0,
            blow: seed.one_of(&blows).unwrap(),
            victim: if seed.below(4) == 0 { 1 - starter } else { starter },
            after: Duration::from_millis(seed.below(takes + 1)),
            restart: seed.one_of(&[Restart::AtOnce, Restart::OnceSettled]).unwrap(),
        }
    }

    /// Who is sent which signal.
    fn strikes(&self) -> Vec<(usize, &'static str)> {
        match self.blow {
            Blow::Kill => vec![(self.victim, "KILL")],
            Blow::KillBoth => vec![(0, "KILL"), (1, "KILL")],
            Blow::Stop => vec![(self.victim, "STOP")],
        }
    }
}

/// A moment is drawn, not a fact waited for.
fn pause(how_long: Duration) {
    let began = Instant::now();
    while began.elapsed() < how_long {
        std::thread::park_timeout(how_long.saturating_sub(began.elapsed()));
    }
}

/// Each as on a machine of its own: neither sees the other one's files.
fn serve(place: &dyn Place, number: usize) -> Node {
    let shore = place.shore().folder();
    let log = shore.join(format!("serve-{number}.log"));
    let mut serve = metaferry(place);
    serve
        .args(["serve", "--yes", "--from", &place.url()])
        .env("METAFERRY_DATA_DIR", shore.join(format!("data-{number}")))
        // As long as the rest takes, so that it is struck as often in setup.
        .env("METAFERRY_PROPAGATION_SECONDS", "1");
    let (process, address) = listen(&mut serve, &log);
    Node {
        process,
        address,
        log,
    }
}
