//! One run of a program: every port call goes through here, and faults strike here.

use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use metaferry_domain::effect::Effect;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::ports::{Clock, DumpRequest, IdSource};
use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::watch;
use uuid::Uuid;

use super::call::Call;
use super::durable::{Change, Durable, Happening};
use super::fault::{Fault, Strike, When};
use super::world::World;

/// How long every call takes.
const LATENCY: Duration = Duration::from_millis(1);

/// One run of a program. It implements every port.
#[derive(Debug)]
pub struct Process {
    pub(super) world: World,
    number: u32,
    calls: AtomicU64,
    crashed: watch::Sender<bool>,
    /// The newest lease that it was given.
    token: Mutex<Option<FencingToken>>,
    /// The dump that it has begun.
    pub(super) dump: Mutex<Option<DumpRequest>>,
}

impl Process {
    pub(super) fn new(world: World, number: u32, crashed: watch::Sender<bool>) -> Self {
        Self {
            world,
            number,
            calls: AtomicU64::new(0),
            crashed,
            token: Mutex::new(None),
            dump: Mutex::new(None),
        }
    }

    /// Calls that it made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Ends it: none of its calls returns any more.
    pub fn crash(&self) {
        self.crashed.send_replace(true);
    }

    /// Returns when it has crashed.
    pub async fn crashed(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    async fn alive(&self) {
        if *self.crashed.borrow() {
            pending::<()>().await;
        }
    }

    /// Makes one call: waits, lets a fault strike, acts on what is durable.
    pub(super) async fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Durable, Moment) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        self.alive().await;
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.world.fault(Strike {
            process: self.number,
            number,
            call,
        });
        tokio::time::sleep(if let Fault::Slow(duration) = fault {
            duration
        } else {
            LATENCY
        })
        .await;
        self.alive().await;
        if let Some(kind) = fault.kind() {
            self.world.has_struck(call, kind);
        }
        let mut lands_after = None;
        match fault {
            Fault::Fail(kind) => return Err(PortError::new(kind, format!("{call:?} failed"))),
            Fault::Crash(When::Before) => {
                self.crash();
                self.alive().await;
            }
            Fault::Panic => panic!("a bug in {call:?}"),
            Fault::CancelOutside => self.world.cancel_outside(),
            Fault::EndLease => self.world.end_lease(),
            Fault::LandLate(duration) | Fault::Crash(When::InFlight(duration)) => {
                lands_after = Some(duration)
            }
            Fault::Nothing
            | Fault::LoseAnswer
            | Fault::SlowAnswer(_)
            | Fault::Crash(When::After)
            | Fault::PowerLoss
            | Fault::Slow(_) => {}
        }
        let moment = Moment {
            now_ms: self.world.now_ms(),
            process: self.number,
        };
        let result = self.world.act(call, lands_after, |durable| act(durable, moment));
        match fault {
            Fault::Crash(When::After | When::InFlight(_)) => {
                self.crash();
                self.alive().await;
            }
            Fault::PowerLoss => {
                self.world.lose_power();
                self.alive().await;
            }
            Fault::SlowAnswer(duration) => {
                tokio::time::sleep(duration).await;
                self.alive().await;
            }
            Fault::LoseAnswer | Fault::LandLate(_) => {
                return Err(PortError::new(
                    ErrorKind::Unavailable,
                    format!("no answer to {call:?}"),
                ));
            }
            Fault::Nothing
            | Fault::Fail(_)
            | Fault::Crash(When::Before)
            | Fault::Slow(_)
            | Fault::CancelOutside
            | Fault::EndLease
            | Fault::Panic => {}
        }
        result
    }

    /// A call that changes something outside the app DB, where no token is proved: that the process may is checked
    /// here, for the test.
    pub(super) async fn change_outside<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut Durable, Moment) -> Result<T, PortError> + Send,
    ) -> Result<T, PortError> {
        let token = *self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.call(call, move |durable, moment| {
            let over_at_ms = token.and_then(|token| durable.over_at_ms(token));
            if over_at_ms.is_none_or(|over_at_ms| over_at_ms <= moment.now_ms) {
                durable.violations.push(format!(
                    "{call:?} by process {} at {} without the lease ({token:?}, over at {over_at_ms:?})",
                    moment.process, moment.now_ms
                ));
            }
            act(durable, moment)
        })
        .await
    }

    /// Does it hold the lease at that moment?
    pub(super) fn acts(&self, durable: &Durable, moment: Moment) -> bool {
        let token = *self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        token.is_some_and(|token| durable.prove(token, moment.now_ms).is_ok())
    }

    /// Nothing is done that the journal does not know of: judged while the lease is held, by whoever does it.
    pub(super) fn must_be_announced(&self, effect: Effect, durable: &mut Durable, moment: Moment) {
        // Of a settled one the mark may be missing: it is not the only one to ask.
        let announced = durable.journals.iter().any(|journal| {
            let state = journal.replayed.state();
            !journal.settled && state.is_ok_and(|state| state.run().running.contains(&effect))
        });
        if !announced && self.acts(durable, moment) {
            durable
                .violations
                .push(format!("{effect} was begun before it was announced"));
        }
    }

    pub(super) fn holds(&self, token: FencingToken) {
        *self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(token);
    }
}

/// When a call takes place, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ms: u64,
    pub(super) process: u32,
}

impl Moment {
    pub(super) fn records(self, durable: &mut Durable, change: Change) {
        durable.history.push(Happening {
            at_ms: self.now_ms,
            process: self.process,
            change,
        });
    }
}

#[async_trait]
impl Clock for Process {
    fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    async fn sleep(&self, duration: Duration) {
        self.alive().await;
        tokio::time::sleep(duration).await;
        self.alive().await;
    }
}

impl IdSource for Process {
    fn new_id(&self) -> Uuid {
        Uuid::from_u128(self.world.draw())
    }
}
