//! What may go wrong with a call, and which calls it may strike.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::Phase;

use super::call::{Call, Reach};

/// Where a fault may strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Of which process, counted from 1.
    pub process: u32,
    /// The how-manieth call of this process, from 1.
    pub number: u64,
    /// Which call.
    pub call: Call,
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It goes well.
    Nothing,
    /// It fails, and nothing took place.
    Fail(ErrorKind),
    /// It took place, and the caller gets [`ErrorKind::Unavailable`].
    LoseAnswer,
    /// The caller gets [`ErrorKind::Unavailable`]. It takes place all the same, and nobody sees it for so long, or until
    /// the next write, which waits for it: what an unfinished transaction holds stays locked.
    LandLate(Duration),
    /// The process ends.
    Crash(When),
    /// It took place; then the machine loses its power: its processes end, and what of its files was not synced is lost.
    PowerLoss,
    /// It takes so long, then goes well.
    Slow(Duration),
    /// It takes place at once, and its answer takes so long.
    SlowAnswer(Duration),
    /// Somebody writes `cancelled` into every open row just before.
    CancelOutside,
    /// The lease ends just before, whoever holds it.
    EndLease,
    /// The adapter has a bug.
    Panic,
}

/// When a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before the call took place.
    Before,
    /// After it took place, before its answer arrived.
    After,
    /// While it is under way: it takes place without its process, and nobody sees it for so long, or until the next
    /// write.
    InFlight(Duration),
}

/// A fault of a call without its numbers. What may go wrong with an effect of the whole program is the orchestrator's
/// `FaultKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named for the fault it stands for")]
pub enum CallFaultKind {
    Fail(ErrorKind),
    LoseAnswer,
    LandLate,
    CrashBefore,
    CrashAfter,
    CrashInFlight,
    PowerLoss,
    Slow,
    SlowAnswer,
    CancelOutside,
    EndLease,
    Panic,
}

impl Fault {
    /// Of which kind; `None` of [`Fault::Nothing`].
    #[must_use]
    pub fn kind(self) -> Option<CallFaultKind> {
        Some(match self {
            Self::Nothing => return None,
            Self::Fail(kind) => CallFaultKind::Fail(kind),
            Self::LoseAnswer => CallFaultKind::LoseAnswer,
            Self::LandLate(_) => CallFaultKind::LandLate,
            Self::Crash(When::Before) => CallFaultKind::CrashBefore,
            Self::Crash(When::After) => CallFaultKind::CrashAfter,
            Self::Crash(When::InFlight(_)) => CallFaultKind::CrashInFlight,
            Self::PowerLoss => CallFaultKind::PowerLoss,
            Self::Slow(_) => CallFaultKind::Slow,
            Self::SlowAnswer(_) => CallFaultKind::SlowAnswer,
            Self::CancelOutside => CallFaultKind::CancelOutside,
            Self::EndLease => CallFaultKind::EndLease,
            Self::Panic => CallFaultKind::Panic,
        })
    }
}

impl CallFaultKind {
    /// Every kind: [`CallFaultKind::Fail`] with each error kind, then the others.
    pub fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::LoseAnswer,
            Self::LandLate,
            Self::CrashBefore,
            Self::CrashAfter,
            Self::CrashInFlight,
            Self::PowerLoss,
            Self::Slow,
            Self::SlowAnswer,
            Self::CancelOutside,
            Self::EndLease,
            Self::Panic,
        ];
        ErrorKind::ALL.into_iter().map(Self::Fail).chain(others)
    }

    /// A fault of this kind; those that take time take `long`.
    #[must_use]
    pub fn fault(self, long: Duration) -> Fault {
        match self {
            Self::Fail(kind) => Fault::Fail(kind),
            Self::LoseAnswer => Fault::LoseAnswer,
            Self::LandLate => Fault::LandLate(long),
            Self::CrashBefore => Fault::Crash(When::Before),
            Self::CrashAfter => Fault::Crash(When::After),
            Self::CrashInFlight => Fault::Crash(When::InFlight(long)),
            Self::PowerLoss => Fault::PowerLoss,
            Self::Slow => Fault::Slow(long),
            Self::SlowAnswer => Fault::SlowAnswer(long),
            Self::CancelOutside => Fault::CancelOutside,
            Self::EndLease => Fault::EndLease,
            Self::Panic => Fault::Panic,
        }
    }
}

/// Why a fault of that kind can never strike that call; `None` if it can. Everything not named here must be struck.
#[must_use]
pub fn impossible(call: Call, kind: CallFaultKind) -> Option<&'static str> {
    let lands_later = matches!(kind, CallFaultKind::LandLate | CallFaultKind::CrashInFlight);
    match call.reach() {
        _ if call == Call::Update(Phase::Init) => {
            Some("a row gets its `init` by being inserted or opened again, never by an update")
        }
        Reach::Question if lands_later => {
            Some("a question leaves nothing at the server that could take place later")
        }
        Reach::Disk if lands_later => Some("the disk does nothing for a process that has ended or gone on"),
        Reach::Question | Reach::Disk | Reach::Server => None,
    }
}

/// Every pair of a call and a kind of fault that can strike it.
#[must_use]
pub fn pairs() -> Vec<(Call, CallFaultKind)> {
    let of = |call| CallFaultKind::all().map(move |kind| (call, kind));
    Call::ALL
        .into_iter()
        .flat_map(of)
        .filter(|&(call, kind)| impossible(call, kind).is_none())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_call_and_every_kind_is_counted_once() {
        assert_eq!(HashSet::from(Call::ALL).len(), Call::ALL.len());
        assert_eq!(
            CallFaultKind::all().collect::<HashSet<_>>().len(),
            CallFaultKind::all().count()
        );
        let possible = pairs().len();
        let all = Call::ALL.len() * CallFaultKind::all().count();
        assert!(possible < all && possible * 10 > all * 9, "{possible} of {all}");
        for kind in CallFaultKind::all() {
            assert_eq!(kind.fault(Duration::from_secs(1)).kind(), Some(kind));
        }
    }

    #[test]
    fn every_effect_has_a_call_that_can_be_struck() {
        for effect in metaferry_domain::effect::Effect::ALL {
            let call = Call::of(effect);
            assert!(pairs().iter().any(|(struck, _)| *struck == call), "{effect}");
        }
    }
}
