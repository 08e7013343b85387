//! Every route on one screen.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::refusal::Refusal;
use crate::routes::{migrations, multipart, objects};
use crate::serve::Shared;

/// What a handler gets.
#[derive(Debug, Clone)]
pub(crate) struct Shore {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: mpsc::Sender<Uuid>,
}

pub(crate) fn router(shared: Arc<Shared>, queue: mpsc::Sender<Uuid>) -> Router {
    Router::new()
        .route("/api/v2/migration", post(migrations::create))
        .route("/api/v2/migration/{id}", get(migrations::status))
        .route("/api/v2/migration/{id}/multipart", put(multipart::begin))
        .route(
            "/api/v2/migration/{id}/multipart/complete",
            put(multipart::complete),
        )
        .route("/api/v2/migration/{id}/uploaded", put(migrations::uploaded))
        .route("/objects/{id}", put(objects::put_object))
        .route("/objects/{id}/{upload}/{number}", put(objects::put_part))
        .fallback(async || Refusal::NotFound)
        .method_not_allowed_fallback(async || Refusal::MethodNotAllowed)
        .with_state(Shore { shared, queue })
}
