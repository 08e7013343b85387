//! The one world that all processes of a test share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::call::{Fault, Strike};
use super::durable::{Change, Durable, Happening};
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
    processes: AtomicU32,
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
            processes: AtomicU32::new(0),
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
        let number = self.0.processes.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Process::new(self.clone(), number))
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
        locked(&self.0.durable).cancel_rows(0, now_ms);
    }

    /// Somebody deletes every row.
    pub fn delete_rows(&self) {
        let deleted = Happening {
            at_ms: self.now_ms(),
            process: 0,
            change: Change::RowsDeleted,
        };
        let mut durable = locked(&self.0.durable);
        durable.rows.clear();
        durable.history.push(deleted);
    }

    /// The lease ends, whoever holds it.
    pub fn end_lease(&self) {
        let now_ms = self.now_ms();
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
