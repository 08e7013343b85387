//! A snapshot into a verified file: what was read, written, read again and found equal.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{
    DumpFile, DumpObserver, DumpReport, DumpRequest, Dumper, Snapshot, SnapshotReport, Source, Target,
};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use sha2::{Digest as _, Sha256};

use crate::copy::{SNAPSHOTS_MAX, confirmed, copy};
use crate::error::TransferError;
use crate::manifest::Manifest;
use crate::verify::{compare, differences, scan};
use crate::waiting::unless_cancelled;

/// The file format of a dump.
#[async_trait]
pub trait DumpFormat: Send + Sync {
    /// A file that will be at `file` when it is finished, and nowhere before.
    async fn create(&self, file: &Path) -> Result<Box<dyn Target>, PortError>;

    /// A finished file as a source of rows.
    async fn open(&self, file: &Path) -> Result<Box<dyn Source>, PortError>;

    /// Where an unfinished file lives, so that it can be removed after a crash.
    fn unfinished(&self, file: &Path) -> PathBuf;
}

/// What is carried, and what a person should know of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DecidedPolicy {
    /// The policy.
    pub policy: CopyPolicy,
    /// In words.
    pub notes: Vec<String>,
}

/// Decides what to carry once the snapshot is there: from its catalogue, and from rows that tell a version.
#[async_trait]
pub trait PolicyMaker: Send + Sync {
    /// Decides.
    async fn decide(&self, snapshot: &dyn Snapshot) -> Result<DecidedPolicy, PortError>;
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The dump is refused.
    Refuse,
    /// It is replaced, by rename, when the new one is complete.
    Replace,
}

/// Whether a finished file is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// Rows, digests and foreign keys are compared; a file that differs is removed.
    Verify,
    /// The file is taken as it is.
    Skip,
}

/// Dumps one source into files of one format.
pub struct FileDumper {
    source: Arc<dyn Source>,
    format: Arc<dyn DumpFormat>,
    policy: Arc<dyn PolicyMaker>,
    existing: Existing,
    reread: Reread,
    begun: Mutex<Option<Begun>>,
}

struct Begun {
    request: DumpRequest,
    /// Where the file is made: its own name, or one beside it that takes its place when it is verified.
    working: PathBuf,
    target: Box<dyn Target>,
    report: SnapshotReport,
}

impl std::fmt::Debug for FileDumper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDumper")
            .field("existing", &self.existing)
            .field("reread", &self.reread)
            .finish_non_exhaustive()
    }
}

impl FileDumper {
    /// A dumper of that source.
    #[must_use]
    pub fn new(
        source: Arc<dyn Source>,
        format: Arc<dyn DumpFormat>,
        policy: Arc<dyn PolicyMaker>,
        existing: Existing,
        reread: Reread,
    ) -> Self {
        Self {
            source,
            format,
            policy,
            existing,
            reread,
            begun: Mutex::new(None),
        }
    }

    /// One snapshot into a new, unfinished file.
    async fn copy_once(
        &self,
        working: &Path,
        observer: Arc<dyn DumpObserver>,
        cancel: &Cancellation,
    ) -> Result<(Box<dyn Target>, SnapshotReport), TransferError> {
        // It may wait long for somebody who changes a table.
        let snapshot = unless_cancelled(cancel, self.source.snapshot()).await??;
        let started = Instant::now();
        let decided = unless_cancelled(cancel, self.policy.decide(&*snapshot)).await?;
        let decided = confirmed(&*snapshot, decided.map_err(Into::into)).await?;
        let mut target = self.format.create(working).await?;
        let copied = copy(&*snapshot, &mut *target, &decided.policy, observer, cancel).await?;
        let report = SnapshotReport {
            taken_at: snapshot.taken_at(),
            snapshot_seconds: started.elapsed().as_secs_f64(),
            tables: copied.tables,
            left_out: copied.left_out,
            notes: snapshot
                .notes()
                .into_iter()
                .chain(decided.notes)
                .chain(copied.notes)
                .collect(),
        };
        snapshot.close().await?;
        Ok((target, report))
    }

    async fn verify(
        &self,
        begun: &SnapshotReport,
        file: &Path,
        cancel: &Cancellation,
    ) -> Result<(), TransferError> {
        let source = self.format.open(file).await?;
        let snapshot = source.snapshot().await?;
        let arrived = scan(&*snapshot, &CopyPolicy::default(), cancel).await?;
        let differing = differences(&compare(&begun.tables, &arrived.tables), "in the dump");
        if !differing.is_empty() {
            return Err(TransferError::Differs { tables: differing });
        }
        if !arrived.dangling.is_empty() {
            return Err(TransferError::Dangling {
                violations: arrived.dangling,
            });
        }
        Ok(())
    }

    /// The finished file, compared with what was read where that was asked for.
    async fn proven(
        &self,
        begun: &SnapshotReport,
        file: &Path,
        cancel: &Cancellation,
    ) -> Result<DumpFile, TransferError> {
        match self.reread {
            Reread::Verify => {
                let described = describe(file.to_path_buf(), cancel.clone());
                let ((), file) = tokio::try_join!(self.verify(begun, file, cancel), described)?;
                Ok(file)
            }
            // A checksum would be the reading that nobody wanted.
            Reread::Skip => Ok(DumpFile {
                path: file.to_path_buf(),
                size_bytes: size_bytes(file).await?,
                sha256: None,
            }),
        }
    }

    fn working(&self, file: &Path) -> PathBuf {
        match self.existing {
            Existing::Replace if file.exists() => replacement(file),
            Existing::Refuse | Existing::Replace => file.to_path_buf(),
        }
    }

    fn take_begun(&self) -> Option<Begun> {
        self.begun
            .lock()
            .expect("no code panics while it holds this")
            .take()
    }
}

#[async_trait]
impl Dumper for FileDumper {
    async fn copy_snapshot(
        &self,
        request: &DumpRequest,
        observer: Arc<dyn DumpObserver>,
        cancel: &Cancellation,
    ) -> Result<SnapshotReport, PortError> {
        match self.existing {
            Existing::Refuse if request.file.exists() => {
                return Err(PortError::new(
                    ErrorKind::Conflict,
                    format!(
                        "{} exists already; name another file, or say --force",
                        request.file.display()
                    ),
                ));
            }
            Existing::Refuse | Existing::Replace => {}
        }
        drop(self.take_begun());
        let working = self.working(&request.file);
        let mut snapshots = 1;
        let (target, report) = loop {
            match self.copy_once(&working, Arc::clone(&observer), cancel).await {
                Ok(copied) => break copied,
                Err(TransferError::SnapshotLost) if snapshots < SNAPSHOTS_MAX => {
                    tracing::info!(
                        snapshots,
                        "the source was overwritten while it was read; beginning again"
                    );
                    snapshots += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let begun = Begun {
            request: request.clone(),
            working,
            target,
            report: report.clone(),
        };
        *self.begun.lock().expect("no code panics while it holds this") = Some(begun);
        Ok(report)
    }

    async fn finish(&self, cancel: &Cancellation) -> Result<DumpReport, PortError> {
        let Some(begun) = self.take_begun() else {
            return Err(PortError::new(
                ErrorKind::Precondition,
                "no dump was begun in this process",
            ));
        };
        let (path, working) = (begun.request.file.clone(), begun.working.clone());
        // Its last step is syncing the file, which cannot be stopped, only left alone.
        match unless_cancelled(cancel, begun.target.finish()).await {
            Ok(finished) => drop(finished?),
            Err(cancelled) => {
                remove(&self.format.unfinished(&working)).await?;
                remove(&working).await?;
                return Err(cancelled);
            }
        }
        let published = async {
            let file = self.proven(&begun.report, &working, cancel).await?;
            let file = DumpFile {
                path: path.clone(),
                ..file
            };
            // Before the older file goes: what can fail for want of room has then been done.
            Manifest::new(&file, &begun.report).prepare(&path)?;
            if working != path
                && let Err(error) = replace(&working, &path)
            {
                remove(&Manifest::unfinished(&path)).await?;
                return Err(error);
            }
            let manifest = Manifest::publish(&path)?;
            Ok::<_, TransferError>(DumpReport {
                file,
                manifest,
                snapshot: begun.report.clone(),
            })
        }
        .await;
        match published {
            Ok(report) => Ok(report),
            Err(error) => {
                remove(&working).await?;
                Err(error.into())
            }
        }
    }

    async fn describe(&self, file: &Path, cancel: &Cancellation) -> Result<DumpFile, PortError> {
        Ok(describe(file.to_path_buf(), cancel.clone()).await?)
    }

    async fn discard(&self, request: &DumpRequest) -> Result<(), PortError> {
        drop(self.take_begun());
        let replacement = replacement(&request.file);
        for path in [
            self.format.unfinished(&request.file),
            request.file.clone(),
            self.format.unfinished(&replacement),
            replacement,
            Manifest::unfinished(&request.file),
            Manifest::path_for(&request.file),
        ] {
            remove(&path).await?;
        }
        Ok(())
    }
}

/// Where a file is made that is to take the place of `file`.
fn replacement(file: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from("new.");
    name.push(file.file_name().unwrap_or_default());
    file.with_file_name(name)
}

fn replace(working: &Path, file: &Path) -> Result<(), TransferError> {
    let at_file = |source| TransferError::File {
        what: format!("replace {}", file.display()),
        source,
    };
    std::fs::rename(working, file).map_err(at_file)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(at_file)
}

/// Removes a file if it is there.
async fn remove(path: &Path) -> Result<(), TransferError> {
    match tokio::fs::remove_file(path).await {
        Ok(()) => tracing::debug!(path = %path.display(), "removed"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            return Err(TransferError::File {
                what: format!("remove {}", path.display()),
                source,
            });
        }
    }
    Ok(())
}

async fn size_bytes(path: &Path) -> Result<u64, TransferError> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(metadata.len()),
        Err(source) => Err(TransferError::File {
            what: format!("read {}", path.display()),
            source,
        }),
    }
}

/// Size and SHA-256 of a file.
///
/// # Errors
/// If it cannot be read, or on cancellation.
pub async fn describe(path: PathBuf, cancel: Cancellation) -> Result<DumpFile, TransferError> {
    let task = tokio::task::spawn_blocking(move || {
        let at_path = |source| TransferError::File {
            what: format!("read {}", path.display()),
            source,
        };
        let mut file = std::fs::File::open(&path).map_err(at_path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut size_bytes = 0;
        loop {
            cancel.check()?;
            let read = file.read(&mut buffer).map_err(at_path)?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            size_bytes += read as u64;
        }
        Ok(DumpFile {
            path: path.clone(),
            size_bytes,
            sha256: Some(hex::encode(hash.finalize())),
        })
    });
    match task.await {
        Ok(described) => described,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
