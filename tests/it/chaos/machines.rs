//! Machines: network namespaces of Linux, each with a cable to the database and one to the store. A cut cable loses what is
//! sent, and nobody is told: the other end gets a link address that nobody has.

use std::net::SocketAddr;
use std::process::Command;

use crate::api::network::Network;

/// A link address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";
/// Names of namespaces begin so.
const PREFIX: &str = "metaferry-test-";

/// Which way a cut cable loses what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// Both.
    Whole,
    /// What the machine sends arrives, and it hears nothing.
    Answers,
    /// It hears, and what it sends is lost.
    Questions,
}

/// One machine; it is gone with this.
pub(super) struct Machine {
    name: String,
    database: Cable,
    /// Before the database; each machine has its own, and so its own speed.
    pub(super) to_database: Network,
    /// Before the store.
    pub(super) to_store: Network,
    store: Cable,
}

/// Two ends, here and at the machine.
struct Cable {
    here: Link,
    there: Link,
}

struct Link {
    name: String,
    address: String,
}

/// Whether there may be machines here; said aloud if not.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(super) fn may_be() -> bool {
    remove_leftovers();
    let name = format!(
        "{PREFIX}{}-try{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let made = Command::new("ip").args(["netns", "add", &name]).output();
    let may = made.is_ok_and(|made| made.status.success());
    if may {
        ip(&["netns", "del", &name]);
    } else {
        eprintln!("SKIPPED: machines apart: whoever runs this may not make network namespaces (ip netns)");
    }
    may
}

/// What tests that were killed have left.
fn remove_leftovers() {
    let Ok(listed) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for name in String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| line.split(' ').next())
    {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !std::path::Path::new("/proc").join(owner).exists()) {
            // Another test may have done it in the meantime.
            Command::new("ip").args(["netns", "del", name]).output().ok();
        }
    }
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {}: {told}", words.join(" "));
}

impl Cable {
    /// Lays it. Addresses are of 198.18.0.0/15, which is set apart for tests of networks: four to a cable, and 512 to a
    /// process.
    fn lay(machine: &str, number: u32) -> Self {
        let process = std::process::id();
        let end = |end: u32| {
            let block = (process % 256) * 512 + number * 4 + end;
            let [_, a, b, c] = block.to_be_bytes();
            Link {
                name: format!("mf{}-{number}{}", process % 100_000, ["", "h", "t"][end as usize]),
                address: format!("198.{}.{b}.{c}", 18 + a),
            }
        };
        let (here, there) = (end(1), end(2));
        ip(&[
            "link",
            "add",
            &here.name,
            "type",
            "veth",
            "peer",
            "name",
            &there.name,
            "netns",
            machine,
        ]);
        ip(&["addr", "add", &format!("{}/30", here.address), "dev", &here.name]);
        ip(&["link", "set", &here.name, "up"]);
        ip(&[
            "-n",
            machine,
            "addr",
            "add",
            &format!("{}/30", there.address),
            "dev",
            &there.name,
        ]);
        ip(&["-n", machine, "link", "set", &there.name, "up"]);
        Self { here, there }
    }
}

impl Machine {
    /// `number` tells it from the others of the process.
    pub(super) fn set_up(number: u32) -> Self {
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        ip(&["netns", "add", &name]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        Self {
            database: Cable::lay(&name, 2 * number),
            store: Cable::lay(&name, 2 * number + 1),
            to_database: Network::default(),
            to_store: Network::default(),
            name,
        }
    }

    /// The same program on this machine.
    pub(super) fn runs(&self, program: &Command) -> Command {
        let mut there = Command::new("ip");
        there
            .args(["netns", "exec", &self.name])
            .arg(program.get_program())
            .args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => there.env(key, value),
                None => there.env_remove(key),
            };
        }
        there
    }

    /// That database's URL, from here.
    pub(super) fn database(&self, url: &str) -> String {
        let (user, rest) = url.split_once('@').unwrap();
        let (behind, database) = rest.split_once('/').unwrap();
        let address = self.to_database.listen(&self.database.here.address, behind);
        format!("{user}@{address}/{database}")
    }

    /// Where that store is, from here.
    pub(super) fn store(&self, behind: SocketAddr) -> SocketAddr {
        self.to_store
            .listen(&self.store.here.address, &behind.to_string())
    }

    /// Where something on this machine is to listen, to be reached by the cable that is never cut.
    pub(super) fn listens_at(&self) -> String {
        format!("{}:0", self.store.there.address)
    }

    /// Cuts it off from the database.
    pub(super) fn cut(&self, cut: Cut) {
        let Cable { here, there } = &self.database;
        let answers = [
            "neigh",
            "replace",
            &there.address,
            "lladdr",
            NOBODY,
            "nud",
            "permanent",
            "dev",
            &here.name,
        ];
        let questions = [
            "neigh",
            "replace",
            &here.address,
            "lladdr",
            NOBODY,
            "nud",
            "permanent",
            "dev",
            &there.name,
        ];
        if matches!(cut, Cut::Whole | Cut::Answers) {
            ip(&answers);
        }
        if matches!(cut, Cut::Whole | Cut::Questions) {
            ip(&[&["-n", &self.name], questions.as_slice()].concat());
        }
    }

    /// Puts the cable together again.
    pub(super) fn mend(&self, cut: Cut) {
        let Cable { here, there } = &self.database;
        if matches!(cut, Cut::Whole | Cut::Answers) {
            ip(&["neigh", "del", &there.address, "dev", &here.name]);
        }
        if matches!(cut, Cut::Whole | Cut::Questions) {
            ip(&[
                "-n",
                &self.name,
                "neigh",
                "del",
                &here.address,
                "dev",
                &there.name,
            ]);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its cables go with it. Panicking twice would hide why.
        Command::new("ip")
            .args(["netns", "del", &self.name])
            .output()
            .ok();
    }
}
