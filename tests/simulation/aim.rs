//! Which pair of a call and a fault a run is made for. Half of the runs aim at one pair each, in turn, in a scene in which
//! that call is certain to be made: so that all pairs are struck surely, and not by luck.

use std::time::Duration;

use metaferry_domain::ErrorKind;
use metaferry_domain::migration::Phase;
use metaferry_test_kit::fake::{Call, CallFaultKind, Fault, Strike};
use metaferry_test_kit::seed::Seed;

/// One pair, and at which occurrence of its call it strikes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    call: Call,
    kind: CallFaultKind,
    /// From 1.
    occurrence: u64,
    /// Where the fault takes time.
    long: Duration,
    /// Does anything else go wrong?
    pub(crate) besides: Besides,
    seen: u64,
}

/// What goes wrong beside the pair that a run aims at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Besides {
    /// Nothing: the first round over all pairs.
    Nothing,
    /// Whatever is drawn.
    Anything,
}

impl Aim {
    /// What the run of that seed aims at; every other run aims at nothing.
    pub(crate) fn of(seed: u64, pairs: &[(Call, CallFaultKind)]) -> Option<Self> {
        if seed % 2 == 1 {
            return None;
        }
        let (turn, among) = (seed / 2, pairs.len() as u64);
        let at = usize::try_from(turn % among).unwrap_or(0);
        let &(call, kind) = pairs.get(at)?;
        let mut drawn = Seed::new(seed ^ 0xa1a1);
        let besides = if turn < among {
            Besides::Nothing
        } else {
            Besides::Anything
        };
        Some(Self {
            call,
            kind,
            occurrence: match besides {
                Besides::Nothing => 1,
                Besides::Anything => [1, 1, 2, 3][usize::try_from(drawn.below(4)).unwrap_or(0)],
            },
            long: Duration::from_millis(drawn.below(match kind {
                // Longer than a server lets an unfinished transaction stand it cannot take.
                CallFaultKind::LandLate | CallFaultKind::CrashInFlight => 10_000,
                CallFaultKind::Fail(_)
                | CallFaultKind::LoseAnswer
                | CallFaultKind::CrashBefore
                | CallFaultKind::CrashAfter
                | CallFaultKind::PowerLoss
                | CallFaultKind::Slow
                | CallFaultKind::SlowAnswer
                | CallFaultKind::CancelOutside
                | CallFaultKind::EndLease
                | CallFaultKind::Panic => 60_000,
            })),
            besides,
            seen: 0,
        })
    }

    /// The fault, if this is the call; else what the scene itself needs to go wrong.
    pub(crate) fn draw(&mut self, strike: Strike) -> Option<Fault> {
        if strike.call == self.call {
            self.seen += 1;
            if self.seen == self.occurrence {
                return Some(self.kind.fault(self.long));
            }
        }
        let fails = match self.scene() {
            Scene::Fails | Scene::TriedAgain => strike.process == 1 && strike.call == Call::CompleteUpload,
            Scene::Straight | Scene::Interrupted | Scene::Cancelled | Scene::Refused | Scene::SendsAFile => {
                false
            }
        };
        fails.then_some(Fault::Fail(ErrorKind::Denied))
    }

    /// In which the call is made.
    pub(crate) fn scene(&self) -> Scene {
        match self.call {
            Call::AbortUpload | Call::Update(Phase::Error) => Scene::Fails,
            Call::Reopen | Call::ReadJournal => Scene::TriedAgain,
            Call::Update(Phase::Cancelled) => Scene::Interrupted,
            Call::CancelAll => Scene::Cancelled,
            Call::CurrentLease => Scene::Refused,
            Call::DescribeDump => Scene::SendsAFile,
            Call::Update(Phase::Init | Phase::Setup | Phase::Dump | Phase::Upload | Phase::Done)
            | Call::Acquire
            | Call::Renew
            | Call::Release
            | Call::Append
            | Call::Settle
            | Call::Migrations
            | Call::Insert
            | Call::GetRow
            | Call::NewestRows
            | Call::ReadOnlyBefore
            | Call::Engage
            | Call::Nodes
            | Call::StillWriting
            | Call::WatchWrites
            | Call::Prove
            | Call::RestoreReadOnly
            | Call::SchedulerBefore
            | Call::Quiesce
            | Call::RunningJobs
            | Call::RestoreScheduler
            | Call::Preflight
            | Call::StoreUndoScript
            | Call::ArmSwitch
            | Call::DisarmSwitch
            | Call::CopySnapshot
            | Call::CopyRows
            | Call::FinishDump
            | Call::SyncDump
            | Call::NameDump
            | Call::SyncFolder
            | Call::DiscardDump
            | Call::CreateUpload
            | Call::PutPart
            | Call::CompleteUpload
            | Call::VerifyObject
            | Call::CreateAtStore
            | Call::TellStore
            | Call::Notify => Scene::Straight,
        }
    }
}

/// What a program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// A migration that arrives.
    Straight,
    /// One that fails in the upload.
    Fails,
    /// The same, and then another attempt.
    TriedAgain,
    /// One that its own process stops.
    Interrupted,
    /// One that somebody cancels for every node.
    Cancelled,
    /// One beside which another process wants to begin.
    Refused,
    /// One that sends a file which somebody else made.
    SendsAFile,
}
