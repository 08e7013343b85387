//! The state machine as tables, rendered from the machine itself: `docs/state-machine.md` is this text.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

use crate::effect::Effect;
use crate::event::{Canceller, Event, Failure, FailureCause};
use crate::lease::FencingToken;
use crate::migration::{Attempt, Phase};
use crate::plan::MigrationPlan;
use crate::progress::Progress;
use crate::state::{CancelledBy, MigrationState, Tenure};
use crate::transition::{IllegalEvent, Transition, next};
use crate::{ErrorKind, samples};

/// Names of the variants, in the order of a migration's life.
pub const STATES: [&str; 8] = [
    "Init",
    "Setup",
    "Dump",
    "Upload",
    "RollingBack",
    "Done",
    "Error",
    "Cancelled",
];

/// Visits every state that [`samples::events`] lead to from the beginning, with each of these events and the
/// machine's answer. What only grows (tokens, attempts, progress) and what is only told (why and where it ended) is
/// counted as one.
/// Answers how many states there are.
pub fn explore(
    plan: MigrationPlan,
    mut visit: impl FnMut(&MigrationState, &Event, &Result<Transition, IllegalEvent>),
) -> usize {
    let start = MigrationState::begun(samples::ID, plan);
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(state) = open.pop() {
        for event in samples::events(&state) {
            let answer = next(&state, &event);
            visit(&state, &event, &answer);
            if let Ok(transition) = answer {
                let found = in_short(transition.state);
                if seen.insert(found.clone()) {
                    open.push(found);
                }
            }
        }
    }
    seen.len()
}

fn in_short(mut state: MigrationState) -> MigrationState {
    let told = || Failure {
        cause: FailureCause::Crash(Phase::Init),
        kind: ErrorKind::Unavailable,
        message: String::new(),
    };
    match &mut state {
        MigrationState::RollingBack {
            failed_in, failure, ..
        }
        | MigrationState::Error {
            failed_in, failure, ..
        } => {
            *failed_in = Phase::Init;
            *failure = told();
        }
        MigrationState::Cancelled {
            cancelled_in,
            by,
            failure,
            ..
        } => {
            *cancelled_in = Phase::Init;
            *by = CancelledBy::Asked(Canceller::Interrupt);
            *failure = failure.as_ref().map(|_| told());
        }
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. }
        | MigrationState::Done { .. } => {}
    }
    let run = state.run_mut();
    run.attempt = Attempt(1);
    run.progress = Progress::default();
    run.newest_token = run.newest_token.map(|_| FencingToken(1));
    run.tenure = match run.tenure {
        Tenure::NotYet => Tenure::NotYet,
        Tenure::Held(_) => Tenure::Held(FencingToken(1)),
        Tenure::Lost(_) => Tenure::Lost(FencingToken(1)),
        Tenure::Released(_) => Tenure::Released(FencingToken(1)),
    };
    run.shore = None;
    run.row.id = None;
    if let Some(debt) = &mut run.undo.upload
        && let Some(memory) = &mut debt.remembered
    {
        memory.parts.clear();
    }
    state
}

/// The text of `docs/state-machine.md`.
#[must_use]
pub fn render() -> String {
    let mut text = String::from(HEAD);
    way_forward(&mut text);
    text.push_str(MATRIX_HEAD);
    matrix(&mut text);
    text
}

const HEAD: &str = "\
# The state machine of a migration

Generated from `crates/domain` (`metaferry_domain::docs::render`); a test keeps it fresh, and
`UPDATE_GOLDEN=1 cargo test -p metaferry-domain --test machine` writes it anew. One function decides everything:
`next(&MigrationState, &Event) -> Result<Transition, IllegalEvent>`.

```text
Init ──> Setup ──> Dump ──> Upload ──> Done
  │        │         │         │
  └────────┴─────────┴─────────┴──> RollingBack ──> Error      a failure, or a crash before Upload
  │        │         │         │         │
  └────────┴─────────┴─────────┴─────────┴───────> Cancelled   a cancel; it wins until an end is written

Error, Cancelled ──> Init                                      a retry, once settled
```

`RollingBack` is a failed attempt that is being undone: its row still says where it failed, because `error` is written
last. `Cancelled` is written first, and undoing goes on after it. Both are over when they are *settled*: nothing owed,
nothing running, the lease given back.

## The way forward, and every way out of it

For the default plan (`flag`, scheduler quiesced, dump deleted after it arrived). The columns say what the effect leads
to while it runs: the next state, then everything that is due. Without read-only (`none`) its four effects are left out,
and so are the three of the scheduler where there is none; where both are, there is no switch to arm either.

| state | effect | done | failed | cancelled, and it still runs | the process ended, and another takes over |
| --- | --- | --- | --- | --- | --- |
";

const MATRIX_HEAD: &str = "
What failed to be undone is *stuck*: it stays owed, keeps nothing else from being undone, and is due again after
`UndoRequested` or `Recovered`. An effect whose outcome is not known counts as done when it is undone.

## Every state by every event

For the default plan, over every reachable state. A cell names the states that the event leads to; `·` means that it is
illegal in every such state, and `(·)` that it is illegal in some: an effect can only begin when it is due and can only
end when it runs (it may fail while it is only due: what must be announced could not be read). Nothing changes on an illegal event.

";

fn way_forward(text: &mut String) {
    let mut state = MigrationState::begun(samples::ID, MigrationPlan::default());
    while let Some(&effect) = state.due().first() {
        let started = after(&state, &Event::EffectStarted(samples::intent(effect))).state;
        let done = after(
            &started,
            &Event::EffectDone(samples::fact(effect, samples::next_token(&started))),
        );
        let failed = after(&started, &samples::failed(effect, ErrorKind::Unavailable));
        let cancelled = next(
            &started,
            &Event::CancelRequested {
                by: Canceller::Interrupt,
            },
        )
        .ok();
        let taken_over = Event::Recovered {
            attempt: started.run().attempt,
            token: samples::next_token(&started),
        };
        let recovered = next(&started, &taken_over).ok();
        let optional =
            |transition: Option<Transition>| transition.map_or_else(|| "·".into(), |found| cell(&found));
        let row = [
            state.name().to_owned(),
            format!("`{effect}`"),
            cell(&done),
            cell(&failed),
            optional(cancelled),
            optional(recovered),
        ];
        line(text, &row);
        state = done.state;
    }
}

fn after(state: &MigrationState, event: &Event) -> Transition {
    next(state, event).expect("the way forward is legal")
}

fn cell(transition: &Transition) -> String {
    let due: Vec<_> = transition
        .effects
        .iter()
        .filter(|effect| **effect != Effect::WriteProgress)
        .map(|effect| format!("`{effect}`"))
        .collect();
    let settled = if transition.state.is_settled() {
        ", settled"
    } else {
        ""
    };
    let due = if due.is_empty() {
        "nothing due".to_owned()
    } else {
        due.join(", ")
    };
    format!("**{}**{settled}: {due}", transition.state.name())
}

#[derive(Default)]
struct Cell {
    leads_to: BTreeSet<usize>,
    refused: bool,
}

fn matrix(text: &mut String) {
    let mut cells: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    let mut events: Vec<String> = Vec::new();
    explore(MigrationPlan::default(), |state, event, answer| {
        let name = event.name();
        let row = *rows.entry(name).or_insert_with_key(|name| {
            events.push(name.clone());
            events.len() - 1
        });
        let cell = cells.entry((row, column(state))).or_default();
        match answer {
            Ok(transition) => {
                cell.leads_to.insert(column(&transition.state));
            }
            Err(_) => cell.refused = true,
        }
    });
    let mut head = vec!["event"];
    head.extend(STATES);
    line(text, &head);
    line(text, &vec!["---"; head.len()]);
    for (row, event) in events.iter().enumerate() {
        let mut line_cells = vec![format!("`{event}`")];
        for column in 0..STATES.len() {
            line_cells.push(cells.get(&(row, column)).map_or_else(String::new, Cell::text));
        }
        // Events that are illegal everywhere say nothing: an effect of progress that has none, for instance.
        if line_cells.iter().skip(1).any(|cell| cell != "·") {
            line(text, &line_cells);
        }
    }
}

impl Cell {
    fn text(&self) -> String {
        let mut words: Vec<_> = self
            .leads_to
            .iter()
            .map(|column| STATES[*column].to_owned())
            .collect();
        if self.refused {
            words.push(if words.is_empty() {
                "·".to_owned()
            } else {
                "(·)".to_owned()
            });
        }
        words.join(" ")
    }
}

fn column(state: &MigrationState) -> usize {
    STATES
        .iter()
        .position(|name| *name == state.name())
        .unwrap_or_default()
}

fn line(text: &mut String, cells: &[impl AsRef<str>]) {
    // Writing to a String cannot fail.
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
