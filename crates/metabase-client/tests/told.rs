//! Who is asked for read-only, by whom, and what is left of it, over the fakes of an app DB that Metabase writes too.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{LeaseStore, ReadOnlyBefore, ReadOnlyGuard};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_metabase::Secret;
use metaferry_metabase_client::{ApiConfig, Behind, NodeApi, Route, ToldReadOnly};
use metaferry_test_kit::fake::{Process, World};
use serde_json::{Value, json};

/// A lease that outlasts every test, in milliseconds.
const TERM_MS: u64 = 3_600_000;

/// A Metabase over that app DB, and what it was asked to write.
#[derive(Clone)]
struct Metabase {
    world: World,
    written: Arc<Mutex<Vec<Value>>>,
}

impl Metabase {
    async fn start(world: &World) -> (Self, NodeApi) {
        let metabase = Self {
            world: world.clone(),
            written: Arc::default(),
        };
        let read = async |State(metabase): State<Self>| {
            let value = metabase.world.durable().read_only;
            Json(json!(value.as_deref() == Some("true")))
        };
        let write = async |State(metabase): State<Self>, Json(body): Json<Value>| {
            let value = body["value"].as_bool().map(|value| value.to_string());
            metabase.world.change(|durable| durable.read_only = value);
            metabase.written.lock().unwrap().push(body["value"].clone());
            StatusCode::NO_CONTENT
        };
        let routes = Router::new()
            .route("/api/setting/read-only-mode", get(read).put(write))
            .with_state(metabase.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = node_at(&listener);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (metabase, node)
    }

    fn written(&self) -> Vec<Value> {
        self.written.lock().unwrap().clone()
    }
}

fn node_at(listener: &tokio::net::TcpListener) -> NodeApi {
    node_that_answers_within(listener, ApiConfig::default().answer)
}

fn node_that_answers_within(listener: &tokio::net::TcpListener, answer: Duration) -> NodeApi {
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = ApiConfig {
        route: Route::Direct,
        answer,
        ..ApiConfig::default()
    };
    NodeApi::new(&address, &Secret::new("mb_key"), config).unwrap()
}

/// A process that holds the lease, and what it asks by.
async fn told(world: &World, node: NodeApi) -> (Arc<Process>, ToldReadOnly, FencingToken) {
    told_by(world, vec![node]).await
}

async fn told_by(world: &World, nodes: Vec<NodeApi>) -> (Arc<Process>, ToldReadOnly, FencingToken) {
    let process = world.process();
    let lease = process.acquire("node", TERM_MS).await.unwrap();
    let told = ToldReadOnly::new(nodes, Behind::AppDb(process.clone()), process.clone());
    (process, told, lease.token)
}

#[tokio::test]
async fn who_lost_the_lease_asks_for_nothing_any_more() {
    let world = World::new(1);
    let (metabase, node) = Metabase::start(&world).await;
    let (process, told, stale) = told(&world, node).await;
    let before = told.before().await.unwrap();
    let lease = process.current().await.unwrap().unwrap().lease;
    process.release(&lease).await.unwrap();
    world.process().acquire("another", TERM_MS).await.unwrap();
    for error in [
        told.engage(stale, ReadOnlyStrength::Flag, &before, &Cancellation::new())
            .await
            .unwrap_err(),
        {
            world.change(|durable| durable.read_only = Some("true".into()));
            told.restore(stale, &before).await.unwrap_err()
        },
    ] {
        assert_eq!(error.kind, ErrorKind::Precondition, "{}", error.chain());
    }
    assert_eq!(metabase.written(), [Value::Null; 0]);
}

#[tokio::test]
async fn only_what_is_ours_is_put_back() {
    let world = World::new(1);
    let (metabase, node) = Metabase::start(&world).await;
    let (_process, told, token) = told(&world, node).await;
    let before = |value: Option<&str>| ReadOnlyBefore {
        value: value.map(str::to_owned),
        ours: "true".to_owned(),
    };
    // An administrator's own: neither asked for nor put back.
    world.change(|durable| durable.read_only = Some("true".into()));
    told.restore(token, &before(Some("true"))).await.unwrap();
    // Somebody has switched off since.
    world.change(|durable| durable.read_only = Some("false".into()));
    told.restore(token, &before(None)).await.unwrap();
    assert_eq!(metabase.written(), [Value::Null; 0]);
    // Ours; that there was none before is put back as such.
    world.change(|durable| durable.read_only = Some("true".into()));
    told.restore(token, &before(None)).await.unwrap();
    assert_eq!(metabase.written(), [Value::Null]);
    assert_eq!(world.durable().read_only, None);
    // Asked once more it changes nothing.
    told.restore(token, &before(None)).await.unwrap();
    assert_eq!(metabase.written().len(), 1);
}

#[tokio::test]
async fn a_node_that_is_silent_does_not_keep_another_one_from_putting_it_back() {
    let world = World::new(1);
    let (metabase, node) = Metabase::start(&world).await;
    // Connections are taken by the system, and nobody ever answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_process, told, token) = told_by(&world, vec![node_at(&silent), node]).await;
    let before = told.before().await.unwrap();
    world.change(|durable| durable.read_only = Some("true".into()));
    told.restore(token, &before).await.unwrap();
    assert_eq!(metabase.written().len(), 1, "by the app DB it is put back too");
    assert_eq!(world.durable().read_only, before.value);
}

#[tokio::test]
async fn what_somebody_has_set_meanwhile_is_not_written_over() {
    let world = World::new(1);
    let (metabase, node) = Metabase::start(&world).await;
    let (_process, told, token) = told(&world, node).await;
    let before = told.before().await.unwrap();
    world.change(|durable| durable.read_only = Some("theirs".into()));
    let refused = told
        .engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{}", refused.chain());
    assert_eq!(metabase.written(), [Value::Null; 0]);
}

#[tokio::test]
async fn a_question_is_given_up_once_nobody_wants_the_answer() {
    let world = World::new(1);
    let (metabase, node) = Metabase::start(&world).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_process, told, token) = told_by(&world, vec![node_at(&silent), node]).await;
    let before = told.before().await.unwrap();
    let cancel = Cancellation::new();
    let engaging = told.engage(token, ReadOnlyStrength::Flag, &before, &cancel);
    let stopping = async {
        let asked = silent.accept().await;
        cancel.cancel();
        asked
    };
    let both = async { tokio::join!(engaging, stopping) };
    let (engaged, _asked) = tokio::time::timeout(Duration::from_secs(2), both).await.unwrap();
    assert_eq!(engaged.unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(metabase.written(), [Value::Null; 0]);
}

#[tokio::test]
async fn nobody_else_is_asked_to_switch_once_it_is_not_wanted() {
    let world = World::new(1);
    let (metabase, node) = Metabase::start(&world).await;
    let cancel = Cancellation::new();
    let write = {
        let cancel = cancel.clone();
        async move || {
            cancel.cancel();
            std::future::pending::<StatusCode>().await
        }
    };
    let routes = Router::new().route(
        "/api/setting/read-only-mode",
        get(async || Json(json!(false))).put(write),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = node_that_answers_within(&listener, Duration::from_millis(300));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let (_process, told, token) = told_by(&world, vec![slow, node]).await;
    let before = told.before().await.unwrap();
    let engaged = told.engage(token, ReadOnlyStrength::Flag, &before, &cancel).await;
    assert_eq!(engaged.unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(metabase.written(), [Value::Null; 0]);
}
