//! A network that can go silent, taking everything and passing nothing on without an error, as a cut cable does; or slow.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// How often a silent connection looks whether it may speak again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a connection passes on at once.
const PIECE_BYTES: usize = 1 << 13;

/// Stands before a database; ends with the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    silent: Arc<AtomicBool>,
    /// Of each connection and direction; 0 is without bound.
    bytes_per_second: Arc<AtomicUsize>,
    passed_bytes: Arc<AtomicUsize>,
}

impl Network {
    /// Listens before the database of this URL; answers the URL through it.
    pub(crate) fn before(&self, url: &str) -> String {
        let (start, rest) = url.split_once('@').expect("postgres://USER@HOST:PORT/DATABASE");
        let (behind, database) = rest.split_once('/').unwrap();
        let address = self.listen("127.0.0.1", behind);
        format!("{start}@{address}/{database}")
    }

    /// Listens at that address, before what is `behind`.
    pub(crate) fn listen(&self, address: &str, behind: &str) -> SocketAddr {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (behind, network) = (behind.to_owned(), self.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&behind)) else {
                    return;
                };
                network.pass(client.try_clone().unwrap(), server.try_clone().unwrap());
                network.pass(server, client);
            }
        });
        address
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let network = self.clone();
        std::thread::spawn(move || {
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                let read = from.read(&mut piece).unwrap_or(0);
                while network.silent.load(Ordering::Relaxed) {
                    std::thread::park_timeout(LOOK_EVERY);
                }
                if read == 0 || to.write_all(&piece[..read]).is_err() {
                    to.shutdown(std::net::Shutdown::Both).ok();
                    return;
                }
                network.passed_bytes.fetch_add(read, Ordering::Relaxed);
                let bound = network.bytes_per_second.load(Ordering::Relaxed);
                if let Some(millis) = (read * 1000).checked_div(bound) {
                    std::thread::park_timeout(Duration::from_millis(millis as u64));
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

    pub(crate) fn slow_down_to(&self, bytes_per_second: usize) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    /// In both directions, so far.
    pub(crate) fn passed_bytes(&self) -> usize {
        self.passed_bytes.load(Ordering::Relaxed)
    }
}
