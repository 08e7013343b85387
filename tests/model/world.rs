//! What is durable: the app DB, the disk, the other shore. A node's memory is not here.

use std::hash::{Hash, Hasher};

use metaferry_domain::lease::{FencingToken, LeaseRecord, take};
use metaferry_domain::migration::Phase;

use crate::machine::StateId;
use crate::mutants::Broken;

/// The text that we write into the setting.
pub(crate) const OURS: &str = "true";

/// Migrations that may begin in one history.
pub(crate) const MIGRATIONS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct World {
    pub(crate) lease: Lease,
    pub(crate) of: [Migration; MIGRATIONS],
    /// Which migration's row is the newest, from 1; 0 if there is no row.
    pub(crate) newest_row: u8,
    pub(crate) setting: Setting,
    /// What people last wanted of it.
    pub(crate) wanted: Setting,
    pub(crate) jobs: Jobs,
    pub(crate) switch: Switch,
}

/// The lease, and the order in which it was really given: what tells two holders apart if the token does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Lease {
    pub(crate) token: u8,
    pub(crate) given: u8,
    pub(crate) term: Term,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Term {
    /// Given back, or never given.
    #[default]
    Free,
    /// It lasts.
    Lasts,
    /// The database's clock has passed its end.
    Over,
}

/// All that is durable of one migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Migration {
    /// Where its journal leads.
    pub(crate) journal: StateId,
    pub(crate) mark: Mark,
    pub(crate) row: Row,
    pub(crate) file: File,
    pub(crate) shores: [Shore; MIGRATIONS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Mark {
    #[default]
    None,
    Settled,
}

/// A row, with the attempt whose id it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Row {
    pub(crate) says: Option<Phase>,
    pub(crate) attempt: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct File {
    pub(crate) made: Made,
    pub(crate) snapshot: Stillness,
    pub(crate) made_by: Maker,
}

/// Who made a file. No token can be proved to a disk: who stood still between announcing and making it may come late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Maker {
    #[default]
    Holder,
    Late,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Made {
    #[default]
    None,
    Partly,
    Whole,
}

/// Could anybody write while the snapshot was read?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Stillness {
    #[default]
    Still,
    Disturbed,
}

/// The other shore of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Shore {
    pub(crate) upload: Upload,
    pub(crate) object: Object,
    pub(crate) told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Upload {
    #[default]
    None,
    /// Begun, and its id is in no journal: nobody can know of it.
    Unknown,
    Open,
    Complete,
    Aborted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Object {
    #[default]
    NotSeen,
    Verified(Stillness),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Told {
    #[default]
    No,
    Yes,
}

/// The setting `read-only-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Setting {
    /// As it was in the beginning.
    #[default]
    First,
    /// As somebody else has set it.
    Theirs,
    /// Read-only, by us.
    Ours,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) enum Jobs {
    #[default]
    Run,
    Paused,
}

/// The dead man's switch, with what it would put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Switch {
    pub(crate) armed: bool,
    pub(crate) setting: Option<Setting>,
    pub(crate) jobs: Option<Jobs>,
}

/// The end of every term by the database's clock, in the domain's own rules.
const END_MS: i64 = 1_000;

impl Lease {
    fn record(self) -> Option<LeaseRecord> {
        (self.token > 0).then_some(LeaseRecord {
            token: FencingToken(u64::from(self.token)),
            ends_at_ms: match self.term {
                Term::Free => None,
                Term::Lasts | Term::Over => Some(END_MS),
            },
        })
    }

    fn now_ms(self) -> i64 {
        match self.term {
            Term::Free | Term::Lasts => END_MS - 1,
            Term::Over => END_MS,
        }
    }

    /// May a write under that token go through?
    pub(crate) fn admits(self, token: u8, broken: Broken) -> bool {
        if broken == Broken::WritesUnfenced {
            return true;
        }
        let now_ms = if broken == Broken::TermUnchecked {
            END_MS - 1
        } else {
            self.now_ms()
        };
        let token = FencingToken(u64::from(token));
        self.record().is_some_and(|record| record.admits(token, now_ms))
    }

    pub(crate) fn is_held(self) -> bool {
        self.record().is_some_and(|record| record.is_held(self.now_ms()))
    }

    /// Gives it to whoever asks, if nobody has it.
    pub(crate) fn take(&mut self, broken: Broken) -> bool {
        let now_ms = if broken == Broken::TakenByOwnClock {
            END_MS
        } else {
            self.now_ms()
        };
        let Some(token) = take(self.record(), now_ms) else {
            return false;
        };
        if broken != Broken::TokenStays || self.token == 0 {
            self.token = u8::try_from(token.0).expect("few leases");
        }
        self.given += 1;
        self.term = Term::Lasts;
        true
    }

    /// Takes it back from whoever has that token.
    pub(crate) fn give_back(&mut self, token: u8) {
        if self.token == token {
            self.term = Term::Free;
        }
    }
}

impl Row {
    pub(crate) fn is_open(self) -> bool {
        self.says.is_some_and(|phase| !phase.is_terminal())
    }
}

/// Hashed in a few words: this is most of what exploring costs.
impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for migration in &self.of {
            state.write_u64(migration.bits());
        }
        let bits = Bits::default()
            .and(self.lease.token, 8)
            .and(self.lease.given, 8)
            .and(self.lease.term as u8, 2)
            .and(self.newest_row, 4)
            .and(self.setting as u8, 2)
            .and(self.wanted as u8, 2)
            .and(self.jobs as u8, 1)
            .and(u8::from(self.switch.armed), 1)
            .and(self.switch.setting.map_or(0, |setting| setting as u8 + 1), 2)
            .and(self.switch.jobs.map_or(0, |jobs| jobs as u8 + 1), 2);
        state.write_u64(bits.0);
    }
}

impl Migration {
    fn bits(&self) -> u64 {
        let mut bits = Bits(u64::from(self.journal.number()))
            .and(self.mark as u8, 1)
            .and(self.row.says.map_or(0, |phase| phase as u8 + 1), 3)
            .and(self.row.attempt, 2)
            .and(self.file.made as u8, 2)
            .and(self.file.snapshot as u8, 1)
            .and(self.file.made_by as u8, 1);
        for shore in &self.shores {
            let object = match shore.object {
                Object::NotSeen => 0,
                Object::Verified(stillness) => stillness as u8 + 1,
            };
            bits = bits
                .and(shore.upload as u8, 3)
                .and(object, 2)
                .and(shore.told as u8, 1);
        }
        bits.0
    }
}

/// Small numbers side by side.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bits(pub(crate) u64);

impl Bits {
    pub(crate) fn and(self, value: u8, width: u8) -> Self {
        Self(self.0 << width | u64::from(value))
    }
}

impl World {
    /// Puts back what was changed, once the lease has run out; `None` if there is nothing to do.
    pub(crate) fn tripped(mut self) -> Option<Self> {
        let has_work = self.switch.setting.is_some() || self.switch.jobs.is_some();
        if !self.switch.armed || self.lease.is_held() || !has_work {
            return None;
        }
        if let Some(before) = self.switch.setting.take()
            && self.setting == Setting::Ours
        {
            self.setting = before;
        }
        if let Some(before) = self.switch.jobs.take() {
            self.jobs = before;
        }
        Some(self)
    }

    /// Somebody sets every open row to `cancelled`; `None` if there is none.
    pub(crate) fn rows_cancelled(mut self) -> Option<Self> {
        let mut any = false;
        for row in self.of.iter_mut().map(|migration| &mut migration.row) {
            if row.is_open() {
                row.says = Some(Phase::Cancelled);
                any = true;
            }
        }
        any.then_some(self)
    }

    /// Somebody deletes a row.
    pub(crate) fn row_deleted(mut self, slot: usize) -> Self {
        self.of[slot].row = Row::default();
        let others = (0..MIGRATIONS)
            .rev()
            .find(|other| self.of[*other].row.says.is_some());
        if self.newest_row == number(slot) {
            self.newest_row = others.map_or(0, number);
        }
        self
    }
}

/// A migration's number, from 1.
pub(crate) fn number(slot: usize) -> u8 {
    u8::try_from(slot + 1).expect("few migrations")
}
