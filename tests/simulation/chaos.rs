//! What happens in one run: drawn from its seed.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_orchestrator::Orchestrator;
use metaferry_test_kit::fake::{Call, Fault, Happening, Strike, When, World};
use metaferry_test_kit::seed::Seed;
use tokio::task::JoinSet;

use crate::node::{LEASE_TERM, node};

/// Nothing takes longer than this by the world's clock, or it never ends.
const ENDS_WITHIN: Duration = Duration::from_secs(48 * 3_600);

/// How one run ended; or many, counted.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) history: Vec<Happening>,
    pub(crate) broken: Vec<String>,
    done: u64,
    error: u64,
    cancelled: u64,
    leases: u64,
}

impl Outcome {
    pub(crate) fn count(&mut self, other: &Self) {
        self.done += other.done;
        self.error += other.error;
        self.cancelled += other.cancelled;
        self.leases += other.leases;
    }

    /// A simulation in which hardly anything happens proves nothing.
    pub(crate) fn assert_varied(&self, runs: u64) {
        for (what, times) in [
            ("arrived", self.done),
            ("failed", self.error),
            ("cancelled", self.cancelled),
        ] {
            assert!(times * 5 > runs, "only {times} {what} in {runs} runs");
        }
        assert!(
            self.leases > runs * 2,
            "only {} leases in {runs} runs",
            self.leases
        );
    }
}

pub(crate) fn run(seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO is always built");
    runtime.block_on(async {
        let world = World::new(seed);
        let ended = tokio::time::timeout(ENDS_WITHIN, schedule(&world, seed)).await;
        let durable = world.durable();
        let mut broken = world.broken_promises();
        if ended.is_err() {
            broken.push("it did not end within two days".into());
        }
        let rows = |phase| durable.rows.iter().filter(|row| row.phase == phase).count() as u64;
        Outcome {
            done: rows(Phase::Done),
            error: rows(Phase::Error),
            cancelled: rows(Phase::Cancelled),
            leases: durable.lease.map_or(0, |record| record.token.0),
            history: durable.history,
            broken,
        }
    })
}

async fn schedule(world: &World, seed: u64) {
    let mut seed = Seed::new(seed);
    let nodes = 1 + seed.below(3);
    let mut faults = Faults::of(&mut seed);
    world.strike(move |strike| faults.draw(strike));
    let mut slots = JoinSet::new();
    for _ in 0..nodes {
        slots.spawn(slot(world.clone(), Seed::new(seed.draw())));
    }
    // Somebody with SQL.
    let (when, what) = (Duration::from_millis(seed.below(10_000)), seed.below(12));
    let outside = world.clone();
    slots.spawn(async move {
        outside.pass(when).await;
        match what {
            0..4 => outside.cancel_outside(),
            4 => outside.delete_rows(),
            _ => {}
        }
    });
    // Then all goes well again, and whatever runs comes to its end.
    world.pass(Duration::from_secs(seed.below(200))).await;
    world.calm();
    slots.join_all().await;
    // A program whose owner forgot it may go on for an hour, with what it could not undo.
    for _ in 0..240 {
        world.pass(LEASE_TERM).await;
        let (_, orchestrator) = node(world);
        orchestrator.recover().await.expect("nothing goes wrong any more");
        let orphans = orchestrator.orphans().await.expect("nothing goes wrong any more");
        if orphans.is_empty() {
            break;
        }
    }
    world.pass(LEASE_TERM).await;
}

/// One place where a program runs, ends in one way or another, and runs again.
async fn slot(world: World, mut seed: Seed) {
    for _ in 0..1 + seed.below(3) {
        world.pass(Duration::from_millis(seed.below(5_000))).await;
        let (process, orchestrator) = node(&world);
        let lasts = Duration::from_millis(seed.below(20_000));
        let choice = seed.below(9);
        let program = program(&world, &orchestrator, choice, lasts);
        tokio::select! {
            biased;
            () = process.crashed() => {}
            () = program => {}
        }
        if seed.below(2) == 0 {
            // Killed, in whatever it still does.
            process.crash();
        }
        world.pass(Duration::from_millis(seed.below(60_000))).await;
    }
}

async fn program(world: &World, orchestrator: &Orchestrator, choice: u64, lasts: Duration) {
    match choice {
        // Errors are what is drawn for them: only what is left of the world counts.
        0 | 1 => {
            let _ = orchestrator.recover().await;
        }
        2 => {
            let _ = orchestrator.start().await;
            world.pass(lasts).await;
            let _ = orchestrator.cancel(Canceller::Interrupt).await;
            orchestrator.ended().await;
        }
        3 => {
            let _ = orchestrator.start().await;
            world.pass(lasts).await;
        }
        4 => {
            let _ = tokio::join!(orchestrator.start(), orchestrator.start(), orchestrator.recover());
            orchestrator.ended().await;
        }
        5 => {
            let _ = orchestrator.recover().await;
            let _ = orchestrator.retry().await;
            orchestrator.ended().await;
        }
        _ => {
            let _ = orchestrator.recover().await;
            let _ = orchestrator.start().await;
            orchestrator.ended().await;
        }
    }
}

/// Which faults strike, and how often.
struct Faults {
    seed: Seed,
    /// Of a thousand calls so many are struck.
    per_mille: u64,
    /// Every so manieth call takes longer.
    slow_each: u64,
    /// A call that never works, of these.
    broken: Option<Call>,
}

const MAY_BE_BROKEN: [Call; 12] = [
    Call::Append,
    Call::Renew,
    Call::Engage,
    Call::Quiesce,
    Call::RestoreReadOnly,
    Call::RestoreScheduler,
    Call::DiscardDump,
    Call::AbortUpload,
    Call::PutPart,
    Call::VerifyObject,
    Call::Update(Phase::Done),
    Call::Update(Phase::Error),
];

impl Faults {
    fn of(seed: &mut Seed) -> Self {
        Self {
            per_mille: seed.one_of(&[0, 3, 10, 30, 100]).unwrap_or(0),
            slow_each: seed.one_of(&[3, 10, 100]).unwrap_or(100),
            broken: (seed.below(4) == 0)
                .then(|| seed.one_of(&MAY_BE_BROKEN))
                .flatten(),
            seed: Seed::new(seed.draw()),
        }
    }

    fn draw(&mut self, strike: Strike) -> Fault {
        if self.broken == Some(strike.call) {
            return self.failure();
        }
        if self.seed.below(1_000) < self.per_mille {
            return match self.seed.below(10) {
                0 => Fault::Crash(When::Before),
                1 => Fault::Crash(When::After),
                2 => Fault::CancelOutside,
                3 => Fault::EndLease,
                4 | 5 => Fault::LoseAnswer,
                6 if may_panic(strike.call) => Fault::Panic,
                6 => Fault::SlowAnswer(Duration::from_millis(self.seed.below(2_000))),
                7 => Fault::Slow(Duration::from_millis(self.seed.below(60_000))),
                _ => self.failure(),
            };
        }
        if self.seed.below(self.slow_each) == 0 {
            return Fault::Slow(Duration::from_millis(self.seed.below(700)));
        }
        Fault::Nothing
    }

    fn failure(&mut self) -> Fault {
        Fault::Fail(
            self.seed
                .one_of(&ErrorKind::ALL)
                .unwrap_or(ErrorKind::Unavailable),
        )
    }
}

/// A bug in a call that the test itself waits for would end the test.
fn may_panic(call: Call) -> bool {
    matches!(
        call,
        Call::Renew
            | Call::Update(_)
            | Call::Engage
            | Call::Quiesce
            | Call::RestoreReadOnly
            | Call::RestoreScheduler
            | Call::StoreUndoScript
            | Call::RunningJobs
            | Call::CopySnapshot
            | Call::CopyRows
            | Call::FinishDump
            | Call::DiscardDump
            | Call::CreateUpload
            | Call::PutPart
            | Call::CompleteUpload
            | Call::VerifyObject
            | Call::AbortUpload
            | Call::TellStore
            | Call::Notify
    )
}
