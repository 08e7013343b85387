//! All goes well.

use std::path::PathBuf;

use metaferry_domain::migration::Phase;
use metaferry_domain::plan::DumpRetention;
use metaferry_domain::ports::{Finding, Severity};
use metaferry_test_kit::fake::{Call, Change, DumpOnDisk, Fault, World};

use crate::node::{Node, Run, assert_kept, row_says, settings, when};

fn rows_written(world: &World) -> Vec<(Phase, u8)> {
    let history = world.durable().history;
    let rows = history
        .into_iter()
        .filter_map(|happening| match happening.change {
            Change::Row { phase, progress, .. } => Some((phase, progress)),
            _ => None,
        });
    rows.collect()
}

#[tokio::test(start_paused = true)]
async fn a_migration_arrives_and_leaves_everything_as_it_was() {
    let world = World::new(1);
    let run = Node::new(&world).migrate().await;
    assert_eq!(run.settled().phase(), Phase::Done);
    assert_kept(&world, "all went well");
    assert_eq!(
        rows_written(&world),
        [
            (Phase::Init, 0),
            (Phase::Setup, 1),
            (Phase::Dump, 20),
            (Phase::Dump, 26),
            (Phase::Dump, 32),
            (Phase::Dump, 38),
            (Phase::Dump, 43),
            (Phase::Dump, 44),
            (Phase::Dump, 50),
            (Phase::Upload, 51),
            (Phase::Upload, 63),
            (Phase::Upload, 75),
            (Phase::Upload, 87),
            (Phase::Upload, 99),
            (Phase::Done, 100),
        ]
    );
    let told: Vec<_> = world
        .durable()
        .notices
        .iter()
        .map(|notice| notice.phase)
        .collect();
    assert_eq!(told, [Phase::Done]);
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_is_to_be_kept_is_kept() {
    let world = World::new(1);
    let mut keeps = settings();
    keeps.plan.retention = DumpRetention::Keep;
    assert_eq!(
        Node::with(&world, keeps).migrate().await.settled().phase(),
        Phase::Done
    );
    assert!(world.durable().files.values().eq([&DumpOnDisk::FINISHED]));
    world.change(|durable| durable.files.clear());
    assert_kept(&world, "but for the dump");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_dump_is_sent_and_never_deleted() {
    for fault in [
        Fault::Nothing,
        Fault::CancelOutside,
        Fault::Fail(metaferry_domain::ErrorKind::Denied),
    ] {
        let world = World::new(1);
        let theirs = PathBuf::from("/data/somebody/dump.mv.db");
        world.change(|durable| {
            durable.files.insert(theirs.clone(), DumpOnDisk::FINISHED);
        });
        world.strike(move |strike| match strike.call {
            Call::PutPart => fault,
            _ => Fault::Nothing,
        });
        let mut sends = settings();
        sends.dump_file = Some(theirs.clone());
        let run = Node::with(&world, sends).migrate().await;
        let expected = match fault {
            Fault::Nothing => Phase::Done,
            Fault::CancelOutside => Phase::Cancelled,
            _ => Phase::Error,
        };
        assert_eq!(run.settled().phase(), expected);
        assert_eq!(world.durable().files.len(), 1, "{fault:?}");
        assert!(world.durable().files.contains_key(&theirs), "{fault:?}");
        assert_eq!(
            when(&world, |change| *change == Change::Snapshot),
            None,
            "nothing is dumped"
        );
        world.change(|durable| durable.files.clear());
        assert_kept(&world, format!("{fault:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn preflight_refuses_before_anything_is_touched() {
    let world = World::new(1);
    world.change(|durable| {
        durable.findings = vec![Finding {
            severity: Severity::Warning,
            code: "unknown_table".into(),
            message: "table x is unknown".into(),
        }];
    });
    let Run::NotBegun(not_begun) = Node::new(&world).migrate().await else {
        panic!("it began");
    };
    assert!(
        not_begun.error.chain().contains("table x is unknown"),
        "{not_begun:?}"
    );
    let durable = world.durable();
    assert!(durable.history.is_empty() && durable.journals.is_empty() && durable.lease.is_none());
    assert_eq!(row_says(&world), None);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_forgets_its_orchestrator_still_arrives_and_still_sees_a_cancel() {
    // The channel for requests closes then; once every wait after that ignored what ended meanwhile.
    for cancels in [false, true] {
        let world = World::new(1);
        let node = Node::new(&world);
        node.orchestrator.start().await.unwrap();
        drop(node.orchestrator);
        if cancels {
            world.pass(std::time::Duration::from_secs(1)).await;
            world.cancel_outside();
        }
        world.pass(std::time::Duration::from_secs(10)).await;
        assert_eq!(
            row_says(&world),
            Some(if cancels { Phase::Cancelled } else { Phase::Done })
        );
        assert_kept(&world, cancels);
    }
}
