//! A stand-in for Metabase's nodes, as their API is known to behave: a key, a setting that the environment may override, and a
//! cache for each node, renewed when the row `settings-last-updated` has grown.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

/// An administrator's key.
pub(crate) const KEY: &str = "mb_the+horse+that+is+never+shown==";

/// A real node looks after 60 s.
const CACHE: Duration = Duration::from_millis(1_000);

/// Where the setting's row is.
#[derive(Clone)]
pub(crate) enum Rows {
    /// In this Postgres.
    Postgres(String),
    /// In a file that nobody else can open.
    Own(Arc<Mutex<Option<String>>>),
}

impl Rows {
    fn sql(url: &str, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn last_updated(&self) -> String {
        match self {
            Self::Postgres(url) => Self::sql(
                url,
                "SELECT value FROM setting WHERE key = 'settings-last-updated'",
            ),
            Self::Own(_) => String::new(),
        }
    }

    fn read(&self) -> Option<String> {
        match self {
            Self::Postgres(url) => {
                let value = Self::sql(url, "SELECT value FROM setting WHERE key = 'read-only-mode'");
                Some(value).filter(|value| !value.is_empty())
            }
            Self::Own(value) => value.lock().unwrap().clone(),
        }
    }

    /// As Metabase does: the row, every column of it, and the bump.
    fn write(&self, value: Option<&str>) {
        let url = match self {
            Self::Own(row) => {
                *row.lock().unwrap() = value.map(str::to_owned);
                return;
            }
            Self::Postgres(url) => url,
        };
        let aad = Self::sql(
            url,
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'setting'::regclass AND attname = 'value_with_aad'",
        );
        let change = match (value, aad.as_str()) {
            (None, _) => "DELETE FROM setting WHERE key = 'read-only-mode'".to_owned(),
            (Some(value), "0") => format!(
                "INSERT INTO setting (key, value) VALUES ('read-only-mode', '{value}')
                 ON CONFLICT (key) DO UPDATE SET value = '{value}'"
            ),
            (Some(value), _) => format!(
                "INSERT INTO setting (key, value, value_with_aad) VALUES ('read-only-mode', '{value}', '{value}')
                 ON CONFLICT (key) DO UPDATE SET value = '{value}', value_with_aad = '{value}'"
            ),
        };
        Self::sql(
            url,
            &format!(
                "{change}; UPDATE setting SET value = CAST(current_timestamp AS text) WHERE key = 'settings-last-updated'"
            ),
        );
    }
}

#[derive(Clone)]
struct Node {
    rows: Rows,
    /// `MB_READ_ONLY_MODE` of this node.
    overridden: Option<bool>,
    cache: Arc<Mutex<Cache>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether it is being waited for before read-only is switched on.
    held: watch::Sender<bool>,
}

struct Cache {
    value: Option<String>,
    last_updated: String,
    looked: Instant,
}

/// Nodes that answer; they end with it.
pub(crate) struct Metabase {
    runtime: Option<tokio::runtime::Runtime>,
    addresses: Vec<SocketAddr>,
    asked: Arc<Mutex<Vec<String>>>,
    held: watch::Sender<bool>,
}

impl Metabase {
    /// One node for each override that there may be.
    pub(crate) fn start(rows: &Rows, overrides: &[Option<bool>]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let held = watch::Sender::new(false);
        let mut addresses = Vec::new();
        for overridden in overrides {
            let node = Node {
                cache: Arc::new(Mutex::new(Cache {
                    value: rows.read(),
                    last_updated: rows.last_updated(),
                    looked: Instant::now(),
                })),
                rows: rows.clone(),
                overridden: *overridden,
                asked: Arc::clone(&asked),
                held: held.clone(),
            };
            let routes = Router::new()
                .route("/api/setting/read-only-mode", get(read).put(write))
                .with_state(node);
            let listener = runtime
                .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
                .unwrap();
            addresses.push(listener.local_addr().unwrap());
            runtime.spawn(async move { axum::serve(listener, routes).await });
        }
        Self {
            runtime: Some(runtime),
            addresses,
            asked,
            held,
        }
    }

    /// Whoever asks to switch read-only on waits from now on.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Until now.
    pub(crate) fn let_go(&self) {
        self.held.send_replace(false);
    }

    pub(crate) fn address(&self, node: usize) -> String {
        format!("http://{}", self.addresses[node])
    }

    /// All of them, as `METAFERRY_METABASE_URL` has them.
    pub(crate) fn addresses(&self) -> String {
        let all = (0..self.addresses.len()).map(|node| self.address(node));
        all.collect::<Vec<_>>().join(",")
    }

    /// What was asked to be written, in order.
    pub(crate) fn written(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// No node answers any more.
    pub(crate) fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Metabase {
    fn drop(&mut self) {
        self.end();
    }
}

fn refusal(headers: &HeaderMap) -> Option<Response> {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok());
    (key != Some(KEY)).then(|| (StatusCode::UNAUTHORIZED, "Unauthenticated").into_response())
}

async fn read(State(node): State<Node>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refusal(&headers) {
        return refusal;
    }
    let value = tokio::task::spawn_blocking(move || node.goes_by()).await.unwrap();
    Json(value).into_response()
}

async fn write(State(node): State<Node>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if let Some(refusal) = refusal(&headers) {
        return refusal;
    }
    node.asked.lock().unwrap().push(body.to_string());
    if body["value"] == true {
        let mut held = node.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
    }
    let written = tokio::task::spawn_blocking(move || {
        let value = match &body["value"] {
            Value::Bool(value) => Some(value.to_string()),
            Value::Null => None,
            other => panic!("{other}"),
        };
        node.rows.write(value.as_deref());
        let mut cache = node.cache.lock().unwrap();
        cache.value = value;
        cache.last_updated = node.rows.last_updated();
    });
    written.await.unwrap();
    StatusCode::NO_CONTENT.into_response()
}

impl Node {
    fn goes_by(&self) -> Value {
        if let Some(overridden) = self.overridden {
            return json!(overridden);
        }
        let mut cache = self.cache.lock().unwrap();
        if let Rows::Own(_) = self.rows {
            cache.value = self.rows.read();
        } else if cache.looked.elapsed() >= CACHE {
            cache.looked = Instant::now();
            let last_updated = self.rows.last_updated();
            // A node reloads if that has grown, as text.
            if last_updated > cache.last_updated {
                cache.last_updated = last_updated;
                cache.value = self.rows.read();
            }
        }
        json!(cache.value.as_deref() == Some("true"))
    }
}
