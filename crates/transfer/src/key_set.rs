//! A set of keys in little memory: sorted ranges, because keys that databases hand out lie close together.

/// Keys waiting to be merged.
const PENDING_MAX: usize = 1 << 14;

/// A growing set of 128-bit keys.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    /// Disjoint, ascending, not touching; both ends inclusive.
    ranges: Vec<(u128, u128)>,
    pending: Vec<u128>,
}

impl KeySet {
    pub(crate) fn insert(&mut self, key: u128) {
        // Children of one parent often come together.
        if self.pending.last() == Some(&key) {
            return;
        }
        self.pending.push(key);
        if self.pending.len() >= PENDING_MAX.max(self.ranges.len()) {
            self.merge();
        }
    }

    /// Memory held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<(u128, u128)>() + self.pending.capacity() * size_of::<u128>()
    }

    fn merge(&mut self) {
        self.pending.sort_unstable();
        self.pending.dedup();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(self.ranges.len() + 16);
        let mut old = std::mem::take(&mut self.ranges).into_iter().peekable();
        let mut new = self.pending.drain(..).map(|key| (key, key)).peekable();
        loop {
            let next = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) => {
                    if a.0 <= b.0 {
                        old.next()
                    } else {
                        new.next()
                    }
                }
                (Some(_), None) => old.next(),
                (None, Some(_)) => new.next(),
                (None, None) => break,
            };
            let Some(next) = next else { break };
            match merged.last_mut() {
                Some(last) if next.0 <= last.1.saturating_add(1) => last.1 = last.1.max(next.1),
                _ => merged.push(next),
            }
        }
        self.ranges = merged;
    }

    /// The first keys of this set that `parents` does not hold, at most `limit`.
    pub(crate) fn missing_from(&mut self, parents: &mut Self, limit: usize) -> Vec<u128> {
        self.merge();
        parents.merge();
        let mut missing = Vec::new();
        let mut at = 0;
        for &(start, end) in &self.ranges {
            let mut key = start;
            loop {
                while at < parents.ranges.len() && parents.ranges[at].1 < key {
                    at += 1;
                }
                let covered_to = match parents.ranges.get(at) {
                    Some(&(from, to)) if from <= key => to,
                    _ => {
                        missing.push(key);
                        if missing.len() == limit {
                            return missing;
                        }
                        key
                    }
                };
                if covered_to >= end {
                    break;
                }
                key = covered_to + 1;
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests;
