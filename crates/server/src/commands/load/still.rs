//! A still copy of an H2 file that is rewritten faster than a database takes its rows: a file takes them faster, and
//! what is loaded then comes from there.

use std::sync::Arc;

use async_trait::async_trait;
use metaferry_domain::copy_policy::{CopyPolicy, Origin, TablePolicy};
use metaferry_domain::migration::Attempt;
use metaferry_domain::ports::{DumpRequest, Dumper as _, Plaintext, Snapshot, SnapshotReport, Source};
use metaferry_domain::{Cancellation, PortError};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_transfer::dump::{DecidedPolicy, Existing, FileDumper, PolicyMaker, Reread};

use crate::config::{Config, Salvage};
use crate::exit::CommandError;
use crate::h2_dump::H2Format;
use crate::output::{Output, Progress};
use crate::scratch::Scratch;
use crate::wiring;

/// So many snapshots of a file are loaded directly before a copy of it is made.
pub(super) const DIRECT_MAX: u32 = 3;

/// The copy, which goes with this.
pub(super) struct Still {
    _scratch: Scratch,
    pub(super) source: Arc<dyn Source>,
    report: SnapshotReport,
}

/// What is carried, and what is said of it, is decided when the copy is loaded.
struct Everything;

#[async_trait]
impl PolicyMaker for Everything {
    async fn decide(&self, snapshot: &dyn Snapshot) -> Result<DecidedPolicy, PortError> {
        let carried = TablePolicy::Carry {
            drop_rows: Vec::new(),
            rewrites: Vec::new(),
            origin: Origin::Known,
        };
        let tables = snapshot.catalogue().tables.iter();
        let tables = tables.map(|table| (table.name.key(), carried.clone())).collect();
        Ok(DecidedPolicy {
            policy: CopyPolicy {
                tables,
                ..CopyPolicy::default()
            },
            notes: Vec::new(),
        })
    }
}

impl Still {
    /// Copies all of `source`, which may be overwritten on the way as often as a dump may.
    pub(super) async fn of(
        source: Arc<dyn Source>,
        reread: Reread,
        config: &Config,
        output: Output,
        cancel: &Cancellation,
    ) -> Result<Self, CommandError> {
        let scratch = Scratch::new(config, output)?;
        output.say(&format!(
            "the file is rewritten faster than the database takes its rows; copying it, in plain, to {} first",
            scratch.file().display()
        ));
        let format = Arc::new(H2Format::default());
        let dumper = FileDumper::new(source, format, Arc::new(Everything), Existing::Refuse, reread);
        let request = DumpRequest {
            file: scratch.file(),
            attempt: Attempt(1),
            plaintext: Plaintext::Keep,
        };
        let progress = Arc::new(Progress::new("copy"));
        let report = dumper.copy_snapshot(&request, progress.clone(), cancel).await;
        progress.end();
        let report = report?;
        dumper.finish(cancel).await?;
        let path = scratch.file().to_string_lossy().into_owned();
        Ok(Self {
            source: wiring::source(&AppDbAddress::H2 { path }, config.h2_files(Salvage::No))?,
            _scratch: scratch,
            report,
        })
    }

    /// When the rows were true, and what was found then, is the copy's to tell.
    pub(super) fn explain(self, report: &mut SnapshotReport) {
        report.taken_at = self.report.taken_at;
        report.snapshot_seconds = self.report.snapshot_seconds;
        report.notes.extend(self.report.notes);
        report
            .notes
            .push("loaded by way of a copy of the file, which is rewritten all the time".to_owned());
    }
}
