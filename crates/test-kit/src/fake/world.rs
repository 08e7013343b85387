//! The one world that all processes of a test share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::aftermath::Replayed;
use super::call::{Call, Reach};
use super::disk;
use super::durable::{Change, Durable, Happening};
use super::fault::{CallFaultKind, Fault, Strike};
use super::process::Process;
use crate::seed::Seed;

/// 2023-11-14: where the worlds' clocks begin, in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A lease that somebody took away is missed within so many milliseconds (a term, as long as tests' leases are);
/// one that runs out must have been given up before.
const NOTICED_WITHIN_MS: u64 = 30_000;

type Striking = Box<dyn FnMut(Strike) -> Fault + Send>;

/// What all processes share. Clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Shared>);

struct Shared {
    durable: Mutex<Durable>,
    striking: Mutex<Striking>,
    seed: Mutex<Seed>,
    began: Instant,
    /// Of each process, what tells it that it has ended.
    processes: Mutex<Vec<watch::Sender<bool>>>,
    /// What was true before a write that took place and is not seen yet.
    in_flight: Mutex<Option<InFlight>>,
    /// Which faults took effect, and at which calls.
    struck: Mutex<Vec<(Call, CallFaultKind)>>,
    sloppy: Mutex<Sloppy>,
}

/// A write that nobody sees yet.
struct InFlight {
    before: Box<Durable>,
    lands_at_ms: u64,
}

/// What in this world is not as it must be: a test of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sloppy {
    /// Nothing.
    Nowhere,
    /// The dumper does not sync its file.
    Dumper,
    /// The app DB answers before the newest entry of a journal is durable.
    Journal,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A world in which nothing has happened and nothing goes wrong; ids are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared {
            durable: Mutex::default(),
            striking: Mutex::new(Box::new(|_| Fault::Nothing)),
            seed: Mutex::new(Seed::new(seed)),
            began: Instant::now(),
            processes: Mutex::default(),
            in_flight: Mutex::default(),
            struck: Mutex::default(),
            sloppy: Mutex::new(Sloppy::Nowhere),
        }))
    }

    /// From now on, what happens to each call.
    pub fn strike(&self, striking: impl FnMut(Strike) -> Fault + Send + 'static) {
        *locked(&self.0.striking) = Box::new(striking);
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        self.strike(|_| Fault::Nothing);
    }

    /// A program starts.
    #[must_use]
    pub fn process(&self) -> Arc<Process> {
        let crashed = watch::Sender::new(false);
        let mut processes = locked(&self.0.processes);
        processes.push(crashed.clone());
        let number = u32::try_from(processes.len()).unwrap_or(u32::MAX);
        Arc::new(Process::new(self.clone(), number, crashed))
    }

    /// From now on something is not as it must be.
    pub fn is_sloppy(&self, sloppy: Sloppy) {
        *locked(&self.0.sloppy) = sloppy;
    }

    /// Which faults took effect so far, and at which calls, in order.
    #[must_use]
    pub fn struck(&self) -> Vec<(Call, CallFaultKind)> {
        locked(&self.0.struck).clone()
    }

    /// The machine loses its power: every process ends, and what was not synced is lost.
    pub fn lose_power(&self) {
        for process in &*locked(&self.0.processes) {
            process.send_replace(true);
        }
        let names = if self.draw() & 1 == 0 {
            disk::Unsynced::Kept
        } else {
            disk::Unsynced::Gone
        };
        let mut durable = locked(&self.0.durable);
        disk::lose_power(&mut durable.files, names);
        if *locked(&self.0.sloppy) == Sloppy::Journal
            && let Some(journal) = durable.journals.last_mut()
            && journal.entries.len() > 1
        {
            journal.entries.pop_last();
            journal.replayed = Replayed::default();
            for json in journal.entries.values() {
                journal.replayed.add(json);
            }
        }
    }

    /// What is durable now.
    #[must_use]
    pub fn durable(&self) -> Durable {
        locked(&self.0.durable).clone()
    }

    /// Changes what is durable, as somebody outside would.
    pub fn change(&self, change: impl FnOnce(&mut Durable)) {
        change(&mut locked(&self.0.durable));
    }

    /// Somebody writes `cancelled` into every open row.
    pub fn cancel_outside(&self) {
        let now_ms = self.now_ms();
        self.land();
        locked(&self.0.durable).cancel_rows(0, now_ms);
    }

    /// Somebody deletes every row.
    pub fn delete_rows(&self) {
        let deleted = Happening {
            at_ms: self.now_ms(),
            process: 0,
            change: Change::RowsDeleted,
        };
        self.land();
        let mut durable = locked(&self.0.durable);
        durable.rows.clear();
        durable.history.push(deleted);
    }

    /// The lease ends, whoever holds it.
    pub fn end_lease(&self) {
        let now_ms = self.now_ms();
        self.land();
        locked(&self.0.durable).end_lease(now_ms, now_ms + NOTICED_WITHIN_MS);
    }

    /// Milliseconds since 1970, by everybody's clock.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let passed = self.0.began.elapsed().as_millis();
        BEGINNING_MS.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Lets time pass, and everything happen that is due meanwhile.
    pub async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Acts on what is durable. With `lands_after` nobody sees it for so long, unless somebody writes before.
    pub(super) fn act<T>(
        &self,
        call: Call,
        lands_after: Option<Duration>,
        act: impl FnOnce(&mut Durable) -> T,
    ) -> T {
        let now_ms = self.now_ms();
        match call.reach() {
            // The store's own count of who looked is no matter of the app DB.
            Reach::Question if call != Call::VerifyObject => {
                let mut in_flight = locked(&self.0.in_flight);
                if let Some(in_flight) = &mut *in_flight
                    && now_ms < in_flight.lands_at_ms
                {
                    return act(&mut in_flight.before);
                }
            }
            Reach::Question | Reach::Disk => {}
            Reach::Server => self.land(),
        }
        let mut durable = locked(&self.0.durable);
        if let Some(after) = lands_after {
            let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            *locked(&self.0.in_flight) = Some(InFlight {
                before: Box::new(durable.clone()),
                lands_at_ms: now_ms.saturating_add(after_ms),
            });
        }
        act(&mut durable)
    }

    /// What is under way is seen from now on.
    fn land(&self) {
        *locked(&self.0.in_flight) = None;
    }

    pub(super) fn has_struck(&self, call: Call, kind: CallFaultKind) {
        locked(&self.0.struck).push((call, kind));
    }

    pub(super) fn is_careful(&self, about: Sloppy) -> bool {
        *locked(&self.0.sloppy) != about
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Durable> {
        locked(&self.0.durable)
    }

    pub(super) fn fault(&self, strike: Strike) -> Fault {
        (locked(&self.0.striking))(strike)
    }

    pub(super) fn draw(&self) -> u128 {
        let mut seed = locked(&self.0.seed);
        u128::from(seed.draw()) << 64 | u128::from(seed.draw())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of one effect is one of the faults; what it held is whole at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
