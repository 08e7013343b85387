//! As much of S3 as a download asks for, over one object: sizes, MD5s, ranges, and a connection that breaks.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Serves `bytes` under any name, with that `ETag`; the first answers break off in their middle.
pub(super) fn serve(bytes: Vec<u8>, etag: &str, breaks: u32) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let gets = Arc::new(AtomicU32::new(0));
    let (counted, etag) = (Arc::clone(&gets), etag.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever hangs up early has his reasons.
            let _ = answer(&mut stream.unwrap(), &bytes, &etag, breaks, &counted);
        }
    });
    (endpoint, gets)
}

fn answer(
    stream: &mut TcpStream,
    bytes: &[u8],
    etag: &str,
    breaks: u32,
    gets: &AtomicU32,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut from = 0;
    for header in lines {
        let header = header?.to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(range) = header.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
    }
    let rest = &bytes[from..];
    let status = if from == 0 {
        "200 OK".to_owned()
    } else {
        format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{}",
            bytes.len() - 1,
            bytes.len()
        )
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{etag}\"\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    if !request.starts_with("GET /freight/some/dump.mv.db") {
        return Ok(());
    }
    let sent = if gets.fetch_add(1, Ordering::Relaxed) < breaks {
        rest.len() / 2
    } else {
        rest.len()
    };
    stream.write_all(&rest[..sent])
}
