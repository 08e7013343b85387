//! Every migration with its attempts, and another attempt of the newest one. Errors here are problem JSON.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;

use crate::caller::{Access, require_superuser};
use crate::problem::{Problem, ProblemJson};
use crate::router::{Api, Hosting};
use crate::wire::{AccountBody, MigrationBody};

/// Migrations in one answer.
const LIMIT: u32 = 50;

/// The newest migrations, newest first.
pub(crate) async fn list(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Json<Vec<AccountBody>>, ProblemJson> {
    require_superuser(&*api.authenticator, &headers, Access::Read).await?;
    let accounts = api.orchestrator.accounts(LIMIT).await.map_err(Problem::from)?;
    Ok(Json(accounts.iter().map(AccountBody::from).collect()))
}

/// Begins another attempt of the newest migration; answers its row while the work goes on.
pub(crate) async fn retry(
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Json<MigrationBody>, ProblemJson> {
    require_superuser(&*api.authenticator, &headers, Access::Change).await?;
    match api.hosting {
        Hosting::MetabaseCloud => return Err(Problem::Hosted.into()),
        Hosting::SelfHosted => {}
    }
    let row = api.orchestrator.retry().await.map_err(Problem::NotBegun)?;
    Ok(Json(MigrationBody::from(&row)))
}
