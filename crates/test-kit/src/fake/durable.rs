//! What survives a crash: the rows of the app DB, the files, the store; and a record of what changed and when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use metaferry_domain::lease::{FencingToken, LeaseRecord};
use metaferry_domain::migration::{MigrationId, Phase, RowId};
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::{Finding, MigrationRow, Notice};
use metaferry_domain::quiesce::{NodeEvidence, RunningJobs, Told};
use metaferry_domain::{ErrorKind, PortError};

use super::aftermath::Replayed;
use super::disk::DumpOnDisk;

/// Parts that every dump is sent in.
pub const PARTS: u32 = 4;

/// What survives a crash.
#[derive(Debug, Clone)]
pub struct Durable {
    /// The lease.
    pub lease: Option<LeaseRecord>,
    /// Who took it last, for how long (in milliseconds).
    pub holder: (String, u64),
    /// `cloud_migration`, oldest first.
    pub rows: Vec<MigrationRow>,
    /// The key of the newest row that ever was: keys are not given twice.
    pub newest_key: i64,
    /// Journals, oldest first.
    pub journals: Vec<Journal>,
    /// The setting `read-only-mode`.
    pub read_only: Option<String>,
    /// The dead man's switch.
    pub switch: Switch,
    /// Paused jobs, of [`Durable::jobs`].
    pub paused: BTreeSet<String>,
    /// Jobs there are.
    pub jobs: BTreeSet<String>,
    /// Jobs that run, whatever is paused.
    pub running_jobs: Vec<RunningJobs>,
    /// What shows how many nodes there are.
    pub nodes: NodeEvidence,
    /// Nodes that say that read-only is not on.
    pub unconvinced: Vec<String>,
    /// What preflight finds.
    pub findings: Vec<Finding>,
    /// Dumps.
    pub files: BTreeMap<PathBuf, DumpOnDisk>,
    /// Dumps whose snapshot was taken while somebody could write: none of them may be finished.
    pub unquiet: BTreeSet<PathBuf>,
    /// Dumps that a process began after its lease was taken away by force, which it did not know yet. A writer removes what it
    /// has not finished when it is dropped; the fakes leave it, and it is no promise broken.
    pub strays: BTreeSet<PathBuf>,
    /// What is at the store or in the bucket, by id or key.
    pub store: BTreeMap<String, ObjectAtStore>,
    /// What people were told.
    pub notices: Vec<Notice>,
    /// What changed, in order.
    pub history: Vec<Happening>,
    /// When the holder of each former lease must have stopped, in milliseconds since 1970.
    pub former_leases: BTreeMap<FencingToken, u64>,
    /// Promises that were seen broken.
    pub violations: Vec<String>,
}

/// Whether the dead man's switch is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is.
    Armed,
    /// There is none.
    None,
}

/// The journal of one migration.
#[derive(Debug, Clone)]
pub struct Journal {
    /// Whose.
    pub id: MigrationId,
    /// Marked as settled.
    pub settled: bool,
    /// Entries by number.
    pub entries: BTreeMap<u64, String>,
    /// The state that they lead to.
    pub(super) replayed: Replayed,
}

/// What the other shore has of one migration.
#[derive(Debug, Clone, Default)]
pub struct ObjectAtStore {
    /// Multipart uploads, by id.
    pub uploads: BTreeMap<String, UploadAtStore>,
    /// How often each part was sent.
    pub sent: BTreeMap<PartNumber, u32>,
    /// Its size in bytes, once it is there.
    pub size_bytes: Option<u64>,
    /// How often it was looked at and found well.
    pub verified: u32,
    /// How often it was told that everything is there.
    pub told: u32,
}

/// A multipart upload.
#[derive(Debug, Clone)]
pub struct UploadAtStore {
    /// Parts that are there.
    pub parts: BTreeSet<PartNumber>,
    /// How it stands.
    pub standing: UploadStanding,
    /// Its id reached the journal: whoever undoes knows of it.
    pub remembered: bool,
}

/// How a multipart upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadStanding {
    /// Takes parts, and costs money.
    Open,
    /// Is an object now.
    Completed,
    /// Dropped.
    Aborted,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// By which process; 0 for somebody outside.
    pub process: u32,
    /// What.
    pub change: Change,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The row was inserted, opened again or written.
    Row {
        /// Which.
        id: RowId,
        /// State.
        phase: Phase,
        /// Progress.
        progress: u8,
    },
    /// Somebody deleted every row.
    RowsDeleted,
    /// Read-only is this now.
    ReadOnly(Option<String>),
    /// So many jobs are paused now.
    Paused(usize),
    /// The snapshot was taken.
    Snapshot,
    /// The dump is finished.
    Dumped,
    /// The dump is gone.
    Discarded,
    /// A multipart upload was dropped.
    Aborted,
    /// The store was told.
    Told,
    /// The lease was given.
    Lease(FencingToken),
    /// The lease was given back.
    Released(FencingToken),
}

impl Default for Durable {
    fn default() -> Self {
        let jobs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            lease: None,
            holder: (String::new(), 0),
            rows: Vec::new(),
            newest_key: 0,
            journals: Vec::new(),
            read_only: Some("false".into()),
            switch: Switch::None,
            // One was paused by a person, and must stay so.
            paused: jobs(&["paused by a person"]),
            jobs: jobs(&["paused by a person", "sync", "pulse"]),
            running_jobs: Vec::new(),
            nodes: NodeEvidence {
                told: Told::BehindItsBack,
                check_ins: None,
                client_hosts: None,
            },
            unconvinced: Vec::new(),
            findings: Vec::new(),
            files: BTreeMap::new(),
            unquiet: BTreeSet::new(),
            strays: BTreeSet::new(),
            store: BTreeMap::new(),
            notices: Vec::new(),
            history: Vec::new(),
            former_leases: BTreeMap::new(),
            violations: Vec::new(),
        }
    }
}

impl Durable {
    /// May a write under this token go through at `now_ms`?
    pub(super) fn prove(&self, token: FencingToken, now_ms: u64) -> Result<(), PortError> {
        let admitted = self
            .lease
            .is_some_and(|record| record.admits(token, signed(now_ms)));
        if admitted {
            return Ok(());
        }
        Err(PortError::new(
            ErrorKind::Precondition,
            format!("the lease with token {token} is lost"),
        ))
    }

    /// Nothing of Metabase's is changed without a switch that would put it back.
    pub(super) fn must_be_guarded(&mut self) {
        if self.switch == Switch::None {
            self.violations
                .push("Metabase is changed, and there is no switch".to_owned());
        }
    }

    /// The switch goes last.
    pub(super) fn must_be_put_back(&mut self) {
        let before = Self::default();
        if self.read_only.as_deref() == Some("true") || self.paused != before.paused {
            self.violations
                .push("the switch is taken away, and Metabase is not as it was".to_owned());
        }
    }

    /// Ends the lease, whoever holds it, who must have stopped at `over_at_ms`.
    pub(super) fn end_lease(&mut self, now_ms: u64, over_at_ms: u64) {
        if let Some(record) = &mut self.lease
            && record.is_held(signed(now_ms))
        {
            record.ends_at_ms = None;
            self.former_leases.insert(record.token, over_at_ms);
        }
    }

    /// When a holder of this token must have stopped, in milliseconds since 1970; `None` if it was never given.
    pub(super) fn over_at_ms(&self, token: FencingToken) -> Option<u64> {
        let by_its_term = self
            .lease
            .filter(|record| record.token == token)
            .and_then(|record| record.ends_at_ms)
            .map(i64::unsigned_abs);
        by_its_term.or_else(|| self.former_leases.get(&token).copied())
    }

    /// Writes `cancelled` into every open row; answers how many.
    pub(super) fn cancel_rows(&mut self, process: u32, now_ms: u64) -> u64 {
        let mut cancelled = 0;
        for row in self.rows.iter_mut().filter(|row| !row.phase.is_terminal()) {
            row.phase = Phase::Cancelled;
            row.updated_at.micros = micros(now_ms);
            cancelled += 1;
            self.history.push(Happening {
                at_ms: now_ms,
                process,
                change: Change::Row {
                    id: row.id,
                    phase: row.phase,
                    progress: row.progress,
                },
            });
        }
        cancelled
    }

    /// When the last change of that sort happened, in milliseconds since 1970.
    pub fn last(&self, wanted: impl Fn(&Change) -> bool) -> Option<u64> {
        let newest = self
            .history
            .iter()
            .rev()
            .find(|happening| wanted(&happening.change))?;
        Some(newest.at_ms)
    }
}

pub(super) fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

pub(super) fn micros(ms: u64) -> i64 {
    signed(ms).saturating_mul(1000)
}
