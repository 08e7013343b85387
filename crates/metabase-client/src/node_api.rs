//! One node of Metabase at its address: one call, one attempt. Whom to ask, and when again, is the caller's.

use std::time::Duration;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::Secret;
use metaferry_metabase::read_only::ReadOnlyMode;
use metaferry_metabase::settings::READ_ONLY_MODE;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

/// The header that carries an API key.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// The longest answer that is read: a setting's value is a word.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// So much of what a refusal says is shown.
const SAID_CHARS_MAX: usize = 200;

/// How a node is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiConfig {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the whole answer.
    pub answer: Duration,
    /// Whether the proxies of the environment are used.
    pub route: Route,
}

/// Whether `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// They do.
    ByProxies,
    /// They do not.
    Direct,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(15),
            route: Route::ByProxies,
        }
    }
}

/// One node, as an administrator speaks to it.
#[derive(Debug, Clone)]
pub struct NodeApi {
    /// Without a slash at its end, and without user or password.
    address: String,
    setting: Url,
    http: reqwest::Client,
    key: Secret,
}

impl NodeApi {
    /// The node at `address` (`http://` or `https://`, with a path where Metabase has one), asked with that API key.
    ///
    /// # Errors
    /// `Unsupported`, if that is no such address, if the key cannot be sent, or TLS cannot be set up.
    pub fn new(address: &str, key: &Secret, config: ApiConfig) -> Result<Self, PortError> {
        let unusable = |what: &str| PortError::new(ErrorKind::Unsupported, what.to_owned());
        let mut base = Url::parse(address)
            .map_err(|error| unusable("the address of a Metabase is no URL").because(error))?;
        let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || !plain {
            return Err(unusable(
                "the address of a Metabase is http:// or https:// with a host, and neither user nor query",
            ));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        let address = base.as_str().trim_end_matches('/').to_owned();
        let setting = Url::parse(&format!("{address}/api/setting/{READ_ONLY_MODE}"))
            .map_err(|error| unusable("the address of a Metabase is no URL").because(error))?;
        if key.expose().is_empty() {
            return Err(unusable("the API key is empty"));
        }
        let mut header = HeaderValue::from_str(key.expose())
            .map_err(|_| unusable("the API key holds letters that no header can"))?;
        header.set_sensitive(true);
        // A redirect is never followed: a PUT that became a GET would look done, and the key is for this address.
        let mut builder = reqwest::Client::builder()
            .connect_timeout(config.connect)
            .timeout(config.answer)
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(HeaderMap::from_iter([(KEY_HEADER, header)]))
            .user_agent(concat!("metaferry/", env!("CARGO_PKG_VERSION")));
        if config.route == Route::Direct {
            builder = builder.no_proxy();
        }
        let http = builder
            .build()
            .map_err(|error| unusable("cannot set up an HTTP client").because(error))?;
        Ok(Self {
            address,
            setting,
            http,
            key: key.clone(),
        })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What this node goes by: its environment before the setting's row, and that as its cache has it.
    ///
    /// # Errors
    /// `Unavailable` if it gives no answer, `Denied` if it does not accept the key, `Unsupported` if what answers does not
    /// know the setting, or is no Metabase.
    pub async fn read_only(&self) -> Result<ReadOnlyMode, PortError> {
        let response = self.call(self.http.get(self.setting.clone())).await?;
        // No value at all is the default.
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(ReadOnlyMode::Off);
        }
        let is_json = is_json(&response);
        let body = self.body(response).await?;
        let value = serde_json::from_slice(&body).ok().filter(|_| is_json);
        match value {
            Some(Value::Bool(true)) => Ok(ReadOnlyMode::On),
            Some(Value::Bool(false) | Value::Null) => Ok(ReadOnlyMode::Off),
            Some(Value::String(text)) if text == "true" => Ok(ReadOnlyMode::On),
            Some(Value::String(text)) if text == "false" => Ok(ReadOnlyMode::Off),
            Some(Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => {
                Err(self.no_metabase("something else than true or false"))
            }
        }
    }

    /// Has this node write the setting's row and tell the others; `None` takes the row away. Done once it is answered:
    /// if the answer is lost, [`NodeApi::read_only`] shows whether it was.
    ///
    /// # Errors
    /// As [`NodeApi::read_only`].
    pub async fn set_read_only(&self, value: Option<&str>) -> Result<(), PortError> {
        let value = match value {
            None => Value::Null,
            Some("true") => Value::Bool(true),
            Some("false") => Value::Bool(false),
            Some(other) => Value::String(other.to_owned()),
        };
        let request = self.http.put(self.setting.clone());
        let response = self.call(request.json(&json!({"value": value}))).await?;
        if response.status() != StatusCode::NO_CONTENT && !is_json(&response) {
            return Err(self.no_metabase("a page"));
        }
        Ok(())
    }

    async fn call(&self, request: RequestBuilder) -> Result<Response, PortError> {
        let response = request.send().await.map_err(|error| self.no_answer(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, PortError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.no_answer(error))? {
            body.extend_from_slice(&piece);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(self.no_metabase("a very long text"));
            }
        }
        Ok(body)
    }

    fn no_answer(&self, error: reqwest::Error) -> PortError {
        let what = if error.is_timeout() {
            "does not answer in time"
        } else if error.is_connect() {
            "cannot be reached"
        } else {
            "broke the connection off"
        };
        self.error(ErrorKind::Unavailable, what)
            .because(error.without_url())
    }

    fn no_metabase(&self, answered: &str) -> PortError {
        let what = format!(
            "answered {answered} where Metabase answers JSON: name Metabase's own address in METAFERRY_METABASE_URL, with its \
             path, and no page that asks people to sign in"
        );
        self.error(ErrorKind::Unsupported, &what)
    }

    async fn refused(&self, response: Response) -> PortError {
        let status = response.status();
        let said = self.said(response).await;
        let (kind, what) = match status.as_u16() {
            401 => (
                ErrorKind::Denied,
                "does not accept the API key (METAFERRY_METABASE_API_KEY)",
            ),
            403 => (
                ErrorKind::Denied,
                "says that the API key (METAFERRY_METABASE_API_KEY) is of no administrator: its group must be Administrators",
            ),
            404 => (
                ErrorKind::Unsupported,
                "knows no setting read-only-mode: it is older than v50, or the address is another one's",
            ),
            300..=399 => (
                ErrorKind::Unsupported,
                "redirects: name the address that it redirects to in METAFERRY_METABASE_URL",
            ),
            408 | 425 | 429 | 502..=504 => (ErrorKind::Unavailable, "cannot answer now"),
            _ => (ErrorKind::Unsupported, "refuses"),
        };
        self.error(kind, &format!("{what} (status {}{said})", status.as_u16()))
    }

    /// What a refusal says, if it is a plain text of a line; without the key, should it be in there.
    async fn said(&self, response: Response) -> String {
        let is_page = content_type(&response).contains("html");
        let Ok(body) = self.body(response).await else {
            return String::new();
        };
        let text = String::from_utf8_lossy(&body).replace(self.key.expose(), "***");
        let line = text.trim().lines().next().unwrap_or_default();
        if is_page || line.is_empty() {
            return String::new();
        }
        format!(": {}", line.chars().take(SAID_CHARS_MAX).collect::<String>())
    }

    fn error(&self, kind: ErrorKind, what: &str) -> PortError {
        PortError::new(kind, format!("the Metabase at {} {what}", self.address))
    }
}

fn content_type(response: &Response) -> &str {
    let header = response.headers().get(CONTENT_TYPE);
    header.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_json(response: &Response) -> bool {
    content_type(response).contains("json")
}
