//! One whole number from 0 to 100 for everybody who watches.

use std::fmt;

use crate::effect::Effect;
use crate::migration::Phase;

/// Progress of an attempt in whole percents. It only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Progress(u8);

impl Progress {
    /// The number, 0 to 100.
    #[must_use]
    pub fn percent(self) -> u8 {
        self.0
    }

    /// The higher of the two.
    #[must_use]
    pub fn raised_to(self, other: Self) -> Self {
        self.max(other)
    }

    /// Where a phase begins: `init` 0, `setup` 1, `dump` 20, `upload` 51, `done` 100. `None` for `error` and
    /// `cancelled`: these keep the number that was reached.
    #[must_use]
    pub fn at_start_of(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Init => Some(Self(0)),
            Phase::Setup => Some(Self(1)),
            Phase::Dump => Some(Self(20)),
            Phase::Upload => Some(Self(51)),
            Phase::Done => Some(Self(100)),
            Phase::Error | Phase::Cancelled => None,
        }
    }

    /// How far the migration is when `effect` has done `percent` of its work (more than 100 counts as 100):
    /// copying 20 to 44, finishing the dump 45 to 50, uploading the integer part of 51 + 48 × percent / 100.
    /// `None` for effects that do not tell how far they are.
    #[must_use]
    pub fn within(effect: Effect, percent: u8) -> Option<Self> {
        let percent = percent.min(100);
        let scaled = |from: u8, width: u8| {
            let share = u16::from(width) * u16::from(percent) / 100;
            Self(from + u8::try_from(share).unwrap_or(width))
        };
        match effect {
            Effect::CopySnapshot => Some(scaled(20, 24)),
            Effect::FinishDump => Some(scaled(45, 5)),
            Effect::UploadDump => Some(scaled(51, 48)),
            Effect::Preflight
            | Effect::AcquireLease
            | Effect::CreateAtStore
            | Effect::InsertRow
            | Effect::StoreUndoScript
            | Effect::ArmSwitch
            | Effect::ReadOnlyOn
            | Effect::AwaitReadOnly
            | Effect::QuiesceScheduler
            | Effect::AwaitRunningJobs
            | Effect::ProveReadOnlyHeld
            | Effect::RestoreScheduler
            | Effect::RestoreReadOnly
            | Effect::DisarmSwitch
            | Effect::VerifyObject
            | Effect::TellStore
            | Effect::DeleteDump
            | Effect::AbortUpload
            | Effect::WriteState(_)
            | Effect::WriteProgress
            | Effect::ReleaseLease => None,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much `done` is of `of` in whole percents, rounded down; nothing to do counts as done.
#[must_use]
pub fn percent_of(done: u64, of: u64) -> u8 {
    if of == 0 {
        return 100;
    }
    let percent = u128::from(done.min(of)) * 100 / u128::from(of);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_maps_percents_as_the_application_itself_does() {
        let at = |percent| Progress::within(Effect::UploadDump, percent).unwrap().percent();
        assert_eq!(
            [at(0), at(1), at(50), at(99), at(100), at(255)],
            [51, 51, 75, 98, 99, 99]
        );
    }

    #[test]
    fn dump_stays_within_20_and_50_and_upload_within_51_and_99() {
        for percent in 0..=100 {
            let at = |effect| Progress::within(effect, percent).unwrap().percent();
            assert!((20..=44).contains(&at(Effect::CopySnapshot)));
            assert!((45..=50).contains(&at(Effect::FinishDump)));
            assert!((51..=99).contains(&at(Effect::UploadDump)));
        }
    }

    #[test]
    fn percents_round_down_and_survive_large_numbers() {
        assert_eq!(percent_of(0, 0), 100);
        assert_eq!(percent_of(999, 1000), 99);
        assert_eq!(percent_of(u64::MAX - 1, u64::MAX), 99);
        assert_eq!(percent_of(7, 5), 100);
    }
}
