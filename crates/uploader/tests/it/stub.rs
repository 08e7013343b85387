//! A store that fails on command: plain TCP, so that it can also break what HTTP promises.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use md5::{Digest, Md5};
use metaferry_domain::Cancellation;
use metaferry_domain::ports::Destination;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// In the query of every URL that is handed out.
pub(crate) const SECRET: &str = "X-Amz-Signature=5ec4e7";

/// What to do with one PUT of bytes.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Take it: 200 and the MD5 as `ETag`.
    Take,
    /// 200 without an `ETag`.
    NoEtag,
    /// 200 and the MD5 of something else, with these header lines.
    WrongEtag(&'static str),
    /// Read it and answer this status line and header lines.
    Answer(&'static str, &'static str),
    /// Hang up after so many bytes of the body.
    HangUpAfter(usize),
    /// Read nothing and say nothing.
    Freeze,
    /// Write to this file, then take it.
    Overwrite(PathBuf),
    /// Raise this flag, then read nothing and say nothing.
    CancelAndFreeze(Cancellation),
}

/// One request, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_bytes(&self) -> bool {
        self.line.starts_with("PUT /bytes/")
    }
}

#[derive(Default)]
struct Script {
    acts: VecDeque<Act>,
    answers: VecDeque<(&'static str, String)>,
    seen: Vec<Seen>,
    uploads: u32,
}

/// The stub, serving.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) base: String,
    script: Arc<Mutex<Script>>,
}

impl Stub {
    /// Plays those acts, one per PUT of bytes, then takes everything.
    pub(crate) async fn playing(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let script = Script {
            acts: acts.into_iter().collect(),
            ..Script::default()
        };
        let stub = Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::new(Mutex::new(script)),
        };
        let server = stub.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(socket).await });
            }
        });
        stub
    }

    /// Answers the next call of the API with this status line and body.
    pub(crate) fn answer_api(&self, status: &'static str, body: &str) {
        self.script
            .lock()
            .unwrap()
            .answers
            .push_back((status, body.to_owned()));
    }

    pub(crate) fn destination(&self) -> Destination {
        let upload_url = format!("{}/bytes/whole?{SECRET}", self.base);
        Destination::Store {
            external_id: "abc".to_owned(),
            upload_url,
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }

    /// The PUTs of bytes.
    pub(crate) fn puts(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(Seen::is_bytes).collect()
    }

    async fn serve(&self, mut socket: TcpStream) {
        let Some(mut request) = head(&mut socket).await else {
            return;
        };
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        if !request.is_bytes() {
            read_body(&mut socket, &mut request, length).await;
            let answer = self.api(&request);
            self.script.lock().unwrap().seen.push(request);
            let _gone = socket.write_all(answer.as_bytes()).await;
            return;
        }
        let act = self.script.lock().unwrap().acts.pop_front().unwrap_or(Act::Take);
        let reads = match act {
            Act::HangUpAfter(bytes) => bytes,
            Act::Freeze | Act::CancelAndFreeze(_) => 0,
            _ => length,
        };
        read_body(&mut socket, &mut request, reads).await;
        let md5 = hex::encode(Md5::digest(&request.body));
        self.script.lock().unwrap().seen.push(request);
        let take = || {
            format!("HTTP/1.1 200 OK\r\nETag: \"{md5}\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        };
        let answer = match act {
            Act::Take => take(),
            Act::Overwrite(file) => {
                std::fs::write(file, b"another file by now").unwrap();
                take()
            }
            Act::NoEtag => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned(),
            Act::WrongEtag(headers) => format!(
                "HTTP/1.1 200 OK\r\nETag: \"00000000000000000000000000000bad\"\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            Act::Answer(status, headers) => {
                format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
            }
            Act::HangUpAfter(_) => return,
            Act::Freeze => return std::future::pending().await,
            Act::CancelAndFreeze(flag) => {
                flag.cancel();
                return std::future::pending().await;
            }
        };
        let _gone = socket.write_all(answer.as_bytes()).await;
    }

    /// The store API: what was told to answer, else what a store answers. Keys in kebab case.
    fn api(&self, request: &Seen) -> String {
        let mut script = self.script.lock().unwrap();
        let (status, body) = script.answers.pop_front().unwrap_or_else(|| {
            let line = request.line.as_str();
            if line.starts_with("PUT /api/v2/migration/abc/multipart/complete ") {
                ("200 OK", "{}".to_owned())
            } else if line.starts_with("PUT /api/v2/migration/abc/multipart ") {
                script.uploads += 1;
                let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                let url = |number: u64| {
                    (
                        number.to_string(),
                        format!("{}/bytes/{number}?{SECRET}", self.base).into(),
                    )
                };
                let urls: serde_json::Map<_, _> =
                    (1..=asked["part_count"].as_u64().unwrap()).map(url).collect();
                let upload = format!("upload-{}", script.uploads);
                (
                    "200 OK",
                    serde_json::json!({"multipart-upload-id": upload, "multipart-urls": urls}).to_string(),
                )
            } else {
                ("404 Not Found", "no".to_owned())
            }
        });
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

async fn head(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let header = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    Some(Seen {
        line,
        headers: lines.filter_map(header).collect(),
        body: Vec::new(),
    })
}

async fn read_body(socket: &mut TcpStream, request: &mut Seen, bytes: usize) {
    request.body = vec![0; bytes];
    if socket.read_exact(&mut request.body).await.is_err() {
        request.body.clear();
    }
}
