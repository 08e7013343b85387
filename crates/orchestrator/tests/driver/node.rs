//! A node: an orchestrator within a process of the world.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::migration::Phase;
use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::ports::Plaintext;
use metaferry_domain::state::MigrationState;
use metaferry_orchestrator::{Ended, NotBegun, Orchestrator, OtherShore, Ports, Settings, Warnings};
use metaferry_test_kit::fake::{Change, Process, World};

pub(crate) const LEASE_TERM: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) process: Arc<Process>,
    pub(crate) orchestrator: Orchestrator,
}

/// How one run of a program ended.
#[derive(Debug)]
pub(crate) enum Run {
    Ended(Ended),
    NotBegun(NotBegun),
    Crashed,
}

pub(crate) fn settings() -> Settings {
    Settings {
        plan: MigrationPlan::default(),
        node: "node".into(),
        lease_term: LEASE_TERM,
        watch_every: Duration::from_millis(500),
        jobs_wait_max: Duration::from_secs(60),
        propagation: Some(Duration::from_secs(3)),
        nodes: None,
        dump_folder: PathBuf::from("/dumps"),
        dump_file: None,
        plaintext: Plaintext::Keep,
        warnings: Warnings::Refuse,
    }
}

impl Node {
    pub(crate) fn new(world: &World) -> Self {
        Self::with(world, settings())
    }

    pub(crate) fn with(world: &World, settings: Settings) -> Self {
        let process = world.process();
        let ports = Ports {
            rows: process.clone(),
            journal: process.clone(),
            lease: process.clone(),
            read_only: process.clone(),
            switch: process.clone(),
            scheduler: process.clone(),
            preflight: process.clone(),
            undo_script: process.clone(),
            dumper: process.clone(),
            uploader: process.clone(),
            shore: OtherShore::Store {
                client: process.clone(),
                version: "v1.57.6".into(),
            },
            notifier: process.clone(),
            clock: process.clone(),
            ids: process.clone(),
        };
        Self {
            process,
            orchestrator: Orchestrator::new(ports, settings),
        }
    }

    /// Begins a migration and waits for its end.
    pub(crate) async fn migrate(&self) -> Run {
        let run = async {
            match self.orchestrator.start().await {
                Ok(_) => Run::Ended(self.orchestrator.ended().await.expect("it was begun")),
                Err(not_begun) => Run::NotBegun(not_begun),
            }
        };
        tokio::select! {
            biased;
            () = self.process.crashed() => Run::Crashed,
            run = run => run,
        }
    }
}

impl Run {
    /// The state it settled in.
    #[track_caller]
    pub(crate) fn settled(&self) -> &MigrationState {
        match self {
            Self::Ended(Ended::Settled(state)) => state,
            Self::NotBegun(NotBegun {
                state: Some(state), ..
            }) => state,
            other => panic!("not settled: {other:?}"),
        }
    }
}

/// A new process recovers everything that is left, once the lease has run out.
#[track_caller]
pub(crate) fn recover(world: &World) -> impl Future<Output = Vec<Ended>> {
    let caller = std::panic::Location::caller();
    let world = world.clone();
    async move {
        world.calm();
        world.pass(LEASE_TERM).await;
        let node = Node::new(&world);
        let ended = node.orchestrator.recover().await.expect("the app DB answers");
        assert!(
            ended.iter().all(|ended| matches!(ended, Ended::Settled(_))),
            "{caller}: {ended:?}"
        );
        ended
    }
}

#[track_caller]
pub(crate) fn assert_kept(world: &World, what: impl std::fmt::Display) {
    let broken = world.broken_promises();
    let durable = world.durable();
    assert!(
        broken.is_empty(),
        "{what}: {broken:#?}\nrows {:?}\n{:#?}",
        durable.rows,
        durable.history
    );
}

/// What the newest row says.
pub(crate) fn row_says(world: &World) -> Option<Phase> {
    world.durable().rows.last().map(|row| row.phase)
}

/// When the newest change of that sort happened.
pub(crate) fn when(world: &World, wanted: impl Fn(&Change) -> bool) -> Option<u64> {
    world.durable().last(wanted)
}

pub(crate) fn is_read_only_off(change: &Change) -> bool {
    *change == Change::ReadOnly(Some("false".into()))
}

pub(crate) fn is_resumed(change: &Change) -> bool {
    *change == Change::Paused(1)
}
