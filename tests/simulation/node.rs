//! One run of a program: an orchestrator over the ports of a process.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::ports::Plaintext;
use metaferry_orchestrator::{Orchestrator, OtherShore, Ports, Settings, Warnings};
use metaferry_test_kit::fake::{Process, World};

pub(crate) const LEASE_TERM: Duration = Duration::from_secs(30);

pub(crate) fn node(world: &World) -> (Arc<Process>, Orchestrator) {
    node_that_sends(world, None)
}

/// The same; it sends that file, if there is one, instead of a dump of its own.
pub(crate) fn node_that_sends(world: &World, dump_file: Option<PathBuf>) -> (Arc<Process>, Orchestrator) {
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
    let settings = Settings {
        plan: MigrationPlan::default(),
        node: "node".into(),
        lease_term: LEASE_TERM,
        watch_every: Duration::from_millis(500),
        jobs_wait_max: Duration::from_secs(60),
        propagation: Some(Duration::from_secs(3)),
        nodes: None,
        dump_folder: "/dumps".into(),
        dump_file,
        plaintext: Plaintext::Keep,
        warnings: Warnings::Refuse,
    };
    (process, Orchestrator::new(ports, settings))
}
