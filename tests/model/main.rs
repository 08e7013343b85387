//! Several nodes, exhaustively: every order in which they may act, and at every effect everything that may go wrong, up to
//! a number of faults in one history.
//!
//! **What is real.** `next`, the rules of the lease, and what recovering would do are the domain's own functions; a
//! journal is the state that they lead to, and `replay` is asked whether it says the same.
//!
//! **What is modelled**, in the grain of *announced | outside half | outcome written*, each of them a step of its own under
//! its own condition: the driver's loop (`cluster/driver.rs`: `run.rs`, `run/row.rs` of the orchestrator), the journal's
//! fence and numbers (`cluster/journal.rs`: `run/record.rs`), starting, trying again, recovering (`cluster/programs.rs`:
//! `begin.rs`, `take_over.rs`), every effect's outside half (`outside.rs`: `perform.rs` and the adapters), the app DB, the disk and the shore
//! (`world.rs`), the dead man's switch. Held to the real one by `conformance.rs`: what the real orchestrator writes under
//! a fault must be a step that the model has taken. What the model finds becomes a test of the driver.
//!
//! **What goes wrong** (`coverage.rs`): a node crashes, and may start again; an answer is lost, and the effect given up or
//! made again; it fails; the lease ends under its holder, who goes on until it notices; the database's clock goes back; a
//! node's own clock jumps; somebody cancels, by a signal, the API, or SQL; deletes the row; sets read-only. Without being
//! counted: a lease that nobody renews ends, the switch trips, somebody starts, tries again or recovers at any moment.
//!
//! **Left out.** Waits and retries as such (they are nothing but time), progress, parts of an upload, a single PUT,
//! `--keep`, strengths other than `flag`, Metabase's own migrations. All nodes share one disk. Beyond the app DB no
//! token can be proved: a node that stood still between announcing the copy and making its file may make it late, and that
//! file is not held against it (`world::Maker`).
//!
//! Faults in CI are as many as fit into seconds; `cargo xtask model` allows one more
//! (`METAFERRY_MODEL_FAULTS`: so many in addition).

mod cluster;
mod conformance;
mod coverage;
mod machine;
mod mutants;
mod node;
mod outside;
/// The real orchestrator on the fakes, as the simulation runs it.
#[path = "../simulation/node.rs"]
mod program;
mod promises;
mod world;

use std::io::Write as _;

use cluster::Cluster;
use coverage::{FAULTS, Fault};
use machine::{Machine, TRUE};
use metaferry_domain::journal::{JournalEntry, VERSION, replay};
use metaferry_domain::migration::Phase;
use metaferry_domain::{Effect, next};
use metaferry_test_kit::explore::explore;
use mutants::Broken;

/// More than any of these explorations has, even with one fault more.
const STATES_MAX: usize = 40_000_000;

/// Explores all of it, and says how much that was.
fn explored<const N: usize>(beginnings: u8, faults: u8) -> Cluster<N> {
    let more = std::env::var("METAFERRY_MODEL_FAULTS").ok();
    let more = more.map_or(0, |more| {
        more.parse().expect("METAFERRY_MODEL_FAULTS is a small number")
    });
    let faults = faults + more;
    let mut cluster = Cluster::new(TRUE, Broken::Nothing, beginnings, faults);
    let found = explore(&mut cluster, STATES_MAX).unwrap_or_else(|wrong| panic!("{wrong}"));
    let line = format!(
        "{N} nodes, at most {beginnings} beginnings and {faults} faults: {} states, {} steps, {} deep, {} at rest; {} states \
         of the domain; {} pairs of fault and effect\n",
        found.states,
        found.steps,
        found.depth,
        found.at_rest,
        cluster.machine.len(),
        cluster.coverage.pairs()
    );
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("it can be written to");
    cluster
}

#[test]
fn two_nodes_with_two_faults_at_any_effect_keep_every_promise() {
    let cluster = explored::<2>(1, 2);
    let missed = |fault| match fault {
        Fault::Crash | Fault::LostAnswer | Fault::Fails | Fault::Cancel | Fault::SettingChanged => Vec::new(),
        // Before there is a lease.
        Fault::LeaseEnds => vec![Effect::Preflight],
        // What undoes comes after one fault, and the end of a lease is another.
        Fault::DatabaseClockBack => vec![
            Effect::Preflight,
            Effect::AbortUpload,
            Effect::WriteState(Phase::Error),
            Effect::WriteState(Phase::Cancelled),
        ],
        Fault::OwnClock => vec![Effect::Preflight, Effect::AcquireLease, Effect::ReleaseLease],
        // While no row of ours is open.
        Fault::CancelByRow => vec![
            Effect::Preflight,
            Effect::AcquireLease,
            Effect::CreateAtStore,
            Effect::ReleaseLease,
        ],
    };
    for fault in FAULTS {
        let (is, may_be) = (cluster.coverage.missed(fault), missed(fault));
        assert!(
            is.iter().all(|effect| may_be.contains(effect)),
            "{fault:?} never struck {is:?}"
        );
    }
    replays_to_the_same(&cluster.machine);
    let entries = conformance::every_entry_is_a_step_of(&cluster.machine);
    assert!(entries > 1_000, "only {entries} entries of the real orchestrator");
}

#[test]
fn migrations_and_attempts_one_after_the_other_keep_every_promise() {
    explored::<2>(3, 1);
    explored::<3>(2, 1);
}

#[test]
fn three_nodes_with_two_faults_at_any_effect_keep_every_promise() {
    explored::<3>(1, 2);
}

/// The model keeps a state where the database has entries: the domain's `replay` of those gives that state. Every so
/// manieth of them, since all take longer than exploring.
fn replays_to_the_same(machine: &Machine) {
    let mut replayed = 0;
    for id in machine.ids().step_by(37) {
        let mut state = None;
        let mut entries = Vec::new();
        for (sequence, event) in (1..).zip(machine.history(id)) {
            let after = match &state {
                None => machine.state(machine.begun()).clone(),
                Some(before) => next(before, &event).expect("it was legal before").state,
            };
            entries.push(JournalEntry {
                version: VERSION,
                sequence,
                at_ms: 0,
                attempt: after.run().attempt,
                token: after.run().tenure.token(),
                event,
            });
            state = Some(after);
        }
        assert_eq!(replay(&entries).as_ref(), Ok(machine.state(id)));
        replayed += 1;
    }
    assert!(replayed > 100, "only {replayed}");
}
