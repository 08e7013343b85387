//! What an error becomes: a status and a body. The three compatible routes answer plain text, as Metabase does.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metaferry_domain::effect::Effect;
use metaferry_domain::event::FailureCause;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_orchestrator::NotBegun;

/// A request that was not served.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Nobody that is known.
    Unauthenticated,
    /// Somebody who may not.
    Forbidden(&'static str),
    /// The instance is hosted already.
    Hosted,
    /// A migration that did not begin.
    NotBegun(NotBegun),
    /// A port failed.
    Port(PortError),
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        Self::Port(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "Unauthenticated").into_response(),
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, why).into_response(),
            Self::Hosted => (
                StatusCode::BAD_REQUEST,
                "this instance is hosted on Metabase Cloud already",
            )
                .into_response(),
            Self::NotBegun(not_begun) => not_begun_response(&not_begun),
            Self::Port(error) => port_response(&error),
        }
    }
}

/// The same as problem JSON (RFC 9457) with a stable code, for routes that Metabase does not have.
#[derive(Debug)]
pub(crate) struct ProblemJson(Problem);

impl From<Problem> for ProblemJson {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for ProblemJson {
    fn into_response(self) -> Response {
        let (status, code, detail) = match &self.0 {
            Problem::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "send a superuser's session or API key".to_owned(),
            ),
            Problem::Forbidden(why) => (StatusCode::FORBIDDEN, "forbidden", (*why).to_owned()),
            Problem::Hosted => (
                StatusCode::BAD_REQUEST,
                "hosted",
                "this instance is hosted on Metabase Cloud already".to_owned(),
            ),
            Problem::NotBegun(NotBegun { error, .. }) | Problem::Port(error) => {
                tracing::error!(target: "cloud_migration", error = error.chain(), "a request failed");
                let (status, code) = of_kind(error.kind);
                (status, code, error.chain())
            }
        };
        let body = serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        let media_type = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, media_type, body.to_string()).into_response()
    }
}

fn of_kind(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        ErrorKind::Conflict => (StatusCode::CONFLICT, "conflict"),
        ErrorKind::Precondition => (StatusCode::CONFLICT, "precondition"),
        ErrorKind::Unsupported => (StatusCode::BAD_REQUEST, "unsupported"),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        ErrorKind::Denied => (StatusCode::INTERNAL_SERVER_ERROR, "denied"),
        ErrorKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
        ErrorKind::Exhausted => (StatusCode::INTERNAL_SERVER_ERROR, "exhausted"),
        ErrorKind::Cancelled => (StatusCode::CONFLICT, "cancelled"),
    }
}

fn not_begun_response(not_begun: &NotBegun) -> Response {
    let error = &not_begun.error;
    let failure = not_begun.state.as_ref().and_then(|state| state.failure());
    let at_store =
        failure.is_some_and(|failure| failure.cause == FailureCause::Effect(Effect::CreateAtStore));
    let at_preflight =
        failure.is_some_and(|failure| failure.cause == FailureCause::Effect(Effect::Preflight));
    match error.kind {
        ErrorKind::Conflict => (StatusCode::CONFLICT, error.what.clone()).into_response(),
        ErrorKind::NotFound if at_store => (
            StatusCode::NOT_FOUND,
            "could not reach the store to begin the migration",
        )
            .into_response(),
        ErrorKind::Unsupported if at_store => (
            StatusCode::BAD_REQUEST,
            "the store cannot migrate this version of Metabase",
        )
            .into_response(),
        ErrorKind::Unsupported if at_preflight => {
            (StatusCode::BAD_REQUEST, error.what.clone()).into_response()
        }
        ErrorKind::NotFound
        | ErrorKind::Unsupported
        | ErrorKind::Precondition
        | ErrorKind::Denied
        | ErrorKind::Unavailable
        | ErrorKind::Corrupt
        | ErrorKind::Exhausted
        | ErrorKind::Cancelled => port_response(error),
    }
}

fn port_response(error: &PortError) -> Response {
    tracing::error!(target: "cloud_migration", error = error.chain(), "a request failed");
    match error.kind {
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Precondition
        | ErrorKind::Denied
        | ErrorKind::Corrupt
        | ErrorKind::Unsupported
        | ErrorKind::Exhausted
        | ErrorKind::Cancelled => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
