//! What happens in one run: drawn from its seed.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_orchestrator::Orchestrator;
use metaferry_test_kit::fake::{Call, CallFaultKind, DumpOnDisk, Happening, Process, Sloppy, World};
use metaferry_test_kit::seed::Seed;
use tokio::task::JoinSet;

use crate::aim::{Aim, Besides, Scene};
use crate::faults::Faults;
use crate::node::{LEASE_TERM, node, node_that_sends};

/// Nothing takes longer than this by the world's clock, or it never ends.
const ENDS_WITHIN: Duration = Duration::from_secs(48 * 3_600);

/// When somebody stops a migration in a scene: it waits until read-only holds.
const INTO_IT: Duration = Duration::from_millis(1_500);

/// How one run ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) history: Vec<Happening>,
    pub(crate) broken: Vec<String>,
    pub(crate) struck: Vec<(Call, CallFaultKind)>,
    pub(crate) done: u64,
    pub(crate) error: u64,
    pub(crate) cancelled: u64,
    pub(crate) leases: u64,
}

/// The run of that seed, made for a pair or for none.
pub(crate) fn run(seed: u64, aim: Option<Aim>, sloppy: Sloppy) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without IO is always built");
    runtime.block_on(async {
        let world = World::new(seed);
        world.is_sloppy(sloppy);
        let ended = tokio::time::timeout(ENDS_WITHIN, schedule(&world, seed, aim)).await;
        let mut broken = world.broken_promises();
        if ended.is_err() {
            broken.push("it did not end within two days".into());
        }
        let struck = world.struck();
        let durable = world.durable();
        let rows = |phase| durable.rows.iter().filter(|row| row.phase == phase).count() as u64;
        Outcome {
            done: rows(Phase::Done),
            error: rows(Phase::Error),
            cancelled: rows(Phase::Cancelled),
            leases: durable.lease.map_or(0, |record| record.token.0),
            history: durable.history,
            struck,
            broken,
        }
    })
}

async fn schedule(world: &World, seed: u64, aim: Option<Aim>) {
    let mut seed = Seed::new(seed);
    let mut faults = Faults::of(&mut seed, aim);
    world.strike(move |strike| faults.draw(strike));
    let mut slots = JoinSet::new();
    if let Some(aim) = aim {
        slots.spawn(scene(world.clone(), aim.scene()));
    }
    if aim.is_none_or(|aim| aim.besides == Besides::Anything) {
        for _ in 0..1 + seed.below(3) {
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
    }
    slots.join_all().await;
    world.calm();
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

/// One program in which a certain call is made.
async fn scene(world: World, scene: Scene) {
    let theirs = PathBuf::from("/data/theirs.mv.db");
    let file = (scene == Scene::SendsAFile).then(|| theirs.clone());
    if file.is_some() {
        world.change(|durable| {
            durable.files.insert(theirs.clone(), DumpOnDisk::FINISHED);
        });
    }
    let (process, orchestrator) = node_that_sends(&world, file);
    let at = world.clone();
    let program = async move {
        let _ = orchestrator.start().await;
        match scene {
            Scene::Straight | Scene::Fails | Scene::SendsAFile => {}
            Scene::TriedAgain => {
                orchestrator.ended().await;
                let _ = orchestrator.retry().await;
            }
            Scene::Interrupted => {
                at.pass(INTO_IT).await;
                orchestrator.interrupt(Canceller::Interrupt).await;
            }
            Scene::Cancelled => {
                at.pass(INTO_IT).await;
                let _ = orchestrator.cancel(Canceller::Interrupt).await;
            }
            Scene::Refused => {
                at.pass(INTO_IT).await;
                let (process, second) = node(&at);
                let begins = async move {
                    let _ = second.start().await;
                };
                lives(&process, begins).await;
            }
        }
        orchestrator.ended().await;
    };
    lives(&process, program).await;
    world.change(|durable| {
        if scene == Scene::SendsAFile && durable.files.remove(&theirs) != Some(DumpOnDisk::FINISHED) {
            durable.violations.push("somebody's own file was touched".into());
        }
    });
}

/// Runs a program until it ends, its process does, or it has met a bug: then its process ends too.
async fn lives(process: &Arc<Process>, program: impl Future<Output = ()> + Send + 'static) {
    let mut program = tokio::spawn(program);
    tokio::select! {
        biased;
        () = process.crashed() => program.abort(),
        ended = &mut program => if ended.is_err() {
            process.crash();
        },
    }
}

/// One place where a program runs, ends in one way or another, and runs again.
async fn slot(world: World, mut seed: Seed) {
    for _ in 0..1 + seed.below(3) {
        world.pass(Duration::from_millis(seed.below(5_000))).await;
        let (process, orchestrator) = node(&world);
        let lasts = Duration::from_millis(seed.below(20_000));
        let choice = seed.below(9);
        lives(&process, program(world.clone(), orchestrator, choice, lasts)).await;
        if seed.below(2) == 0 {
            // Killed, in whatever it still does.
            process.crash();
        }
        world.pass(Duration::from_millis(seed.below(60_000))).await;
    }
}

async fn program(world: World, orchestrator: Orchestrator, choice: u64, lasts: Duration) {
    match choice {
        // Errors are what is drawn for them: only what is left of the world counts.
        0 => {
            let _ = orchestrator.recover().await;
        }
        1 => {
            let _ = orchestrator.recover().await;
            let _ = orchestrator.retry().await;
            orchestrator.ended().await;
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
            let _ = tokio::join!(orchestrator.retry(), orchestrator.start());
            world.pass(lasts).await;
            orchestrator.interrupt(Canceller::Interrupt).await;
            orchestrator.ended().await;
        }
        _ => {
            let _ = orchestrator.recover().await;
            let _ = orchestrator.start().await;
            orchestrator.ended().await;
        }
    }
}
