//! Exhaustive check of one worker: from every step, with every choice of what is performed next and of what goes
//! wrong (a failure before or after acting, a crash, a cancel, a row ended by somebody else, a lost lease), up to
//! a number of things that go wrong in one history.

use std::collections::HashSet;

use metaferry_domain::event::{Canceller, Event, Fact, StillnessProof};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Phase, ReadOnlyStrength};
use metaferry_domain::plan::{DumpRetention, MigrationPlan, SchedulerPlan};
use metaferry_domain::state::{RowStanding, Tenure};
use metaferry_domain::{Effect, ErrorKind, IllegalEvent, MigrationState, Transition, next, samples};
use metaferry_test_kit::explore::{Model, Ways, explore};

use crate::world::{File, Performed, Row, Switch, Upload, World};

pub(crate) type Next = fn(&MigrationState, &Event) -> Result<Transition, IllegalEvent>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    state: MigrationState,
    world: World,
    /// How much may still go wrong.
    faults: u8,
}

/// One exhaustive check.
pub(crate) struct Check {
    next: Next,
    plan: MigrationPlan,
    faults: u8,
    outcomes: HashSet<&'static str>,
}

/// What is wrong, and in which node.
pub(crate) type Wrong = String;

/// More than any of these checks has.
const NODES_MAX: usize = 10_000_000;

/// Nodes that may follow.
#[derive(Default)]
struct Following {
    calm: Vec<Node>,
    faulty: Vec<Node>,
}

impl Model for Check {
    type State = Node;
    type Step = &'static str;

    fn begin(&self) -> Node {
        Node {
            state: MigrationState::begun(samples::ID, self.plan.clone()),
            world: World::default(),
            faults: self.faults,
        }
    }

    fn steps(
        &mut self,
        node: &Node,
        ways: &mut Ways<Node, &'static str>,
    ) -> Result<(), (&'static str, Wrong)> {
        let following = self.following(node).map_err(|wrong| ("", wrong))?;
        for to in following.calm {
            ways.calm("goes on", to);
        }
        for to in following.faulty {
            ways.fault("something goes wrong", to);
        }
        Ok(())
    }

    fn check(&mut self, node: &Node) -> Result<(), Wrong> {
        always(node)?;
        if node.state.is_settled() && node.state.run().running.is_empty() {
            when_settled(node)?;
            self.outcomes.insert(node.state.name());
        }
        Ok(())
    }

    fn rests(&self, node: &Node) -> bool {
        node.state.is_settled()
    }
}

impl Check {
    /// Every outcome that there was, and how many nodes there are.
    pub(crate) fn run(
        next: Next,
        plan: MigrationPlan,
        faults: u8,
    ) -> Result<(HashSet<&'static str>, usize), Wrong> {
        let mut check = Self {
            next,
            plan,
            faults,
            outcomes: HashSet::new(),
        };
        let explored = explore(&mut check, NODES_MAX).map_err(|wrong| wrong.to_string())?;
        Ok((check.outcomes, explored.states))
    }

    /// Every node that may follow.
    fn following(&self, node: &Node) -> Result<Following, Wrong> {
        let mut ways = Following::default();
        let Node { state, world, faults } = node;
        for effect in state.due() {
            may_start(node, effect)?;
            let started = self.must(state, &Event::EffectStarted(samples::intent(effect)))?;
            ways.calm.push(Node {
                state: started,
                ..node.clone()
            });
        }
        for effect in &state.run().running {
            ways.calm.push(self.performed(node, *effect)?);
        }
        if state.run().is_stuck()
            && let Ok(transition) = (self.next)(state, &Event::UndoRequested)
        {
            ways.calm.push(Node {
                state: transition.state,
                ..node.clone()
            });
        }
        // Somebody ended the row, and the watcher sees it.
        if let (RowStanding::Open, Some(end)) = (state.run().row.standing, world.row.end())
            && let Ok(transition) = (self.next)(state, &Event::RowEndedOutside { end })
        {
            ways.calm.push(Node {
                state: transition.state,
                ..node.clone()
            });
        }
        if let Tenure::Lost(_) = state.run().tenure {
            ways.calm.push(self.recover(node, *world)?);
        }
        if *faults > 0 {
            ways.faulty = self.faults(&Node {
                faults: faults - 1,
                ..node.clone()
            })?;
        }
        Ok(ways)
    }

    /// A running effect ends well.
    fn performed(&self, node: &Node, effect: Effect) -> Result<Node, Wrong> {
        let mut world = node.world;
        let state = match world.perform(effect) {
            Performed::Well => {
                let token = world.lease.unwrap_or(FencingToken(0));
                self.must(&node.state, &Event::EffectDone(samples::fact(effect, token)))?
            }
            Performed::Refused => {
                self.must(&node.state, &samples::failed(effect, ErrorKind::Precondition))?
            }
            Performed::RowEnded(end) => {
                let ended = self.must(&node.state, &Event::RowEndedOutside { end })?;
                self.must(&ended, &samples::failed(effect, ErrorKind::Precondition))?
            }
        };
        Ok(Node {
            state,
            world,
            faults: node.faults,
        })
    }

    /// Everything that may go wrong now; `node` has been charged for it.
    fn faults(&self, node: &Node) -> Result<Vec<Node>, Wrong> {
        let mut ways = Vec::new();
        let Node { state, world, .. } = node;
        for effect in state.due() {
            // What must be announced could not be read.
            let failed = self.must(state, &samples::failed(effect, ErrorKind::Unavailable))?;
            ways.push(Node {
                state: failed,
                ..node.clone()
            });
        }
        // Stopped by a cancel, or beyond its retries.
        let kinds: &[ErrorKind] = match state {
            MigrationState::Cancelled { .. } => &[ErrorKind::Unavailable, ErrorKind::Cancelled],
            _ => &[ErrorKind::Unavailable],
        };
        for effect in state.run().running.clone() {
            for left in world.left_behind(effect) {
                if effect == Effect::ProveReadOnlyHeld {
                    let fact = Fact::ProveReadOnlyHeld {
                        found: StillnessProof::SwitchedOff { value: None },
                    };
                    let found = self.must(state, &Event::EffectDone(fact))?;
                    ways.push(Node {
                        state: found,
                        ..node.clone()
                    });
                }
                for kind in kinds {
                    let failed = self.must(state, &samples::failed(effect, *kind))?;
                    ways.push(Node {
                        state: failed,
                        world: left,
                        ..node.clone()
                    });
                }
            }
        }
        if let Ok(transition) = (self.next)(
            state,
            &Event::CancelRequested {
                by: Canceller::Interrupt,
            },
        ) {
            if !matches!(transition.state, MigrationState::Cancelled { .. }) {
                return Err("a cancel was taken, and does not end the attempt".into());
            }
            ways.push(Node {
                state: transition.state,
                ..node.clone()
            });
        }
        if world.row.is_open() {
            for row in [Row::Is(Phase::Cancelled), Row::Deleted] {
                ways.push(Node {
                    world: World { row, ..*world },
                    ..node.clone()
                });
            }
        }
        if !state.is_settled() {
            for left in self.left_by_all(node) {
                ways.push(self.recover(node, left)?);
            }
        }
        if let Ok(transition) = (self.next)(state, &Event::LeaseLost) {
            for left in self.left_by_all(node) {
                ways.push(Node {
                    state: transition.state.clone(),
                    world: left,
                    ..node.clone()
                });
            }
        }
        if let Ok(transition) = (self.next)(state, &Event::RetryRequested) {
            // The other attempt has another object at the store,
            // and a lease that nobody renewed has ended by now.
            let fresh = World {
                upload: Upload::None,
                verified: false,
                told: false,
                lease: None,
                ..*world
            };
            ways.push(Node {
                state: transition.state,
                world: fresh,
                ..node.clone()
            });
        }
        Ok(ways)
    }

    /// The process ends while effects run: each may or may not have acted.
    fn left_by_all(&self, node: &Node) -> Vec<World> {
        let mut worlds = vec![node.world];
        for effect in &node.state.run().running {
            worlds = worlds
                .into_iter()
                .flat_map(|world| world.left_behind(*effect))
                .collect();
        }
        worlds
    }

    /// The lease ends by itself and another process takes over.
    fn recover(&self, node: &Node, mut world: World) -> Result<Node, Wrong> {
        world.lease = None;
        world.perform(Effect::AcquireLease);
        let token = world.lease.expect("just given");
        let event = Event::Recovered {
            attempt: node.state.run().attempt,
            token,
        };
        Ok(Node {
            state: self.must(&node.state, &event)?,
            world,
            faults: node.faults,
        })
    }

    fn must(&self, state: &MigrationState, event: &Event) -> Result<MigrationState, Wrong> {
        (self.next)(state, event)
            .map(|transition| transition.state)
            .map_err(|illegal| illegal.to_string())
    }
}

fn is_forward(effect: Effect) -> bool {
    !matches!(
        effect,
        Effect::AbortUpload
            | Effect::DeleteDump
            | Effect::RestoreScheduler
            | Effect::RestoreReadOnly
            | Effect::DisarmSwitch
            | Effect::ReleaseLease
            | Effect::WriteState(Phase::Error | Phase::Cancelled)
    )
}

/// What must hold when an effect begins.
fn may_start(node: &Node, effect: Effect) -> Result<(), Wrong> {
    let Node { state, world, .. } = node;
    let plan = &state.run().plan;
    let held = match state.run().tenure {
        Tenure::Held(token) => world.lease == Some(token),
        Tenure::NotYet | Tenure::Lost(_) | Tenure::Released(_) => false,
    };
    if !held && !matches!(effect, Effect::Preflight | Effect::AcquireLease) {
        return Err(format!("{effect} would begin without the lease"));
    }
    let ended = matches!(
        state,
        MigrationState::RollingBack { .. } | MigrationState::Error { .. } | MigrationState::Cancelled { .. }
    );
    if ended && is_forward(effect) {
        return Err(format!("{effect} would begin after the end"));
    }
    if effect == Effect::CopySnapshot {
        if plan.strength != ReadOnlyStrength::None && world.read_only != Switch::Ours {
            return Err("the copy would begin before read-only is on".into());
        }
        if plan.scheduler == SchedulerPlan::Quiesce && world.triggers != Switch::Ours {
            return Err("the copy would begin before the scheduler is quiesced".into());
        }
    }
    if effect == Effect::UploadDump && (world.read_only == Switch::Ours || world.triggers == Switch::Ours) {
        return Err("the upload would begin while users cannot write".into());
    }
    let changes = matches!(effect, Effect::ReadOnlyOn | Effect::QuiesceScheduler);
    if changes && world.switch != Switch::Ours {
        return Err("something would be changed without a switch that puts it back".into());
    }
    let changed = world.read_only == Switch::Ours || world.triggers == Switch::Ours;
    if effect == Effect::DisarmSwitch && changed {
        return Err("the switch would go before what it guards".into());
    }
    let owed = !state.run().undo.is_rested();
    if effect == Effect::WriteState(Phase::Error) && owed {
        return Err("error would be written before everything is undone".into());
    }
    Ok(())
}

/// What holds in every node.
fn always(node: &Node) -> Result<(), Wrong> {
    let Node { state, world, .. } = node;
    if world.row == Row::Is(Phase::Done)
        && !(world.upload == Upload::Complete && world.verified && world.told)
    {
        return Err("the row says done without a verified object".into());
    }
    if let (true, Row::Is(phase)) = (state.is_terminal(), world.row)
        && !phase.is_terminal()
    {
        return Err("the outcome is final and the row is open".into());
    }
    Ok(())
}

/// What holds once everything is settled.
fn when_settled(node: &Node) -> Result<(), Wrong> {
    let Node { state, world, .. } = node;
    let is_done = matches!(state, MigrationState::Done { .. });
    let kept = is_done && state.run().plan.retention == DumpRetention::Keep;
    let expected_file = if kept { File::Complete } else { File::None };
    let as_before = [
        (world.read_only == Switch::AsBefore, "read-only"),
        (world.triggers == Switch::AsBefore, "the scheduler"),
        (world.switch == Switch::AsBefore, "the switch"),
        (world.file == expected_file, "the dump"),
        (world.upload != Upload::Open, "the upload"),
        // A lease whose answer was lost, or whose release failed, is renewed by nobody and ends by itself.
        (
            world.lease.is_none() || !matches!(state.run().tenure, Tenure::Held(_)),
            "the lease",
        ),
    ];
    for (holds, what) in as_before {
        if !holds {
            return Err(format!("settled, and {what} is not as it must be"));
        }
    }
    let row_fits = match (state, world.row) {
        (MigrationState::Done { .. }, row) => row == Row::Is(Phase::Done),
        (_, Row::Is(phase)) => phase.is_terminal() && phase != Phase::Done,
        (_, Row::None | Row::Deleted) => true,
    };
    if !row_fits {
        return Err(format!(
            "settled as {}, and the row is {:?}",
            state.name(),
            world.row
        ));
    }
    Ok(())
}

fn plans() -> Vec<MigrationPlan> {
    let mut plans = Vec::new();
    for strength in [ReadOnlyStrength::Flag, ReadOnlyStrength::None] {
        for scheduler in [SchedulerPlan::Quiesce, SchedulerPlan::LeaveAlone] {
            for retention in [DumpRetention::Delete, DumpRetention::Keep] {
                plans.push(MigrationPlan {
                    strength,
                    scheduler,
                    retention,
                    ..MigrationPlan::default()
                });
            }
        }
    }
    plans
}

#[test]
fn whatever_goes_wrong_everything_is_undone_and_done_means_verified() {
    for plan in plans() {
        let (outcomes, nodes) = Check::run(next, plan.clone(), 2).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(
            outcomes,
            HashSet::from(["Done", "Error", "Cancelled"]),
            "{plan:?}"
        );
        assert!(nodes > 1000, "{plan:?}: only {nodes} nodes");
    }
}

#[test]
fn three_things_may_go_wrong_in_one_history() {
    let plan = MigrationPlan {
        scheduler: SchedulerPlan::LeaveAlone,
        retention: DumpRetention::Keep,
        ..MigrationPlan::default()
    };
    let (outcomes, _) = Check::run(next, plan, 3).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(outcomes, HashSet::from(["Done", "Error", "Cancelled"]));
}
