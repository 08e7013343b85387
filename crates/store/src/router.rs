//! Every route on one screen.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware::map_response;
use axum::response::Response;
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

/// Tells our own clients that what goes beyond the store API is to be had here. The value is its version.
async fn make_known(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert("x-metaferry-store", HeaderValue::from_static("1"));
    response
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
        .layer(map_response(make_known))
        .with_state(Shore { shared, queue })
}
