//! A network that can go silent: it takes everything and passes nothing on, without an error, as a cut cable does.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a silent connection looks whether it may speak again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Stands before a database; ends with the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silencer {
    silent: Arc<AtomicBool>,
}

impl Silencer {
    /// Listens before the database of this URL; answers the URL through it.
    pub(super) fn before(&self, url: &str) -> String {
        let (start, rest) = url.split_once('@').expect("postgres://USER@HOST:PORT/DATABASE");
        let (behind, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, silencer) = (behind.to_owned(), self.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&behind)) else {
                    return;
                };
                silencer.pass(client.try_clone().unwrap(), server.try_clone().unwrap());
                silencer.pass(server, client);
            }
        });
        format!("{start}@{address}/{database}")
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let silent = Arc::clone(&self.silent);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let read = from.read(&mut buffer).unwrap_or(0);
                while silent.load(Ordering::Relaxed) {
                    std::thread::park_timeout(LOOK_EVERY);
                }
                if read == 0 || to.write_all(&buffer[..read]).is_err() {
                    to.shutdown(std::net::Shutdown::Both).ok();
                    return;
                }
            }
        });
    }

    pub(crate) fn go_silent(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn speak_again(&self) {
        self.silent.store(false, Ordering::Relaxed);
    }
}
