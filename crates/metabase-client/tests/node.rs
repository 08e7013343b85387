//! What answers, and what becomes of it: each answer is an axum server's, on a port of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::Secret;
use metaferry_metabase::read_only::ReadOnlyMode;
use metaferry_metabase_client::{ApiConfig, NodeApi, Route};

const KEY: &str = "mb_horse";

/// A node that always answers so.
async fn node(answer: impl Fn(HeaderMap) -> Response + Clone + Send + Sync + 'static) -> NodeApi {
    let routes = Router::new().route(
        "/mb/api/setting/read-only-mode",
        any(move |headers: HeaderMap| async move { answer(headers) }),
    );
    at(routes).await
}

async fn at(routes: Router) -> NodeApi {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/mb/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    NodeApi::new(&address, &Secret::new(KEY), config()).unwrap()
}

fn config() -> ApiConfig {
    ApiConfig {
        answer: Duration::from_secs(2),
        route: Route::Direct,
        ..ApiConfig::default()
    }
}

/// Says who it is, and never the key.
fn judge(node: &NodeApi, error: &PortError, kind: ErrorKind, word: &str) {
    let said = error.chain();
    assert_eq!(error.kind, kind, "{said}");
    assert!(said.contains(word) && said.contains(node.address()), "{said}");
    assert!(
        !said.contains("horse") && !format!("{node:?}").contains("horse"),
        "{said}"
    );
}

#[tokio::test]
async fn a_value_is_true_or_false_or_none() {
    for (body, expected) in [
        ("true", ReadOnlyMode::On),
        ("false", ReadOnlyMode::Off),
        ("null", ReadOnlyMode::Off),
        ("\"true\"", ReadOnlyMode::On),
    ] {
        let node = node(move |headers| {
            assert_eq!(headers["x-api-key"], KEY);
            ([(header::CONTENT_TYPE, "application/json;charset=utf-8")], body).into_response()
        })
        .await;
        assert_eq!(node.read_only().await.unwrap(), expected, "{body}");
    }
    let node = node(|_| StatusCode::NO_CONTENT.into_response()).await;
    assert_eq!(node.read_only().await.unwrap(), ReadOnlyMode::Off);
    node.set_read_only(Some("true")).await.unwrap();
}

#[tokio::test]
async fn whatever_is_no_answer_of_metabases_is_named() {
    type Answer = fn(HeaderMap) -> Response;
    let cases: [(Answer, ErrorKind, &str); 7] = [
        (
            |_| (StatusCode::UNAUTHORIZED, "Unauthenticated").into_response(),
            ErrorKind::Denied,
            "does not accept the API key",
        ),
        (
            |_| (StatusCode::FORBIDDEN, "You don't have permissions to do that.").into_response(),
            ErrorKind::Denied,
            "of no administrator",
        ),
        (
            |_| StatusCode::NOT_FOUND.into_response(),
            ErrorKind::Unsupported,
            "knows no setting read-only-mode",
        ),
        (
            |_| (StatusCode::FOUND, [(header::LOCATION, "https://sso.example/")]).into_response(),
            ErrorKind::Unsupported,
            "redirects",
        ),
        (
            |_| Html("<html>sign in</html>").into_response(),
            ErrorKind::Unsupported,
            "JSON",
        ),
        (
            |_| StatusCode::BAD_GATEWAY.into_response(),
            ErrorKind::Unavailable,
            "cannot answer now",
        ),
        // A server that echoes what it was sent.
        (
            |headers| {
                let key = headers["x-api-key"].to_str().unwrap().to_owned();
                (StatusCode::INTERNAL_SERVER_ERROR, format!("bad header {key}")).into_response()
            },
            ErrorKind::Unsupported,
            "bad header ***",
        ),
    ];
    for (answer, kind, word) in cases {
        let node = node(answer).await;
        judge(&node, &node.read_only().await.unwrap_err(), kind, word);
        judge(&node, &node.set_read_only(None).await.unwrap_err(), kind, word);
    }
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for_for_ever() {
    let routes = Router::new().fallback(std::future::pending::<Response>);
    let silent = at(routes).await;
    judge(
        &silent,
        &silent.read_only().await.unwrap_err(),
        ErrorKind::Unavailable,
        "does not answer in time",
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gone = NodeApi::new(&address, &Secret::new(KEY), config()).unwrap();
    judge(
        &gone,
        &gone.read_only().await.unwrap_err(),
        ErrorKind::Unavailable,
        "cannot be reached",
    );
}

#[test]
fn what_is_no_address_of_a_metabase_is_refused() {
    for address in [
        "metabase:3000",
        "ftp://a",
        "http://user:word@a",
        "http://a/?x=1",
        "",
    ] {
        let refused = NodeApi::new(address, &Secret::new(KEY), config()).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Unsupported, "{address}");
        assert!(!refused.chain().contains("word"), "{}", refused.chain());
    }
}
