//! Is this process up, and can it serve?

use axum::extract::State;
use axum::http::StatusCode;

use crate::router::Api;

/// Up.
pub(crate) async fn live() -> &'static str {
    "ok"
}

/// The app DB answers.
pub(crate) async fn ready(State(api): State<Api>) -> Result<&'static str, (StatusCode, &'static str)> {
    match api.orchestrator.history(1).await {
        Ok(_) => Ok("ready"),
        Err(error) => {
            tracing::warn!(error = error.chain(), "not ready");
            Err((StatusCode::SERVICE_UNAVAILABLE, "the app DB does not answer"))
        }
    }
}
