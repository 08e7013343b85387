//! Which faults strike in a run, and how often: drawn from its seed.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::Phase;
use metaferry_test_kit::fake::{Call, CallFaultKind, Fault, Strike, impossible};
use metaferry_test_kit::seed::Seed;

use crate::aim::{Aim, Besides};

/// The faults of one run.
pub(crate) struct Faults {
    aim: Option<Aim>,
    seed: Seed,
    /// Of a thousand calls so many are struck.
    per_mille: u64,
    /// Every so manieth call takes longer.
    slow_each: u64,
    /// A call that never works, of these.
    broken: Option<Call>,
}

const MAY_BE_BROKEN: [Call; 12] = [
    Call::Append,
    Call::Renew,
    Call::Engage,
    Call::Quiesce,
    Call::RestoreReadOnly,
    Call::RestoreScheduler,
    Call::DiscardDump,
    Call::AbortUpload,
    Call::PutPart,
    Call::VerifyObject,
    Call::Update(Phase::Done),
    Call::Update(Phase::Error),
];

impl Faults {
    pub(crate) fn of(seed: &mut Seed, aim: Option<Aim>) -> Self {
        let is_aimed = aim.is_some();
        Self {
            per_mille: seed.one_of(&[0, 3, 10, 30, 100]).unwrap_or(0),
            slow_each: seed.one_of(&[3, 10, 100]).unwrap_or(100),
            broken: (seed.below(4) == 0 && !is_aimed)
                .then(|| seed.one_of(&MAY_BE_BROKEN))
                .flatten(),
            seed: Seed::new(seed.draw()),
            aim,
        }
    }

    pub(crate) fn draw(&mut self, strike: Strike) -> Fault {
        if let Some(aim) = &mut self.aim {
            if let Some(fault) = aim.draw(strike) {
                return fault;
            }
            if aim.besides == Besides::Nothing {
                return Fault::Nothing;
            }
        }
        if self.broken == Some(strike.call) {
            return self.failure();
        }
        if self.seed.below(1_000) < self.per_mille {
            let fault = self.some();
            let is_possible = fault
                .kind()
                .is_none_or(|kind| impossible(strike.call, kind).is_none());
            return if is_possible { fault } else { Fault::LoseAnswer };
        }
        if self.seed.below(self.slow_each) == 0 {
            return Fault::Slow(Duration::from_millis(self.seed.below(700)));
        }
        Fault::Nothing
    }

    fn some(&mut self) -> Fault {
        let which = self.seed.below(12);
        let mut long = |below| Duration::from_millis(self.seed.below(below));
        match which {
            0 => CallFaultKind::CrashBefore.fault(Duration::ZERO),
            1 => CallFaultKind::CrashAfter.fault(Duration::ZERO),
            2 => Fault::CancelOutside,
            3 => Fault::EndLease,
            4 => Fault::LoseAnswer,
            5 => Fault::LandLate(long(10_000)),
            6 => CallFaultKind::CrashInFlight.fault(long(10_000)),
            7 => Fault::SlowAnswer(long(2_000)),
            8 => Fault::Slow(long(60_000)),
            9 if self.seed.below(3) == 0 => Fault::PowerLoss,
            9 => Fault::Panic,
            _ => self.failure(),
        }
    }

    fn failure(&mut self) -> Fault {
        Fault::Fail(
            self.seed
                .one_of(&ErrorKind::ALL)
                .unwrap_or(ErrorKind::Unavailable),
        )
    }
}
