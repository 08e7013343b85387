//! Looks at what was declared uploaded, one dump after another, and has it restored where that is wanted.
//!
//! Every verdict is on disk before it can be asked for, so a restart goes on where this stopped.

use std::sync::Arc;

use metaferry_domain::{ErrorKind, PortError};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::etag::etag_of_file;
use crate::inspector::DumpFacts;
use crate::record::{MigrationRecord, Restoration, Stage};
use crate::refusal::Refusal;
use crate::serve::Shared;

/// Works until nobody can queue any more.
pub(crate) async fn run(shared: Arc<Shared>, leftovers: Vec<Uuid>, mut queue: mpsc::Receiver<Uuid>) {
    for id in leftovers {
        look_at(&shared, id).await;
    }
    while let Some(id) = queue.recv().await {
        look_at(&shared, id).await;
    }
}

async fn look_at(shared: &Arc<Shared>, id: Uuid) {
    if let Err(refusal) = advance(shared, id).await {
        tracing::error!(migration = %id, ?refusal, "a verification could not be recorded; it is made again at the next start");
    }
}

/// From `uploaded` to a verdict, and from `verified` to `restored`.
async fn advance(shared: &Arc<Shared>, id: Uuid) -> Result<(), Refusal> {
    let mut record = load(shared, id).await?;
    if let Stage::Uploaded { .. } = record.stage {
        let stage = verdict(shared, &record).await;
        record = move_on(shared, id, stage).await?;
    }
    if let Stage::Verified {
        facts,
        restoration: Restoration::Due,
    } = record.stage.clone()
    {
        let stage = restored(shared, &record, facts).await;
        move_on(shared, id, stage).await?;
    }
    Ok(())
}

async fn verdict(shared: &Arc<Shared>, record: &MigrationRecord) -> Stage {
    let Some(object) = &record.object else {
        return Stage::Rejected {
            reason: "there is no object".to_owned(),
        };
    };
    let file = shared.folder.object(record.id, &object.file);
    match std::fs::metadata(&file) {
        Err(error) => {
            return Stage::Uploaded {
                problem: Some(format!("cannot look at the object: {error}")),
            };
        }
        Ok(facts) if facts.len() != object.size_bytes => {
            let reason = format!(
                "the object has {} bytes, {} arrived",
                facts.len(),
                object.size_bytes
            );
            return Stage::Rejected { reason };
        }
        Ok(_) => {}
    }
    // The file format has no checksums of its own: what changed on this disk since it arrived is only seen here.
    let (hashed, part_sizes) = (file.clone(), object.part_sizes.clone());
    match shared
        .blocking(move |_| Ok(etag_of_file(&hashed, &part_sizes)))
        .await
    {
        Ok(Ok(etag)) if etag == object.etag => {}
        Ok(Ok(etag)) => {
            let reason = format!(
                "the object was damaged on the store's disk: its ETag is {etag}, it arrived with {}",
                object.etag
            );
            return Stage::Rejected { reason };
        }
        Ok(Err(error)) => {
            return Stage::Uploaded {
                problem: Some(format!("cannot read the object: {error}")),
            };
        }
        Err(refusal) => {
            return Stage::Uploaded {
                problem: Some(format!("cannot read the object: {refusal:?}")),
            };
        }
    }
    let inspector = shared.deps.inspector.clone();
    // On a task of its own, so that a panic over hostile bytes ends this look and not the worker.
    let looked = tokio::spawn(async move { inspector.inspect(&file).await }).await;
    let facts = match looked {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) if is_the_dumps_fault(error.kind) => {
            return Stage::Rejected {
                reason: error.chain(),
            };
        }
        Ok(Err(error)) => {
            return Stage::Uploaded {
                problem: Some(error.chain()),
            };
        }
        Err(_) => {
            return Stage::Rejected {
                reason: "the dump broke the reader that looked at it".to_owned(),
            };
        }
    };
    match facts.reason_against() {
        Some(reason) => Stage::Rejected { reason },
        None => {
            let wanted = shared.deps.restorer.is_some();
            Stage::Verified {
                facts,
                restoration: if wanted {
                    Restoration::Due
                } else {
                    Restoration::NotAsked
                },
            }
        }
    }
}

async fn restored(shared: &Arc<Shared>, record: &MigrationRecord, facts: DumpFacts) -> Stage {
    let (Some(restorer), Some(object)) = (shared.deps.restorer.clone(), &record.object) else {
        return Stage::Verified {
            facts,
            restoration: Restoration::Due,
        };
    };
    let file = shared.folder.object(record.id, &object.file);
    let (id, told) = (record.id.to_string(), facts.clone());
    let done = tokio::spawn(async move { restorer.restore(&id, &file, &told).await }).await;
    let done = done.unwrap_or_else(|_| Err(PortError::new(ErrorKind::Corrupt, "the restore broke off")));
    match done {
        Ok(place) => Stage::Restored { facts, place },
        Err(error) => Stage::Verified {
            facts,
            restoration: Restoration::Failed(error.chain()),
        },
    }
}

fn is_the_dumps_fault(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Precondition => true,
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Denied
        | ErrorKind::Unavailable
        | ErrorKind::Exhausted
        | ErrorKind::Cancelled => false,
    }
}

async fn load(shared: &Arc<Shared>, id: Uuid) -> Result<MigrationRecord, Refusal> {
    shared.blocking(move |shared| shared.record(id)).await
}

async fn move_on(shared: &Arc<Shared>, id: Uuid, stage: Stage) -> Result<MigrationRecord, Refusal> {
    match &stage {
        Stage::Rejected { reason } => tracing::warn!(migration = %id, reason, "a dump was rejected"),
        Stage::Uploaded { problem } => {
            tracing::warn!(migration = %id, ?problem, "a dump could not be looked at")
        }
        Stage::Verified {
            restoration: Restoration::Failed(problem),
            ..
        } => {
            tracing::warn!(migration = %id, problem, "a dump could not be restored");
        }
        Stage::Waiting | Stage::Verified { .. } | Stage::Restored { .. } => {
            tracing::info!(migration = %id, stage = stage.name(), "a dump moved on");
        }
    }
    let guard = shared.lock(id).await;
    shared
        .blocking(move |shared| {
            let _held = guard;
            let mut record = shared.record(id)?;
            record.stage = stage;
            shared.keep(&record)?;
            Ok(record)
        })
        .await
}
