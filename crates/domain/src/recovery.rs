//! What taking over a migration that a process left would do: the same function that decides for the driver, asked
//! beforehand. Nothing is performed.

use crate::effect::Effect;
use crate::event::{Event, Fact, Intent};
use crate::lease::FencingToken;
use crate::state::MigrationState;
use crate::transition::next;

/// What recovering a migration means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Everything is done or undone; only marking it as settled failed.
    MarkSettled,
    /// The dump is complete and verified: the upload goes on.
    GoOn {
        /// What is left, in order.
        effects: Vec<Effect>,
    },
    /// It is undone.
    Undo {
        /// What is left, in order.
        effects: Vec<Effect>,
    },
}

/// More than undoing ever takes.
const EFFECTS_MAX: usize = 64;

/// What whoever takes over `state` will do, if all goes well.
#[must_use]
pub fn course(state: &MigrationState) -> Course {
    let run = state.run();
    let taken_over = Event::Recovered {
        attempt: run.attempt,
        token: FencingToken::after(run.newest_token),
    };
    let Ok(transition) = next(state, &taken_over) else {
        // Refused of nothing but what is settled.
        return Course::MarkSettled;
    };
    let state = transition.state;
    if let MigrationState::Upload { run, at, .. } = &state {
        let phase = state.phase();
        let mut effects = vec![*at];
        while let Some(after) = effects.last().and_then(|last| run.plan.after(phase, *last)) {
            effects.push(after);
        }
        return Course::GoOn { effects };
    }
    Course::Undo {
        effects: undoing(state),
    }
}

fn undoing(mut state: MigrationState) -> Vec<Effect> {
    let mut effects = Vec::new();
    while effects.len() < EFFECTS_MAX {
        let Some(effect) = state.due().first().copied() else {
            break;
        };
        effects.push(effect);
        let performed = [
            Event::EffectStarted(Intent::Plain(effect)),
            Event::EffectDone(Fact::Plain(effect)),
        ];
        for event in performed {
            match next(&state, &event) {
                Ok(transition) => state = transition.state,
                Err(_) => return effects,
            }
        }
    }
    effects
}

#[cfg(test)]
mod tests;
