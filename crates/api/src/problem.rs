//! What an error becomes: a status and a body. The three compatible routes answer plain text, as Metabase does.

use axum::http::StatusCode;
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
