//! Every way in which a request is refused: its status, its stable code, its words.
//!
//! A refusal is one line of plain text, `code: words`, since Metabase shows what a store says as it is.

use std::io;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// How long a client is asked to stay away when there is no room for it now.
const RETRY_AFTER_S: u64 = 5;

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnreadableRequest(String),
    VersionRefused(String),
    UnknownMigration,
    NoSuchUpload,
    NotFound,
    MethodNotAllowed,
    SignatureExpired,
    SignatureInvalid,
    InvalidPartNumber(u32),
    InvalidDigest,
    BadDigest,
    EncryptionNotAllowed,
    EncryptionMissing,
    InvalidPart(u32),
    PartsIncomplete(String),
    IncompleteBody { received: u64, announced: u64 },
    LengthRequired,
    TooLarge { max_bytes: u64 },
    TooSlow,
    NothingArrived,
    AlreadyUploaded,
    Rejected(String),
    TooManyMigrations,
    Busy,
    NoSpace,
    Internal(String),
}

impl Refusal {
    /// A failure of our own disk.
    pub(crate) fn disk(what: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::Internal(format!("{what}: {error}")),
        }
    }

    fn parts(&self) -> (StatusCode, &'static str, String) {
        use StatusCode as S;
        let fixed = |status, code, words: &str| (status, code, words.to_owned());
        match self {
            Self::UnreadableRequest(why) => (S::BAD_REQUEST, "unreadable_request", why.clone()),
            Self::VersionRefused(why) => (S::BAD_REQUEST, "version_refused", why.clone()),
            Self::UnknownMigration => fixed(
                S::NOT_FOUND,
                "unknown_migration",
                "there is no such migration here",
            ),
            Self::NoSuchUpload => fixed(
                S::NOT_FOUND,
                "no_such_upload",
                "this upload was completed, replaced or never begun: ask for a new one",
            ),
            Self::NotFound => fixed(S::NOT_FOUND, "not_found", "the store has no such address"),
            Self::MethodNotAllowed => fixed(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "the store has this address, not this method",
            ),
            Self::SignatureExpired => fixed(
                S::FORBIDDEN,
                "signature_expired",
                "this URL has expired: ask for a new one",
            ),
            Self::SignatureInvalid => fixed(
                S::FORBIDDEN,
                "signature_invalid",
                "this URL was not handed out by this store",
            ),
            Self::InvalidPartNumber(max) => (
                S::BAD_REQUEST,
                "invalid_part_number",
                format!("parts count from 1 to {max}"),
            ),
            Self::InvalidDigest => fixed(
                S::BAD_REQUEST,
                "invalid_digest",
                "Content-MD5 must be the base64 of 16 bytes",
            ),
            Self::BadDigest => fixed(
                S::BAD_REQUEST,
                "bad_digest",
                "what arrived does not have the Content-MD5 that was announced: send it again",
            ),
            Self::EncryptionMissing => fixed(
                S::FORBIDDEN,
                "encryption_missing",
                "this URL is signed with x-amz-server-side-encryption: aws:kms; send that header",
            ),
            Self::EncryptionNotAllowed => fixed(
                S::BAD_REQUEST,
                "encryption_not_allowed",
                "x-amz-server-side-encryption belongs to a whole object, not to a part",
            ),
            Self::InvalidPart(number) => (
                S::BAD_REQUEST,
                "invalid_part",
                format!("part {number} is not here with that ETag: send it again"),
            ),
            Self::PartsIncomplete(why) => (S::BAD_REQUEST, "parts_incomplete", why.clone()),
            Self::IncompleteBody { received, announced } => (
                S::BAD_REQUEST,
                "incomplete_body",
                format!("{received} of {announced} bytes arrived: send it again"),
            ),
            Self::LengthRequired => fixed(
                S::LENGTH_REQUIRED,
                "length_required",
                "a PUT needs a Content-Length",
            ),
            Self::TooLarge { max_bytes } => (
                S::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("at most {max_bytes} bytes are taken"),
            ),
            Self::TooSlow => fixed(
                S::REQUEST_TIMEOUT,
                "too_slow",
                "the body stopped arriving: send it again",
            ),
            Self::NothingArrived => fixed(
                S::CONFLICT,
                "nothing_arrived",
                "nothing has been put yet: put the dump first",
            ),
            Self::AlreadyUploaded => fixed(
                S::CONFLICT,
                "already_uploaded",
                "this migration was declared uploaded and takes nothing any more: begin a new one",
            ),
            Self::Rejected(why) => (S::CONFLICT, "rejected", why.clone()),
            Self::TooManyMigrations => fixed(
                S::TOO_MANY_REQUESTS,
                "too_many_migrations",
                "the store keeps as many migrations as it may: remove old ones from its data folder",
            ),
            Self::Busy => fixed(
                S::SERVICE_UNAVAILABLE,
                "busy",
                "the store does as much as it may now: come back later",
            ),
            Self::NoSpace => fixed(
                S::INSUFFICIENT_STORAGE,
                "no_space",
                "the store's disk is full: make room on it",
            ),
            // What went wrong inside is the operator's to read in the log, not the client's.
            Self::Internal(_) => fixed(
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "the store failed: see its log",
            ),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Internal(why) = &self {
            tracing::error!(why, "a request failed");
        }
        let (status, code, words) = self.parts();
        let line = format!("{code}: {words}").replace(['\r', '\n'], " ");
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            line,
        )
            .into_response();
        if matches!(self, Self::Busy | Self::TooManyMigrations) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}
