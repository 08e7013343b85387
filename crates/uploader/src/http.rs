//! Plain HTTP with what every call needs: named time-outs, no redirects, errors by kind and without a URL.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use metaferry_domain::{ErrorKind, PortError};
use url::Url;

use crate::HttpFailure;

/// So much of an error's body is read to find its code.
const ERROR_BODY_BYTES_MAX: usize = 8 << 10;
/// The longest error code that is believed to be one.
const CODE_CHARS_MAX: usize = 64;

/// How to reach other machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// For a connection to be made.
    pub connect: Duration,
    /// For the answer to a call without a large body.
    pub answer: Duration,
    /// For the answer to a completion: the store may have to put the parts together first.
    pub completion: Duration,
    /// How long a body may make no progress, or its answer may fail to come, before the try is ended.
    pub stall: Duration,
    /// Whether the proxies of the environment are used.
    pub proxies: Proxies,
}

/// Whether `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// They do.
    OfEnvironment,
    /// They do not.
    None,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            completion: Duration::from_secs(15 * 60),
            stall: Duration::from_secs(60),
            proxies: Proxies::OfEnvironment,
        }
    }
}

/// A client that the adapters share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient {
    pub(crate) inner: reqwest::Client,
    pub(crate) config: HttpConfig,
}

impl HttpClient {
    /// A client with those time-outs.
    ///
    /// # Errors
    /// `Unsupported`, if TLS cannot be set up on this machine.
    pub fn new(config: HttpConfig) -> Result<Self, PortError> {
        // A redirect is never followed: a body cannot be sent twice, and a PUT that became a GET would look done.
        let mut builder = reqwest::Client::builder()
            .connect_timeout(config.connect)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("metaferry/", env!("CARGO_PKG_VERSION")));
        if config.proxies == Proxies::None {
            builder = builder.no_proxy();
        }
        let inner = builder.build().map_err(|error| {
            PortError::new(ErrorKind::Unsupported, "cannot set up an HTTP client").because(error)
        })?;
        Ok(Self { inner, config })
    }
}

/// The part of a URL that may be told: its host and port.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("the store");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL that somebody handed out; its text is not shown, for its query may be a secret.
pub(crate) fn handed_out(url: &str) -> Result<Url, PortError> {
    let unusable = || {
        PortError::new(
            ErrorKind::Unsupported,
            "the store handed out something that is no HTTP URL",
        )
    };
    let url = Url::parse(url).map_err(|_| unusable())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(unusable())
    }
}

/// No answer came.
pub(crate) fn no_answer(host: &str, error: reqwest::Error) -> PortError {
    let what = if error.is_timeout() {
        format!("{host} did not answer in time")
    } else if error.is_connect() {
        format!("cannot reach {host}")
    } else {
        format!("the connection to {host} broke")
    };
    // The URL is cut off: a presigned one is a secret.
    PortError::new(ErrorKind::Unavailable, what).because(error.without_url())
}

/// Returns once `sent` has not grown for `limit` (and at the latest after twice that).
pub(crate) async fn stalled(sent: impl Fn() -> u64, limit: Duration) {
    let mut seen = None;
    loop {
        let now = sent();
        if seen == Some(now) {
            return;
        }
        seen = Some(now);
        tokio::time::sleep(limit).await;
    }
}

/// `call`, unless `counter` stands still for `limit`.
pub(crate) async fn unless_stalled<T>(
    host: &str,
    limit: Duration,
    counter: &AtomicU64,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    tokio::select! {
        done = call => done,
        () = stalled(|| counter.load(Ordering::Relaxed), limit) => Err(PortError::new(
            ErrorKind::Unavailable,
            format!("sending to {host} stood still for {} ms", limit.as_millis()),
        )),
    }
}

/// `what` failed with that answer: the kind from status and code, the rest for people.
pub(crate) async fn refused(what: &str, host: &str, mut response: reqwest::Response) -> PortError {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece[..piece.len().min(ERROR_BODY_BYTES_MAX - body.len())]);
        if body.len() == ERROR_BODY_BYTES_MAX {
            break;
        }
    }
    let code = error_code(&String::from_utf8_lossy(&body));
    failure(
        what,
        HttpFailure {
            host: host.to_owned(),
            status,
            code,
            retry_after,
        },
    )
}

/// The error of a port for an answer that was no success.
pub(crate) fn failure(what: &str, failure: HttpFailure) -> PortError {
    let kind = kind_of(failure.status, failure.code.as_deref());
    PortError::new(kind, what).because(failure)
}

/// One table for every store: what a status means, and where the code in the body says it better.
pub(crate) fn kind_of(status: u16, code: Option<&str>) -> ErrorKind {
    match (status, code) {
        (
            400,
            Some("BadDigest" | "bad_digest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch"),
        ) => ErrorKind::Corrupt,
        (400, Some("RequestTimeout" | "IncompleteBody" | "incomplete_body")) => ErrorKind::Unavailable,
        (400, Some("EntityTooLarge")) => ErrorKind::Exhausted,
        (400, Some("ExpiredToken" | "InvalidToken")) => ErrorKind::Denied,
        (409, Some("OperationAborted")) => ErrorKind::Unavailable,
        (401 | 403, _) => ErrorKind::Denied,
        (404 | 410, _) => ErrorKind::NotFound,
        (408 | 425 | 429, _) => ErrorKind::Unavailable,
        (409, _) => ErrorKind::Conflict,
        (413 | 507, _) => ErrorKind::Exhausted,
        (405 | 411 | 501, _) => ErrorKind::Unsupported,
        (500..=599, _) => ErrorKind::Unavailable,
        // A redirect, 400, 412 and whatever else: the same request would get the same answer.
        (..) => ErrorKind::Precondition,
    }
}

/// S3's `<Code>…</Code>`, or the word before the colon of our own store's answers. Nothing else of a body is
/// shown: S3 puts the request's signature there.
fn error_code(body: &str) -> Option<String> {
    let code = match body.split_once("<Code>") {
        Some((_, rest)) => rest.split_once("</Code>")?.0,
        None => body.split_once(": ")?.0,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    (!code.is_empty() && code.len() <= CODE_CHARS_MAX && code.bytes().all(plain)).then(|| code.to_owned())
}

/// Seconds, or a date, which is measured by the same answer's `Date`: two clocks need not agree.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = http_date(headers.get(http::header::DATE)?.to_str().ok()?)?;
    Some(Duration::from_secs(http_date(text)?.saturating_sub(now)))
}

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split([' ', ':']);
    let mut number = || words.next()?.parse::<u64>().ok();
    let day = number()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let mut number = || words.next()?.parse::<u64>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days before a month in a year that begins in March, so that the leap day comes last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests;
