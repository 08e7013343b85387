//! A store that begins migrations at once and then never takes an object, or does not even begin one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Listens until the test ends.
pub(crate) struct SlowStore {
    address: SocketAddr,
}

/// Where it stops to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silent {
    /// Asked to begin a migration.
    FromTheBeginning,
    /// Sent an object.
    Receiving,
}

impl SlowStore {
    pub(crate) fn start(silent: Silent) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(&stream, address, silent));
            }
        });
        Self { address }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(stream: &TcpStream, address: SocketAddr, silent: Silent) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|&read| read > 0)?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        if first.starts_with("PUT /objects/") {
            // Reads the first bytes, keeps the connection, and says nothing.
            reader.read_exact(&mut [0; 1]).ok()?;
            std::thread::park();
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        if silent == Silent::FromTheBeginning && first.starts_with("POST") {
            std::thread::park();
        }
        let body = if first.starts_with("POST") {
            format!(r#"{{"id":"slow","upload_url":"http://{address}/objects/slow?signature=secret"}}"#)
        } else {
            "{}".to_owned()
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        (&mut &*stream).write_all(answer.as_bytes()).ok()?;
    }
}
