//! `/api/v2/migration`: begin one, ask for it, declare it uploaded.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{base_url, json, migration_id, object_path, presigned};
use crate::inspector::DumpFacts;
use crate::record::{MigrationRecord, RECORD_FORMAT, Restoration, Stage};
use crate::refusal::Refusal;
use crate::router::Shore;

#[derive(Debug, Deserialize)]
struct NewMigration {
    #[serde(alias = "local-mb-version")]
    local_mb_version: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Created {
    id: Uuid,
    upload_url: String,
}

pub(crate) async fn create(
    State(shore): State<Shore>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Created>), Refusal> {
    let asked: NewMigration = json(body).await?;
    let shared = &shore.shared;
    if let Some(reason) = shared.config.versions.reason_against(&asked.local_mb_version) {
        return Err(Refusal::VersionRefused(reason));
    }
    let base = base_url(shared, &headers)?;
    let max = shared.config.limits.migrations_max;
    let room = |count| (count < max).then_some(count + 1);
    shared
        .migrations
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
        .map_err(|_| Refusal::TooManyMigrations)?;
    let id = Uuid::new_v4();
    let record = MigrationRecord {
        format: RECORD_FORMAT,
        id,
        local_mb_version: asked.local_mb_version,
        created_at_ms: shared.deps.clock.now_ms(),
        upload: None,
        object: None,
        stage: Stage::Waiting,
    };
    let kept = shared.blocking(move |shared| shared.keep(&record)).await;
    if kept.is_err() {
        shared.migrations.fetch_sub(1, Ordering::AcqRel);
    }
    kept?;
    tracing::info!(migration = %id, "a migration was begun");
    let upload_url = presigned(shared, &base, &object_path(id));
    Ok((StatusCode::CREATED, Json(Created { id, upload_url })))
}

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    id: Uuid,
    state: &'static str,
    local_mb_version: String,
    created_at_ms: u64,
    /// Why it was rejected, or what hinders it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// A fresh one, while an object may be put.
    #[serde(skip_serializing_if = "Option::is_none")]
    upload_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ObjectStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<DumpFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

#[derive(Debug, Serialize)]
struct ObjectStatus {
    size_bytes: u64,
    etag: String,
}

pub(crate) async fn status(
    State(shore): State<Shore>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Status>, Refusal> {
    let shared = &shore.shared;
    let id = migration_id(&id)?;
    let record = shared.blocking(move |shared| shared.record(id)).await?;
    let mut status = Status {
        id,
        state: record.stage.name(),
        local_mb_version: record.local_mb_version,
        created_at_ms: record.created_at_ms,
        reason: None,
        upload_url: None,
        object: record.object.map(|object| ObjectStatus {
            size_bytes: object.size_bytes,
            etag: object.etag,
        }),
        facts: None,
        place: None,
    };
    match record.stage {
        Stage::Waiting => {
            status.upload_url = Some(presigned(shared, &base_url(shared, &headers)?, &object_path(id)));
        }
        Stage::Uploaded { problem } => status.reason = problem,
        Stage::Verified { facts, restoration } => {
            status.facts = Some(facts);
            if let Restoration::Failed(problem) = restoration {
                status.reason = Some(problem);
            }
        }
        Stage::Restored { facts, place } => {
            status.facts = Some(facts);
            status.place = Some(place);
        }
        Stage::Rejected { reason } => status.reason = Some(reason),
    }
    Ok(Json(status))
}

/// The sender says that everything is there. Saying it again is no harm.
pub(crate) async fn uploaded(
    State(shore): State<Shore>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let shared = &shore.shared;
    let id = migration_id(&id)?;
    // A place in the queue first: what is recorded as uploaded is certain to be looked at.
    let place = shore.queue.try_reserve().map_err(|_| Refusal::Busy)?;
    let guard = shared.lock(id).await;
    let stage = shared
        .blocking(move |shared| {
            let _held = guard;
            let mut record = shared.record(id)?;
            if record.stage == Stage::Waiting {
                if record.object.is_none() {
                    return Err(Refusal::NothingArrived);
                }
                record.stage = Stage::Uploaded { problem: None };
                record.upload = None;
                shared.keep(&record)?;
            }
            Ok(record.stage)
        })
        .await?;
    match stage {
        Stage::Waiting | Stage::Uploaded { .. } => place.send(id),
        Stage::Verified { .. } | Stage::Restored { .. } => {}
        Stage::Rejected { reason } => return Err(Refusal::Rejected(reason)),
    }
    Ok(StatusCode::CREATED)
}
