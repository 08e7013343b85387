//! One file per resource, and how each reads ids, addresses and JSON.

pub(crate) mod migrations;
pub(crate) mod multipart;
pub(crate) mod objects;

use axum::body::{Body, to_bytes};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::refusal::Refusal;
use crate::serve::Shared;

/// Longest JSON of a request: 10 000 parts with their `ETags` take half of it.
const JSON_BYTES_MAX: usize = 2 << 20;

/// An id as we write it. Anything else, such as a path, names no migration.
fn migration_id(text: &str) -> Result<Uuid, Refusal> {
    canonical(text).ok_or(Refusal::UnknownMigration)
}

fn upload_id(text: &str) -> Result<Uuid, Refusal> {
    canonical(text).ok_or(Refusal::NoSuchUpload)
}

fn canonical(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}

async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let bytes = to_bytes(body, JSON_BYTES_MAX)
        .await
        .map_err(|_| Refusal::TooLarge {
            max_bytes: JSON_BYTES_MAX as u64,
        })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::UnreadableRequest(format!("not the expected JSON: {error}")))
}

/// Where this client reaches us.
fn base_url(shared: &Shared, headers: &HeaderMap) -> Result<String, Refusal> {
    if let Some(url) = &shared.config.public_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let host: Authority = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok()?.parse().ok())
        .ok_or_else(|| Refusal::UnreadableRequest("a request needs a Host".to_owned()))?;
    let port = host.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(format!("http://{}{port}", host.host()))
}

fn presigned(shared: &Shared, base: &str, path: &str) -> String {
    let expires_s = shared.now_s() + shared.config.url_lifetime.as_secs();
    format!("{base}{path}?{}", shared.presigner.query(path, expires_s))
}

fn object_path(id: Uuid) -> String {
    format!("/objects/{id}")
}

fn part_path(id: Uuid, upload: Uuid, number: u32) -> String {
    format!("/objects/{id}/{upload}/{number}")
}
