//! `/api/v2/migration/{id}/multipart`: hand out URLs for parts, make an object of them.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{base_url, json, migration_id, part_path, presigned, upload_id};
use crate::etag::etag_of_parts;
use crate::record::{MigrationRecord, OpenUpload, Stage, StoredObject};
use crate::refusal::Refusal;
use crate::router::Shore;
use crate::serve::Shared;

#[derive(Debug, Deserialize)]
struct Begin {
    #[serde(alias = "part-count")]
    part_count: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Begun {
    multipart_upload_id: Uuid,
    multipart_urls: BTreeMap<u32, String>,
}

/// URLs for so many parts. Asked again with the same number before completion, it is the same upload with fresh
/// URLs, and the parts that arrived stay: so a sender whose URLs expired goes on. Another number begins anew.
pub(crate) async fn begin(
    State(shore): State<Shore>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Begun>, Refusal> {
    let shared = &shore.shared;
    let id = migration_id(&id)?;
    let Begin { part_count } = json(body).await?;
    let max = shared.config.limits.parts_max;
    if part_count == 0 || part_count > max {
        return Err(Refusal::InvalidPartNumber(max));
    }
    let base = base_url(shared, &headers)?;
    let guard = shared.lock(id).await;
    let upload = shared
        .blocking(move |shared| {
            let _held = guard;
            let mut record = shared.record(id)?;
            if record.stage != Stage::Waiting {
                return Err(Refusal::AlreadyUploaded);
            }
            if let Some(open) = record.upload
                && open.part_count == part_count
            {
                return Ok(open.id);
            }
            let upload = Uuid::new_v4();
            record.upload = Some(OpenUpload {
                id: upload,
                part_count,
            });
            shared.keep(&record)?;
            Ok(upload)
        })
        .await?;
    let url = |number| (number, presigned(shared, &base, &part_path(id, upload, number)));
    Ok(Json(Begun {
        multipart_upload_id: upload,
        multipart_urls: (1..=part_count).map(url).collect(),
    }))
}

#[derive(Debug, Deserialize)]
struct Complete {
    #[serde(alias = "multipart-upload-id")]
    multipart_upload_id: String,
    #[serde(alias = "multipart-etags")]
    multipart_etags: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Completed {
    etag: String,
    size_bytes: u64,
}

/// Makes the object. Asked again with the same parts it answers the same.
pub(crate) async fn complete(
    State(shore): State<Shore>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Completed>, Refusal> {
    let shared = &shore.shared;
    let id = migration_id(&id)?;
    let asked: Complete = json(body).await?;
    let upload = upload_id(&asked.multipart_upload_id)?;
    let guard = shared.lock(id).await;
    let completed = shared.blocking(move |shared| {
        let _held = guard;
        let record = shared.record(id)?;
        match record.upload {
            Some(open) if open.id == upload => assemble(shared, record, open, &asked.multipart_etags),
            Some(_) | None => completed_before(record, upload, &asked.multipart_etags),
        }
    });
    completed.await.map(Json)
}

fn assemble(
    shared: &Shared,
    mut record: MigrationRecord,
    open: OpenUpload,
    etags: &BTreeMap<String, String>,
) -> Result<Completed, Refusal> {
    let md5s = part_md5s(etags, open.part_count)?;
    let mut part_sizes = Vec::with_capacity(md5s.len());
    for (number, md5) in (1..).zip(&md5s) {
        let found = shared.folder.part_size(record.id, open.id, number, md5);
        let found = found.map_err(|error| Refusal::disk("look at a part", &error))?;
        part_sizes.push(found.ok_or(Refusal::InvalidPart(number))?);
    }
    let total = part_sizes
        .iter()
        .fold(0, |total: u64, size| total.saturating_add(*size));
    let max_bytes = shared.config.limits.object_bytes_max;
    if total > max_bytes {
        return Err(Refusal::TooLarge { max_bytes });
    }
    let joined = shared.folder.concatenate(record.id, open.id, &md5s);
    let (temp, size_bytes) = joined.map_err(|error| Refusal::disk("join parts", &error))?;
    if size_bytes != total {
        return Err(Refusal::Internal(format!(
            "{size_bytes} bytes came of parts of {total}"
        )));
    }
    let kept = shared.folder.keep_object(record.id, &temp);
    let file = kept.map_err(|error| Refusal::disk("keep an object", &error))?;
    let etag = object_etag(&md5s);
    record.object = Some(StoredObject {
        file,
        size_bytes,
        etag: etag.clone(),
        upload: Some(open.id),
        part_sizes,
    });
    record.upload = None;
    shared.keep(&record)?;
    Ok(Completed { etag, size_bytes })
}

/// The answer to a completion may have been lost: then the object of that very upload is here.
fn completed_before(
    record: MigrationRecord,
    upload: Uuid,
    etags: &BTreeMap<String, String>,
) -> Result<Completed, Refusal> {
    let object = record
        .object
        .filter(|object| object.upload == Some(upload))
        .ok_or(Refusal::NoSuchUpload)?;
    let parts = u32::try_from(etags.len()).unwrap_or(u32::MAX);
    if object_etag(&part_md5s(etags, parts)?) != object.etag {
        return Err(Refusal::NoSuchUpload);
    }
    Ok(Completed {
        etag: object.etag,
        size_bytes: object.size_bytes,
    })
}

/// MD5s in hex in the order of the parts, which must be exactly 1 to `part_count`.
fn part_md5s(etags: &BTreeMap<String, String>, part_count: u32) -> Result<Vec<String>, Refusal> {
    let md5s = (1..=part_count)
        .map(|number| {
            let etag = etags.get(&number.to_string()).ok_or_else(|| {
                Refusal::PartsIncomplete(format!("part {number} of {part_count} has no ETag in the list"))
            })?;
            let bare = etag
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .unwrap_or(etag);
            let mut md5 = [0; 16];
            hex::decode_to_slice(bare, &mut md5).map_err(|_| Refusal::InvalidPart(number))?;
            Ok(hex::encode(md5))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if etags.len() != md5s.len() {
        let words = format!(
            "the list names {} parts, the upload has {part_count}",
            etags.len()
        );
        return Err(Refusal::PartsIncomplete(words));
    }
    Ok(md5s)
}

fn object_etag(md5s: &[String]) -> String {
    etag_of_parts(
        md5s.iter()
            .map(|md5| hex::decode(md5).expect("encoded by part_md5s")),
    )
}
