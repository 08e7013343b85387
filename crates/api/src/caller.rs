//! Who is calling, by the cookies and headers that Metabase itself uses.

use axum::http::{HeaderMap, header};
use metaferry_domain::ports::{Authenticator, Caller, Credentials};

use crate::problem::Problem;

const SESSION_COOKIE: &str = "metabase.SESSION";
const SESSION_HEADER: &str = "x-metabase-session";
const API_KEY_HEADER: &str = "x-api-key";

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Change,
}

/// Lets superusers through, and nobody else.
pub(crate) async fn require_superuser(
    authenticator: &dyn Authenticator,
    headers: &HeaderMap,
    access: Access,
) -> Result<(), Problem> {
    let (credentials, by_cookie) = credentials(headers);
    if access == Access::Change && by_cookie && !is_same_origin(headers) {
        return Err(Problem::Forbidden(
            "this request comes from another site; nothing was changed",
        ));
    }
    match authenticator.authenticate(&credentials).await? {
        Caller::Superuser => Ok(()),
        Caller::Ordinary => Err(Problem::Forbidden("You don't have permissions to do that.")),
        Caller::Unknown => Err(Problem::Unauthenticated),
    }
}

fn credentials(headers: &HeaderMap) -> (Credentials, bool) {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .filter(|value| !value.is_empty())
    };
    if let Some(key) = text(API_KEY_HEADER) {
        return (Credentials::ApiKey(key.to_owned()), false);
    }
    if let Some(session) = session_cookie(headers) {
        return (Credentials::Session(session), true);
    }
    match text(SESSION_HEADER) {
        Some(session) => (Credentials::Session(session.to_owned()), false),
        None => (Credentials::None, false),
    }
}

fn session_cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, value)| *name == SESSION_COOKIE && !value.is_empty())
        .map(|(_, value)| value.to_owned())
}

/// Browsers say where a request comes from; a page of another site must not use a cookie to change anything.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
    {
        return false;
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use metaferry_domain::ports::Credentials;

    use super::{credentials, is_same_origin};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn finds_credentials_where_metabase_does() {
        let found = |pairs| credentials(&headers(pairs));
        assert_eq!(found(&[]), (Credentials::None, false));
        assert_eq!(
            found(&[("cookie", "a=b; metabase.SESSION=s1; c=d")]),
            (Credentials::Session("s1".to_owned()), true)
        );
        assert_eq!(
            found(&[("x-metabase-session", "s2")]),
            (Credentials::Session("s2".to_owned()), false)
        );
        assert_eq!(
            found(&[("cookie", "metabase.SESSION=s1"), ("x-api-key", "mb_k")]),
            (Credentials::ApiKey("mb_k".to_owned()), false)
        );
        assert_eq!(
            found(&[("cookie", "metabase.SESSION=")]),
            (Credentials::None, false)
        );
    }

    #[test]
    fn a_page_of_another_site_is_told_apart() {
        let same = |pairs| is_same_origin(&headers(pairs));
        assert!(same(&[("host", "mb.example:3030")]));
        assert!(same(&[
            ("host", "mb.example:3030"),
            ("origin", "https://mb.example:3030")
        ]));
        assert!(!same(&[
            ("host", "mb.example:3030"),
            ("origin", "https://mb.example")
        ]));
        assert!(!same(&[("host", "mb.example"), ("origin", "null")]));
        assert!(!same(&[("host", "mb.example"), ("sec-fetch-site", "cross-site")]));
    }
}
