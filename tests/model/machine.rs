//! The domain's own state machine, made small: each state that `next` ever answers gets a number, and what `next` says of
//! a number and an event is asked once.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use metaferry_domain::event::{Canceller, Event, Fact, Intent, RowEnd, StillnessProof};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Attempt, Phase};
use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::ports::{PausedBefore, ReadOnlyBefore};
use metaferry_domain::recovery::{Course, course};
use metaferry_domain::state::{RowStanding, Tenure};
use metaferry_domain::{Effect, ErrorKind, IllegalEvent, MigrationState, Transition, next, samples};
use metaferry_test_kit::explore::Mixing;

use crate::world::{Jobs, OURS, Setting};

/// The domain's function, or one that breaks a rule of it.
pub(crate) type Next = fn(&MigrationState, &Event) -> Result<Transition, IllegalEvent>;

/// A state's number; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct StateId(u16);

impl StateId {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn number(self) -> u16 {
        self.0
    }
}

/// An effect by its place in [`Effect::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EffectId(pub(crate) u8);

pub(crate) const EFFECTS: usize = Effect::ALL.len();

impl EffectId {
    pub(crate) fn of(effect: Effect) -> Self {
        let at = Effect::ALL.iter().position(|known| *known == effect);
        Self(u8::try_from(at.expect("progress is never announced")).expect("there are 28"))
    }

    pub(crate) fn effect(self) -> Effect {
        Effect::ALL[usize::from(self.0)]
    }
}

/// An event, as small as it can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Happened {
    Begun,
    Started(EffectId, Option<Setting>, Option<Jobs>),
    Done(EffectId, u8),
    SwitchedOff,
    Failed(EffectId, ErrorKind),
    UploadBegun,
    CancelRequested,
    RowEnded(RowEnd),
    Recovered(u8),
    RetryRequested,
    UndoRequested,
}

/// What of a state decides what a node does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) due: Option<EffectId>,
    /// Bits by [`EffectId`].
    pub(crate) running: u32,
    pub(crate) held_token: u8,
    /// Entries can be written: the lease is held, or is being given back.
    pub(crate) token: u8,
    pub(crate) is_settled: bool,
    pub(crate) is_terminal: bool,
    pub(crate) is_forward: bool,
    pub(crate) phase: Phase,
    pub(crate) standing: RowStanding,
    pub(crate) attempt: u8,
    pub(crate) knows_row: bool,
    pub(crate) setting_before: Option<Setting>,
    pub(crate) jobs_before: Option<Jobs>,
    pub(crate) upload_begun: bool,
    pub(crate) goes_on: bool,
}

type Fast<K, V> = HashMap<K, V, BuildHasherDefault<Mixing>>;

/// Where a state was first met: before which event.
type FoundBy = Option<(StateId, Happened)>;

/// Numbered states of the domain, and what follows them.
pub(crate) struct Machine {
    next: Next,
    numbers: HashMap<MigrationState, StateId>,
    states: Vec<MigrationState>,
    facts: Vec<Facts>,
    found_by: Vec<FoundBy>,
    answers: Fast<(StateId, Happened), Option<StateId>>,
    /// Entries from before the lease, by number; 0 is none.
    held_back: Vec<Vec<Happened>>,
}

impl Machine {
    pub(crate) fn new(next: Next) -> Self {
        let mut machine = Self {
            next,
            numbers: HashMap::new(),
            states: Vec::new(),
            facts: Vec::new(),
            found_by: Vec::new(),
            answers: HashMap::default(),
            held_back: vec![Vec::new()],
        };
        let begun = MigrationState::begun(samples::ID, MigrationPlan::default());
        machine.number(begun, None);
        machine
    }

    /// A migration that has just begun.
    pub(crate) fn begun(&self) -> StateId {
        StateId(1)
    }

    pub(crate) fn facts(&self, id: StateId) -> &Facts {
        &self.facts[usize::from(id.0) - 1]
    }

    pub(crate) fn state(&self, id: StateId) -> &MigrationState {
        &self.states[usize::from(id.0) - 1]
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// What the domain says; `None` if that cannot happen.
    pub(crate) fn next(&mut self, id: StateId, happened: Happened) -> Option<StateId> {
        if let Some(answer) = self.answers.get(&(id, happened)) {
            return *answer;
        }
        let event = event(self.state(id), happened);
        let answer = (self.next)(self.state(id), &event)
            .ok()
            .map(|transition| self.number(transition.state, Some((id, happened))));
        self.answers.insert((id, happened), answer);
        answer
    }

    /// What the domain has said while the model was explored; `None` if it was never asked, or refused.
    pub(crate) fn asked(&self, id: StateId, happened: Happened) -> Option<StateId> {
        self.answers.get(&(id, happened)).copied().flatten()
    }

    fn number(&mut self, state: MigrationState, found_by: FoundBy) -> StateId {
        if let Some(id) = self.numbers.get(&state) {
            return *id;
        }
        let id =
            StateId(u16::try_from(self.states.len() + 1).expect("fewer than 65535 states of the domain"));
        self.facts.push(facts(&state));
        self.states.push(state.clone());
        self.found_by.push(found_by);
        self.numbers.insert(state, id);
        id
    }

    /// The number of what is held back with one entry more.
    pub(crate) fn held_back_and(&mut self, held: u16, happened: Happened) -> u16 {
        let mut longer = self.held_back[usize::from(held)].clone();
        longer.push(happened);
        self.held_number(longer)
    }

    /// The first entry held back, and the number of the others.
    pub(crate) fn first_held_back(&mut self, held: u16) -> Option<(Happened, u16)> {
        let (first, others) = self.held_back[usize::from(held)].split_first()?;
        let (first, others) = (*first, others.to_vec());
        Some((first, self.held_number(others)))
    }

    fn held_number(&mut self, held: Vec<Happened>) -> u16 {
        let at = self.held_back.iter().position(|known| *known == held);
        let at = at.unwrap_or_else(|| {
            self.held_back.push(held);
            self.held_back.len() - 1
        });
        u16::try_from(at).expect("few")
    }

    /// The events that lead to a state, the first of them `Begun`.
    pub(crate) fn history(&self, id: StateId) -> Vec<Event> {
        let mut history = Vec::new();
        let mut at = id;
        while let Some((before, happened)) = self.found_by[usize::from(at.0) - 1] {
            history.push(event(self.state(before), happened));
            at = before;
        }
        history.push(Event::Begun {
            id: samples::ID,
            plan: MigrationPlan::default(),
        });
        history.reverse();
        history
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = StateId> + use<> {
        (1..=u16::try_from(self.states.len()).expect("numbered")).map(StateId)
    }
}

fn event(state: &MigrationState, happened: Happened) -> Event {
    match happened {
        Happened::Begun => Event::Begun {
            id: samples::ID,
            plan: MigrationPlan::default(),
        },
        Happened::Started(id, setting, jobs) => Event::EffectStarted(match (id.effect(), setting, jobs) {
            (Effect::ReadOnlyOn, Some(setting), _) => Intent::ReadOnlyOn {
                before: setting.remembered(),
            },
            (Effect::QuiesceScheduler, _, Some(jobs)) => Intent::QuiesceScheduler {
                before: jobs.remembered(),
            },
            (Effect::CopySnapshot, ..) => samples::intent(Effect::CopySnapshot),
            (effect, ..) => Intent::Plain(effect),
        }),
        Happened::Done(id, token) => {
            Event::EffectDone(samples::fact(id.effect(), FencingToken(u64::from(token))))
        }
        Happened::SwitchedOff => Event::EffectDone(Fact::ProveReadOnlyHeld {
            found: StillnessProof::SwitchedOff { value: None },
        }),
        Happened::Failed(id, kind) => samples::failed(id.effect(), kind),
        Happened::UploadBegun => Event::UploadBegun {
            upload_id: "upload".into(),
            part_size_bytes: 1,
        },
        Happened::CancelRequested => Event::CancelRequested {
            by: Canceller::Interrupt,
        },
        Happened::RowEnded(end) => Event::RowEndedOutside { end },
        Happened::Recovered(token) => Event::Recovered {
            attempt: state.run().attempt,
            token: FencingToken(u64::from(token)),
        },
        Happened::RetryRequested => Event::RetryRequested,
        Happened::UndoRequested => Event::UndoRequested,
    }
}

fn facts(state: &MigrationState) -> Facts {
    let run = state.run();
    let small = |token: FencingToken| u8::try_from(token.0).expect("few leases");
    let (held_token, token) = match run.tenure {
        Tenure::NotYet | Tenure::Lost(_) => (0, 0),
        Tenure::Held(token) => (small(token), small(token)),
        Tenure::Released(token) => (0, small(token)),
    };
    let is_forward = matches!(
        state,
        MigrationState::Init { .. }
            | MigrationState::Setup { .. }
            | MigrationState::Dump { .. }
            | MigrationState::Upload { .. }
    );
    let is_settled = state.is_settled();
    let course = course(state);
    assert_eq!(
        course == Course::MarkSettled,
        is_settled,
        "recovery decides as the state says"
    );
    Facts {
        due: state.due().first().map(|effect| EffectId::of(*effect)),
        running: run
            .running
            .iter()
            .fold(0, |bits, effect| bits | 1 << EffectId::of(*effect).0),
        held_token,
        token,
        is_settled,
        is_terminal: state.is_terminal(),
        is_forward,
        phase: state.phase(),
        standing: run.row.standing,
        attempt: match run.attempt {
            Attempt(attempt) => u8::try_from(attempt).expect("few attempts"),
        },
        knows_row: run.row.id.is_some(),
        setting_before: run
            .undo
            .read_only
            .as_ref()
            .map(|debt| Setting::of(&debt.remembered)),
        jobs_before: run.undo.scheduler.as_ref().map(|debt| Jobs::of(&debt.remembered)),
        upload_begun: run
            .undo
            .upload
            .as_ref()
            .is_some_and(|debt| debt.remembered.is_some()),
        goes_on: matches!(course, Course::GoOn { .. }),
    }
}

impl Setting {
    fn remembered(self) -> ReadOnlyBefore {
        ReadOnlyBefore {
            value: match self {
                Self::First => None,
                Self::Theirs => Some("theirs".into()),
                Self::Ours => Some(OURS.into()),
            },
            ours: OURS.into(),
        }
    }

    fn of(before: &ReadOnlyBefore) -> Self {
        match before.value.as_deref() {
            None => Self::First,
            Some(OURS) => Self::Ours,
            Some(_) => Self::Theirs,
        }
    }
}

const PAUSED: &str = "paused";

impl Jobs {
    fn remembered(self) -> PausedBefore {
        PausedBefore {
            json: match self {
                Self::Run => String::new(),
                Self::Paused => PAUSED.into(),
            },
        }
    }

    fn of(before: &PausedBefore) -> Self {
        if before.json == PAUSED {
            Self::Paused
        } else {
            Self::Run
        }
    }
}

/// The domain as it is.
pub(crate) const TRUE: Next = next;
