//! Nodes of a real Quartz, each a Java process of its own, and what they say of every run of a job.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use crate::app_db::{Process, signal, told, wait_for};

/// How Quartz is set; what is not here is as Metabase has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) check_in_ms: u64,
    /// From how late on Quartz does by the misfire instruction what it else would do late.
    pub(super) misfire_ms: i64,
    pub(super) claims: Claims,
}

/// How nodes claim the trigger that they are about to fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claims {
    /// Without Quartz's lock, as it is by default; then Quartz 2.3 itself may fire a trigger twice for the same time.
    Freely,
    UnderTheLock,
}

/// What Metabase's `quartz.properties` leave and say.
pub(super) const OF_METABASE: Pace = Pace {
    check_in_ms: 7_500,
    misfire_ms: 900_000,
    claims: Claims::Freely,
};

/// A job began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Firing {
    /// `group.name`.
    pub(super) trigger: String,
    /// When it was to begin, in milliseconds since 1970, as Quartz has it.
    pub(super) scheduled_ms: i64,
    /// When it did, in microseconds since 1970 by the database's clock.
    pub(super) began_us: i64,
}

/// A started node.
struct Node {
    process: Process,
    input: ChildStdin,
    log: PathBuf,
}

/// All nodes; they end with it.
pub(super) struct Cluster {
    nodes: BTreeMap<usize, Node>,
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Three nodes that run what the first one has scheduled. `None`, said aloud, where there is no Quartz.
    pub(super) fn begin(of_database: &[String], pace: Pace) -> Option<Self> {
        let mut cluster = Self::new(of_database, pace)?;
        // Triggers of one job that must not run twice are claimed by two nodes at once also under the lock: what is blocked
        // while the other runs waits afterwards, though a node has claimed it. That one's time comes twice then, if it is late.
        let schedule = match pace.claims {
            Claims::Freely => "schedule",
            Claims::UnderTheLock => "schedule apart",
        };
        cluster.tell(1, schedule);
        cluster.tell_all("start");
        Some(cluster)
    }

    /// The same with nothing to run so far.
    pub(super) fn idle(of_database: &[String], pace: Pace) -> Option<Self> {
        let mut cluster = Self::new(of_database, pace)?;
        cluster.tell_all("start");
        Some(cluster)
    }

    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    fn new(of_database: &[String], pace: Pace) -> Option<Self> {
        let Some(class_path) = class_path() else {
            eprintln!("SKIPPED: METAFERRY_TEST_QUARTZ_JAR names no Quartz");
            return None;
        };
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        for number in 1..=3 {
            cluster.add_node(number, class_path, of_database, pace);
        }
        Some(cluster)
    }

    fn add_node(&mut self, number: usize, class_path: &OsString, of_database: &[String], pace: Pace) {
        let log = self.folder.path().join(format!("node-{number}"));
        let errors = std::fs::File::create(log.with_extension("err")).unwrap();
        let mut child = Command::new("java")
            .args([
                "-Xmx64m",
                "-Xss512k",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
            ])
            .args([
                "-Duser.timezone=UTC",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            ])
            .arg("-cp")
            .arg(class_path)
            .args(["QuartzNode", &format!("node-{number}")])
            .args([
                "org.quartz.scheduler.instanceName=MetabaseScheduler",
                "org.quartz.threadPool.threadCount=10",
                "org.quartz.jobStore.class=org.quartz.impl.jdbcjobstore.JobStoreTX",
                "org.quartz.jobStore.isClustered=true",
                "org.quartz.jobStore.dataSource=metabase",
                "org.quartz.dataSource.metabase.provider=hikaricp",
                "org.quartz.dataSource.metabase.maxConnections=8",
            ])
            .arg(format!(
                "org.quartz.jobStore.clusterCheckinInterval={}",
                pace.check_in_ms
            ))
            .arg(format!(
                "org.quartz.jobStore.misfireThreshold={}",
                pace.misfire_ms
            ))
            .arg(format!(
                "org.quartz.jobStore.acquireTriggersWithinLock={}",
                pace.claims == Claims::UnderTheLock
            ))
            .args(of_database)
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(&log).unwrap())
            .stderr(errors)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        self.nodes.insert(
            number,
            Node {
                process: Process(child),
                input,
                log,
            },
        );
    }

    /// Has a node do something; waits until it has.
    pub(super) fn tell(&mut self, number: usize, command: &str) {
        let did = format!("DID {command}\n");
        let before = self.said(number).matches(&did).count();
        writeln!(self.nodes.get_mut(&number).unwrap().input, "{command}").unwrap();
        wait_for(
            &format!("node {number}: {command}; {}", self.errors(number)),
            || self.said(number).matches(&did).count() > before,
        );
    }

    /// The same with each node that lives.
    pub(super) fn tell_all(&mut self, command: &str) {
        for number in self.numbers() {
            self.tell(number, command);
        }
    }

    /// Nodes that live.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.nodes.keys().copied().collect()
    }

    /// Ends a node as a power cut does. What it said stays.
    pub(super) fn kill(&mut self, number: usize) {
        let node = self.nodes.remove(&number).unwrap();
        signal("KILL", node.process.0.id());
        drop(node.process);
    }

    /// Lets a node stand still for as long as something takes.
    pub(super) fn while_it_stands_still(&self, number: usize, something: impl FnOnce()) {
        let process = self.nodes[&number].process.0.id();
        signal("STOP", process);
        something();
        signal("CONT", process);
    }

    /// The node on which a job lasts.
    pub(super) fn where_it_lasts(&self) -> Option<usize> {
        let lasts = |number: &usize| {
            let said = self.said(*number);
            said.matches("BEGAN lasting").count() > said.matches("ENDED lasting").count()
        };
        self.numbers().into_iter().find(lasts)
    }

    fn said(&self, number: usize) -> String {
        std::fs::read_to_string(&self.nodes[&number].log).unwrap()
    }

    fn errors(&self, number: usize) -> String {
        std::fs::read_to_string(self.nodes[&number].log.with_extension("err")).unwrap()
    }

    /// Whole lines of all nodes there ever were.
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none() {
                let said = std::fs::read_to_string(path).unwrap();
                let whole = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
                lines.extend(whole.map(|line| line.trim_end().to_owned()));
            }
        }
        lines
    }

    /// Every run of a job so far.
    pub(super) fn firings(&self) -> Vec<Firing> {
        let lines = self.lines();
        let fired = lines.iter().filter_map(|line| line.strip_prefix("FIRED "));
        fired
            .map(|line| {
                let [trigger, scheduled, began] = *line.split(' ').collect::<Vec<_>>() else {
                    panic!("{line}")
                };
                Firing {
                    trigger: trigger.to_owned(),
                    scheduled_ms: scheduled.parse().unwrap(),
                    began_us: began.parse().unwrap(),
                }
            })
            .collect()
    }

    /// When jobs that last did this, in microseconds since 1970 by the database's clock.
    pub(super) fn lasting(&self, what: &str) -> Vec<i64> {
        let prefix = format!("{what} lasting ");
        let lines = self.lines();
        let moments = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
        moments.map(|moment| moment.parse().unwrap()).collect()
    }

    /// What went wrong on the nodes, as they see it.
    pub(super) fn complaints(&self) -> String {
        let numbers = self.numbers().into_iter();
        numbers.map(|number| self.errors(number)).collect()
    }
}

/// Quartz with what it needs, which Debian keeps beside it, the drivers, and our program; compiled once in a process.
fn class_path() -> Option<&'static OsString> {
    static CLASS_PATH: OnceLock<Option<(tempfile::TempDir, OsString)>> = OnceLock::new();
    let compiled = CLASS_PATH.get_or_init(|| {
        let quartz = PathBuf::from(std::env::var_os("METAFERRY_TEST_QUARTZ_JAR")?);
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/QuartzNode.java");
        let compiled = Command::new("javac")
            .args(["-nowarn", "-d"])
            .arg(folder.path())
            .arg("-cp")
            .arg(&quartz)
            .arg(source)
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{}", told(&compiled));
        let mut class_path = folder.path().as_os_str().to_owned();
        let drivers = ["METAFERRY_TEST_PG_JDBC_JAR", "METAFERRY_TEST_MARIADB_JDBC_JAR"];
        let beside = ["HikariCP.jar", "slf4j-api.jar", "slf4j-simple.jar"];
        let jars = beside.map(|jar| quartz.with_file_name(jar).into_os_string());
        for jar in drivers
            .into_iter()
            .filter_map(std::env::var_os)
            .chain([quartz.into_os_string()])
            .chain(jars)
        {
            class_path.push(":");
            class_path.push(jar);
        }
        Some((folder, class_path))
    });
    compiled.as_ref().map(|(_, class_path)| class_path)
}
