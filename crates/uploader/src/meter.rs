//! How much is under way and how much has arrived: counted by the adapters, read by the engine.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Bytes of one upload. What is shown of it never falls, whatever is sent again.
#[derive(Debug, Default)]
pub struct SentMeter(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    arrived: u64,
    /// By the offset of the body.
    under_way: HashMap<u64, u64>,
    shown: u64,
}

impl SentMeter {
    /// So many bytes of the body at `offset` were handed to the network in the present try.
    pub fn sent(&self, offset: u64, bytes: u64) {
        self.counts(|counts| {
            counts.under_way.insert(offset, bytes);
        });
    }

    /// The body at `offset` arrived whole.
    pub(crate) fn arrived(&self, offset: u64, bytes: u64) {
        self.counts(|counts| {
            counts.under_way.remove(&offset);
            counts.arrived += bytes;
        });
    }

    /// Nothing has arrived: another upload begins.
    pub(crate) fn begin_again(&self) {
        self.counts(|counts| {
            counts.under_way.clear();
            counts.arrived = 0;
        });
    }

    /// The most that was ever sent.
    pub(crate) fn shown(&self) -> u64 {
        self.counts(|counts| {
            let now = counts.arrived + counts.under_way.values().sum::<u64>();
            counts.shown = counts.shown.max(now);
            counts.shown
        })
    }

    fn counts<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        // Numbers are whole whatever a panicking holder was doing.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_never_falls() {
        let meter = SentMeter::default();
        meter.sent(0, 70);
        meter.sent(100, 30);
        assert_eq!(meter.shown(), 100);
        meter.sent(0, 10);
        assert_eq!(meter.shown(), 100, "a second try of the first body began");
        meter.arrived(0, 100);
        assert_eq!(meter.shown(), 130);
        meter.begin_again();
        meter.sent(0, 40);
        assert_eq!(meter.shown(), 130);
    }
}
