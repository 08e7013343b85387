//! Every route on one screen.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use metaferry_domain::ports::Authenticator;
use metaferry_orchestrator::Orchestrator;

use crate::routes::{cloud_migration, health, history};

/// What every route may use.
#[derive(Clone)]
pub struct Api {
    /// Begins and cancels.
    pub orchestrator: Orchestrator,
    /// Knows callers.
    pub authenticator: Arc<dyn Authenticator>,
    /// Where the instance lives.
    pub hosting: Hosting,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("hosting", &self.hosting)
            .finish_non_exhaustive()
    }
}

/// Where the Metabase that is to be moved lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosting {
    /// On somebody's own machines.
    SelfHosted,
    /// On Metabase Cloud already: there is nothing to migrate.
    MetabaseCloud,
}

/// The HTTP API.
pub fn router(api: Api) -> Router {
    Router::new()
        .route(
            "/api/cloud-migration",
            post(cloud_migration::begin).get(cloud_migration::newest),
        )
        .route("/api/cloud-migration/cancel", put(cloud_migration::cancel))
        .route("/api/cloud-migration/history", get(history::list))
        .route("/api/cloud-migration/retry", post(history::retry))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .with_state(api)
}

/// Serves the API until `shutdown` is done; running requests end by themselves.
///
/// # Errors
/// If the listening socket fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    api: Api,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(api))
        .with_graceful_shutdown(shutdown)
        .await
}
