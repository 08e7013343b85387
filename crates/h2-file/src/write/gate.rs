//! Who may still stop a finished file from getting its name.

use std::sync::{Mutex, PoisonError};

/// Stands before the last step of a writer that finishes on a thread of its own. Whoever waits for it may go away and
/// close the gate: afterwards the file never gets its name.
#[derive(Debug, Default)]
pub struct PublishGate(Mutex<Passage>);

#[derive(Debug, Default)]
enum Passage {
    #[default]
    Open,
    Closed,
}

impl PublishGate {
    /// From when this returns on, no writer behind this gate gives its file a name; one that is just doing so has done it.
    pub fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Passage::Closed;
    }

    /// Runs the last step unless the gate is closed; `None` if it is.
    pub(crate) fn pass<T>(&self, step: impl FnOnce() -> T) -> Option<T> {
        let passage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *passage {
            Passage::Open => Some(step()),
            Passage::Closed => None,
        }
    }
}
