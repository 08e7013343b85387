//! Several nodes over one world: every step that any of them may take, and everything that may go wrong.

mod driver;
mod journal;
mod programs;
mod strikes;

use metaferry_test_kit::explore::{Model, Ways};

use crate::coverage::Coverage;
use crate::machine::{EffectId, Machine, Next, StateId};
use crate::mutants::Broken;
use crate::node::{Does, Node};
use crate::promises;
use crate::world::World;

/// All there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct State<const N: usize> {
    pub(crate) world: World,
    /// Alike but for what they do, so their order says nothing: always sorted.
    pub(crate) nodes: [Node; N],
    /// Migrations and attempts that may still begin.
    pub(crate) beginnings: u8,
    /// How much may still go wrong.
    pub(crate) faults: u8,
}

/// A step: which node (in the order of the state it is taken from), what, and about which effect.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    node: Option<usize>,
    what: &'static str,
    effect: Option<EffectId>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.node {
            Some(node) => write!(f, "node {node} {}", self.what)?,
            None => write!(f, "{}", self.what)?,
        }
        self.effect.map_or(Ok(()), |id| write!(f, " {}", id.effect()))
    }
}

impl Step {
    fn of(node: usize, what: &'static str) -> Self {
        Self {
            node: Some(node),
            what,
            effect: None,
        }
    }

    fn about(node: usize, what: &'static str, effect: EffectId) -> Self {
        Self {
            node: Some(node),
            what,
            effect: Some(effect),
        }
    }

    fn outside(what: &'static str) -> Self {
        Self {
            node: None,
            what,
            effect: None,
        }
    }
}

/// What is broken, in words, and by which step.
type Breach = (Step, String);

/// Nodes, rules, and how much may go wrong.
pub(crate) struct Cluster<const N: usize> {
    pub(crate) machine: Machine,
    pub(crate) coverage: Coverage,
    broken: Broken,
    beginnings: u8,
    faults: u8,
}

/// What came of an event that a node wanted to record.
enum Recorded<const N: usize> {
    /// It cannot be, and was left out.
    LeftOut,
    /// It is durable, or held back until the lease is there; or the node has stopped.
    Now(State<N>),
}

impl<const N: usize> Cluster<N> {
    pub(crate) fn new(next: Next, broken: Broken, beginnings: u8, faults: u8) -> Self {
        Self {
            machine: Machine::new(next),
            coverage: Coverage::default(),
            broken,
            beginnings,
            faults,
        }
    }
}

impl<const N: usize> Model for Cluster<N> {
    type State = State<N>;
    type Step = Step;

    fn begin(&self) -> State<N> {
        State {
            world: World::default(),
            nodes: [Node::default(); N],
            beginnings: self.beginnings,
            faults: self.faults,
        }
    }

    fn steps(&mut self, state: &State<N>, ways: &mut Ways<State<N>, Step>) -> Result<(), Breach> {
        for at in 0..N {
            // Nodes that are the same do the same.
            if at > 0 && state.nodes[at] == state.nodes[at - 1] {
                continue;
            }
            match state.nodes[at].does {
                Does::Nothing => self.programs(state, at, ways)?,
                Does::Launches => self.launch(state, at, ways),
                Does::TakesOver => self.taken_over(state, at, ways)?,
                Does::GivesBack => {
                    let mut to = self.stopped(state, at);
                    to.world.lease.give_back(state.nodes[at].token);
                    let label = Step::of(at, "gives the lease back");
                    ways.calm(label, to);
                }
                Does::Drives => self.drive(state, at, ways)?,
            }
        }
        self.time_passes(state, ways);
        if state.faults > 0 {
            self.strikes(state, ways);
        }
        Ok(())
    }

    fn check(&mut self, state: &State<N>) -> Result<(), String> {
        promises::of_a_state(&self.machine, state)
    }

    fn rests(&self, state: &State<N>) -> bool {
        let settled = state.world.of.iter().all(|migration| {
            migration.journal == StateId::NONE || self.machine.facts(migration.journal).is_settled
        });
        settled && !state.world.lease.is_held() && state.nodes.iter().all(|node| node.does == Does::Nothing)
    }
}

/// Effects by their bits.
pub(crate) fn bits(mut mask: u32) -> impl Iterator<Item = EffectId> {
    std::iter::from_fn(move || {
        let bit = u8::try_from(mask.trailing_zeros()).ok().filter(|bit| *bit < 32)?;
        mask &= mask - 1;
        Some(EffectId(bit))
    })
}

fn sorted<const N: usize>(mut state: State<N>) -> State<N> {
    state.nodes.sort_unstable();
    state
}
