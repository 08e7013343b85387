//! `/objects/…`: what the presigned URLs lead to. A whole object, or a part of one.

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{migration_id, object_path, part_path, upload_id};
use crate::receive::{Announced, drain, receive};
use crate::record::{MigrationRecord, Stage, StoredObject};
use crate::refusal::Refusal;
use crate::router::Shore;
use crate::serve::Shared;
use crate::signing::Unsigned;

/// A whole object must have it, a part must not.
const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// Answer to a PUT: 200 and the `ETag` of what was taken.
type Taken = (StatusCode, [(HeaderName, String); 1]);

pub(crate) async fn put_object(
    State(shore): State<Shore>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Taken, Refusal> {
    let shared = &shore.shared;
    let (parts, body) = request.into_parts();
    let admission = async {
        let id = migration_id(&id)?;
        permitted(shared, &parts, &object_path(id))?;
        // Metabase's own store signs it into the URL, so that a client without it is refused there too.
        if parts
            .headers
            .get(ENCRYPTION)
            .is_none_or(|value| value != "aws:kms")
        {
            return Err(Refusal::EncryptionMissing);
        }
        let record = shared.blocking(move |shared| shared.record(id)).await?;
        must_wait(&record)?;
        Ok((id, admit(shared, &parts)?))
    };
    let (id, (announced, _place)) = match admission.await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            drain(body).await;
            return Err(refusal);
        }
    };
    let received = receive(&shared.folder, shared.config.limits.idle, &announced, body).await?;
    let etag = received.etag();
    let guard = shared.lock(id).await;
    shared
        .blocking(move |shared| {
            let _held = guard;
            let mut record = shared.record(id)?;
            // It may have been declared uploaded while the body was on its way.
            must_wait(&record)?;
            let kept = shared.folder.keep_object(id, &received.file);
            let file = kept.map_err(|error| Refusal::disk("keep an object", &error))?;
            let (size_bytes, etag) = (received.size_bytes, received.etag());
            record.object = Some(StoredObject {
                file,
                size_bytes,
                etag,
                upload: None,
                part_sizes: Vec::new(),
            });
            shared.keep(&record)
        })
        .await?;
    Ok((StatusCode::OK, [(header::ETAG, etag)]))
}

pub(crate) async fn put_part(
    State(shore): State<Shore>,
    Path((id, upload, number)): Path<(String, String, String)>,
    request: Request,
) -> Result<Taken, Refusal> {
    let shared = &shore.shared;
    let (parts, body) = request.into_parts();
    let admission = async {
        let (id, upload) = (migration_id(&id)?, upload_id(&upload)?);
        let number = part_number(&number, shared.config.limits.parts_max)?;
        permitted(shared, &parts, &part_path(id, upload, number))?;
        if parts.headers.contains_key(ENCRYPTION) {
            return Err(Refusal::EncryptionNotAllowed);
        }
        let record = shared.blocking(move |shared| shared.record(id)).await?;
        must_be_open(&record, upload, number)?;
        Ok((id, upload, number, admit(shared, &parts)?))
    };
    let (id, upload, number, (announced, _place)) = match admission.await {
        Ok(admitted) => admitted,
        Err(refusal) => {
            drain(body).await;
            return Err(refusal);
        }
    };
    let received = receive(&shared.folder, shared.config.limits.idle, &announced, body).await?;
    let etag = received.etag();
    let guard = shared.lock(id).await;
    shared
        .blocking(move |shared| {
            let _held = guard;
            must_be_open(&shared.record(id)?, upload, number)?;
            let kept = shared
                .folder
                .keep_part(id, upload, number, received.md5, &received.file);
            kept.map_err(|error| Refusal::disk("keep a part", &error))
        })
        .await?;
    Ok((StatusCode::OK, [(header::ETAG, etag)]))
}

fn part_number(text: &str, max: u32) -> Result<u32, Refusal> {
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number) && number.to_string() == text)
        .ok_or(Refusal::InvalidPartNumber(max))
}

/// The signature is looked at before anything that would tell a stranger what is here.
fn permitted(shared: &Shared, parts: &Parts, path: &str) -> Result<(), Refusal> {
    let query = parts.uri.query().unwrap_or_default();
    shared
        .presigner
        .check(path, query, shared.now_s())
        .map_err(|unsigned| match unsigned {
            Unsigned::Forged => Refusal::SignatureInvalid,
            Unsigned::Expired => Refusal::SignatureExpired,
        })
}

/// What the body will be, and a place among those that are received at the same time.
fn admit(shared: &Shared, parts: &Parts) -> Result<(Announced, OwnedSemaphorePermit), Refusal> {
    let announced = Announced::read(&parts.headers, &shared.config.limits)?;
    let place = shared
        .receiving
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refusal::Busy)?;
    Ok((announced, place))
}

fn must_wait(record: &MigrationRecord) -> Result<(), Refusal> {
    if record.stage == Stage::Waiting {
        Ok(())
    } else {
        Err(Refusal::AlreadyUploaded)
    }
}

fn must_be_open(record: &MigrationRecord, upload: Uuid, number: u32) -> Result<(), Refusal> {
    must_wait(record)?;
    match record.upload {
        Some(open) if open.id == upload && number <= open.part_count => Ok(()),
        Some(open) if open.id == upload => Err(Refusal::InvalidPartNumber(open.part_count)),
        Some(_) | None => Err(Refusal::NoSuchUpload),
    }
}
