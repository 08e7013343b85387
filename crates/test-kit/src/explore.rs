//! Exhaustive exploration of a model: every state that can be reached, breadth first, so that what is found wrong comes
//! with a shortest way to it; and whether every state can still come to rest.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

/// What may be explored: states, the steps between them, and what must be true.
pub trait Model {
    /// One state; compared and hashed whole, so the smaller the better.
    type State: Clone + Eq + Hash + Debug;
    /// What a step is called in a trace.
    type Step: Copy + Debug;

    /// Where it begins.
    fn begin(&self) -> Self::State;

    /// Every step from `state`.
    ///
    /// # Errors
    /// In words, if a step itself does what must never be done.
    fn steps(
        &mut self,
        state: &Self::State,
        ways: &mut Ways<Self::State, Self::Step>,
    ) -> Result<(), (Self::Step, String)>;

    /// What must be true in every state.
    ///
    /// # Errors
    /// In words, if it is not.
    fn check(&mut self, state: &Self::State) -> Result<(), String>;

    /// Whether nothing is left to do: from every state such a one must be within reach by calm steps.
    fn rests(&self, state: &Self::State) -> bool;
}

/// Steps from one state.
#[derive(Debug)]
pub struct Ways<S, L> {
    ways: Vec<(S, L, Kind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Calm,
    Fault,
}

impl<S, L> Ways<S, L> {
    /// A step that belongs to a world in which nothing goes wrong.
    pub fn calm(&mut self, step: L, to: S) {
        self.ways.push((to, step, Kind::Calm));
    }

    /// Something goes wrong.
    pub fn fault(&mut self, step: L, to: S) {
        self.ways.push((to, step, Kind::Fault));
    }
}

/// A model that was explored and in which nothing was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explored {
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Steps of the longest of the shortest ways.
    pub depth: usize,
    /// States in which nothing is left to do.
    pub at_rest: usize,
}

/// What is wrong.
#[derive(Debug, Clone)]
pub struct Wrong {
    /// In words.
    pub what: String,
    /// A shortest way there, one step a line, then the state.
    pub trace: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.what, self.trace)
    }
}

/// Explores all of a model; refused beyond `states_max` states.
///
/// # Errors
/// The first thing that is wrong, with a shortest way to it.
pub fn explore<M: Model>(model: &mut M, states_max: usize) -> Result<Explored, Wrong> {
    let mut known = Known::new();
    known.insert(model.begin(), usize::MAX);
    let mut calm = Edges::default();
    let mut ways = Ways { ways: Vec::new() };
    let (mut at, mut steps, mut depth) = (0, 0, 0);
    let mut depth_ends = 1;
    while at < known.states.len() {
        if at == depth_ends {
            depth += 1;
            depth_ends = known.states.len();
        }
        let state = known.states[at].clone();
        if let Err(what) = model.check(&state) {
            return Err(known.wrong(model, at, None, what));
        }
        if let Err((step, what)) = model.steps(&state, &mut ways) {
            return Err(known.wrong(model, at, Some(step), what));
        }
        steps += ways.ways.len();
        for (to, _, kind) in ways.ways.drain(..) {
            let to = known.insert(to, at);
            if kind == Kind::Calm {
                calm.ends.push(to);
            }
        }
        calm.begins.push(calm.ends.len());
        if known.states.len() > states_max {
            return Err(known.wrong(model, at, None, format!("more than {states_max} states")));
        }
        at += 1;
    }
    let resting: Vec<usize> = (0..known.states.len())
        .filter(|at| model.rests(&known.states[*at]))
        .collect();
    if let Some(at) = calm.first_that_never_gets_to(&resting) {
        return Err(known.wrong(model, at, None, "it never comes to rest".to_owned()));
    }
    Ok(Explored {
        states: known.states.len(),
        steps,
        depth,
        at_rest: resting.len(),
    })
}

/// Every state with its number, and from which one it was found.
struct Known<S> {
    states: Vec<S>,
    found_from: Vec<u32>,
    /// Numbers plus one, by hash; 0 is free. Never more than half full.
    slots: Vec<u32>,
}

impl<S: Clone + Eq + Hash + Debug> Known<S> {
    fn new() -> Self {
        Self {
            states: Vec::new(),
            found_from: Vec::new(),
            slots: vec![0; 1 << 16],
        }
    }

    /// Its number, whether it is new or not.
    fn insert(&mut self, state: S, from: usize) -> usize {
        let mut slot = self.slot_of(&state);
        loop {
            let there = self.slots[slot] as usize;
            if there == 0 {
                break;
            }
            if self.states[there - 1] == state {
                return there - 1;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.states.push(state);
        self.found_from.push(number(from.wrapping_add(1)));
        let new = self.states.len();
        self.slots[slot] = number(new);
        if new * 2 > self.slots.len() {
            self.grow();
        }
        new - 1
    }

    fn slot_of(&self, state: &S) -> usize {
        let mut hasher = Mixing(0);
        state.hash(&mut hasher);
        // The high bits are mixed best.
        let bits = self.slots.len().trailing_zeros();
        usize::try_from(hasher.finish() >> (64 - bits)).unwrap_or(0)
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 4];
        for at in 0..self.states.len() {
            let mut slot = self.slot_of(&self.states[at]);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (self.slots.len() - 1);
            }
            self.slots[slot] = number(at + 1);
        }
    }

    /// The way to a state, found again by taking every step anew.
    fn wrong<M>(&self, model: &mut M, at: usize, last: Option<M::Step>, what: String) -> Wrong
    where
        M: Model<State = S>,
    {
        let mut way = vec![at];
        while self.found_from[way[way.len() - 1]] != 0 {
            way.push(self.found_from[way[way.len() - 1]] as usize - 1);
        }
        way.reverse();
        let mut lines = Vec::new();
        let mut ways = Ways { ways: Vec::new() };
        for pair in way.windows(2) {
            ways.ways.clear();
            // It was taken before: what is wrong comes later.
            let _ = model.steps(&self.states[pair[0]], &mut ways);
            let step = ways.ways.iter().find(|(to, ..)| *to == self.states[pair[1]]);
            lines.push(step.map_or_else(|| "?".to_owned(), |(_, step, _)| format!("{step:?}")));
        }
        lines.extend(last.map(|step| format!("{step:?}")));
        lines.push(format!("{:#?}", self.states[at]));
        Wrong {
            what,
            trace: lines.join("\n"),
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("no model here has four thousand million states")
}

/// Calm steps, by the number of the state they lead from.
struct Edges {
    begins: Vec<usize>,
    ends: Vec<usize>,
}

impl Default for Edges {
    fn default() -> Self {
        Self {
            begins: vec![0],
            ends: Vec::new(),
        }
    }
}

impl Edges {
    fn first_that_never_gets_to(&self, goals: &[usize]) -> Option<usize> {
        let states = self.begins.len() - 1;
        let mut gets_there = vec![false; states];
        let mut leads_here: Vec<Vec<u32>> = vec![Vec::new(); states];
        for from in 0..states {
            for to in &self.ends[self.begins[from]..self.begins[from + 1]] {
                leads_here[*to].push(number(from));
            }
        }
        let mut open: Vec<usize> = goals.to_vec();
        while let Some(at) = open.pop() {
            if !std::mem::replace(&mut gets_there[at], true) {
                open.extend(leads_here[at].iter().map(|from| *from as usize));
            }
        }
        gets_there.iter().position(|gets| !gets)
    }
}

/// Fast, and good enough for states that nobody has chosen to collide.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mixing(u64);

impl Mixing {
    #[inline]
    fn mix(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 29;
    }
}

impl Hasher for Mixing {
    fn write(&mut self, bytes: &[u8]) {
        for eight in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.mix(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        // The high bits are used, and short states end in few rounds.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[cfg(test)]
mod tests;
