//! The three routes that Metabase itself has: begin, newest, cancel.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use metaferry_domain::event::Canceller;

use crate::caller::{Access, require_superuser};
use crate::problem::Problem;
use crate::router::{Api, Hosting};
use crate::wire::MigrationBody;

/// Begins a migration; answers its row while the work goes on.
pub(crate) async fn begin(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Json<MigrationBody>, Problem> {
    require_superuser(&*api.authenticator, &headers, Access::Change).await?;
    match api.hosting {
        Hosting::MetabaseCloud => return Err(Problem::Hosted),
        Hosting::SelfHosted => {}
    }
    let row = api.orchestrator.start().await.map_err(Problem::NotBegun)?;
    Ok(Json(MigrationBody::from(&row)))
}

/// The newest row; 204 without a body when there is none.
pub(crate) async fn newest(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    require_superuser(&*api.authenticator, &headers, Access::Read).await?;
    Ok(match api.orchestrator.history(1).await?.first() {
        Some(row) => {
            let end = api.orchestrator.end_of(row.id, row.phase).await?;
            let waits = api.orchestrator.waits_for(row.id, row.phase).await?;
            let body = MigrationBody::from(row).with_end(end.as_ref());
            Json(body.with_waiting(waits.as_ref())).into_response()
        }
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Cancels whatever has not ended; answers how many rows.
pub(crate) async fn cancel(State(api): State<Api>, headers: HeaderMap) -> Result<Json<u64>, Problem> {
    require_superuser(&*api.authenticator, &headers, Access::Change).await?;
    let by = Canceller::Caller("a superuser, through the API".to_owned());
    Ok(Json(api.orchestrator.cancel(by).await?))
}
