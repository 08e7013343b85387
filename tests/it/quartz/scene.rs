//! A migration beside a cluster at work, ended in one way or another, and what must be so however it ends.

use std::collections::BTreeSet;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cluster::Cluster;
use super::judge::{by_trigger, nothing_began};
use super::shared_app_db::SharedAppDb;
use crate::api::SLOW_BYTES_PER_SECOND;
use crate::api::network::Network;
use crate::app_db::{ended, signal, told, undo_script_in, wait_for};

/// The lease, in seconds.
const LEASE: u64 = 5;
/// How long after the lease has run out every schedule must fire again, with nothing of ours started.
const CHECK_INS_TAKE: Duration = Duration::from_secs(15);
/// The longest that a schedule is waited for: those that are late have their turn in the order of their times.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long it is watched that a migration waits for a job that lasts.
const WAITS: Duration = Duration::from_millis(1_500);

/// How Quartz itself says that triggers to come are paused as well.
const ALL_PAUSED: &str = "_$_ALL_GROUPS_PAUSED_$_";

/// How a migration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    /// `metaferry cancel`.
    Cancelled,
    /// Somebody switches read-only off while rows are read.
    Failed,
    /// kill −9, and `metaferry recover` afterwards.
    Recovered,
    /// kill −9, and `undo.sql` by the database's own client.
    UndoneBySql,
    /// kill −9, and nothing is started again.
    Left,
}

/// A node that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    No,
    /// While rows are read, and so with nothing to do.
    Idle,
    /// While it runs a job; then the migration begins.
    AtWork,
}

/// A cluster at work.
pub(super) struct Scene<'a> {
    place: &'a dyn SharedAppDb,
    network: &'a Network,
    pub(super) cluster: Cluster,
    /// Schedules that came while everything was paused.
    added: usize,
    /// Groups and triggers that stay paused.
    pub(super) paused: Vec<String>,
    /// From when to when nothing began, in microseconds since 1970, each time.
    pub(super) still: Vec<(i64, i64)>,
    /// When a node was killed while it ran a job, in milliseconds since 1970.
    pub(super) killed: Option<i64>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(place: &'a dyn SharedAppDb, network: &'a Network, cluster: Cluster) -> Self {
        let mut scene = Self {
            place,
            network,
            cluster,
            added: 0,
            paused: Vec::new(),
            still: Vec::new(),
            killed: None,
        };
        scene.paused = scene.paused_now();
        scene
    }

    /// Groups, and triggers by group and name, that are paused.
    fn paused_now(&self) -> Vec<String> {
        let mut paused = self
            .place
            .sql("SELECT trigger_group FROM qrtz_paused_trigger_grps ORDER BY 1");
        paused.extend(self.place.sql(
            "SELECT concat(trigger_group, '.', trigger_name) FROM qrtz_triggers
             WHERE trigger_state IN ('PAUSED', 'PAUSED_BLOCKED') ORDER BY 1",
        ));
        paused
    }

    fn now_us(&self) -> i64 {
        self.place.sql(self.place.clock())[0].parse().unwrap()
    }

    fn phase(&self) -> String {
        self.place
            .sql("SELECT state FROM cloud_migration ORDER BY id DESC LIMIT 1")
            .concat()
    }

    /// Every trigger that is not paused for good.
    pub(super) fn schedules(&self) -> BTreeSet<String> {
        let all = self
            .place
            .sql("SELECT concat(trigger_group, '.', trigger_name) FROM qrtz_triggers");
        let all: BTreeSet<String> = all.into_iter().collect();
        let running: BTreeSet<String> = all
            .into_iter()
            .filter(|trigger| !self.paused.contains(trigger) && !trigger.starts_with("DEFAULT."))
            .collect();
        assert!(running.len() >= 13, "{running:?}");
        running
    }

    /// Until each of these has fired again since then; answers how long the last one took, in milliseconds.
    fn fire_again(&self, schedules: &BTreeSet<String>, since_us: i64) -> i64 {
        let began = Instant::now();
        let firings = loop {
            let firings = self.cluster.firings();
            let begun: BTreeSet<&str> = firings
                .iter()
                .filter(|firing| firing.began_us > since_us)
                .map(|firing| &*firing.trigger)
                .collect();
            let missing = schedules
                .iter()
                .find(|schedule| !begun.contains(schedule.as_str()));
            let Some(missing) = missing else { break firings };
            assert!(
                began.elapsed() < PATIENCE,
                "{missing} does not fire: {}",
                self.all_of_quartz()
            );
            std::thread::park_timeout(Duration::from_millis(100));
        };
        let first = |schedule: &String| {
            let times = &by_trigger(&firings)[&**schedule];
            times
                .iter()
                .map(|(_, began)| *began)
                .filter(|began| *began > since_us / 1000)
                .min()
        };
        schedules.iter().filter_map(first).max().unwrap() - since_us / 1000
    }

    /// For who looks for what went wrong.
    fn all_of_quartz(&self) -> String {
        let mut all = vec![self.cluster.complaints()];
        for table in ["qrtz_triggers", "qrtz_fired_triggers", "qrtz_scheduler_state"] {
            all.extend(self.place.sql(&format!("SELECT * FROM {table}")));
        }
        all.join("\n")
    }

    /// One migration in that way.
    #[expect(clippy::print_stderr, reason = "the times are news")]
    pub(super) fn ends(&mut self, end: End, killed: Killed) {
        let before = self.schedules();
        self.fire_again(&before, self.now_us());
        self.begin_to_last();
        if killed == Killed::AtWork {
            self.cluster.kill(self.cluster.where_it_lasts().unwrap());
            self.killed = Some(self.now_us() / 1000);
        }
        self.network.slow_down_to(SLOW_BYTES_PER_SECOND);
        let running = self.migrate();
        if killed != Killed::AtWork {
            self.lasting_is_waited_for();
        }
        wait_for("rows are copied", || {
            let progress = "SELECT count(*) FROM cloud_migration WHERE state = 'dump' AND progress > 22";
            self.place.sql(progress) == ["1"]
        });
        let numbers = self.cluster.numbers();
        self.added += 1;
        self.cluster.tell(numbers[0], &format!("add {}", self.added));
        if killed == Killed::Idle {
            self.cluster.kill(*numbers.last().unwrap());
        }
        let (still_until, undone) = self.end(end, running);
        self.network.slow_down_to(0);
        let began = self.moment("effect_done", "await_running_jobs");
        assert!(
            self.cluster.lasting("ENDED").iter().all(|ended| *ended < began),
            "the job that lasts is waited for"
        );
        nothing_began(&self.cluster.firings(), began, still_until);
        self.still.push((began, still_until));
        let took = self.fire_again(&before, undone);
        // One that came meanwhile has its turn once what the others are late with is done.
        self.fire_again(&self.schedules(), undone);
        if end == End::Left {
            let most = Duration::from_secs(LEASE) + CHECK_INS_TAKE;
            assert!(u128::from(took.unsigned_abs()) <= most.as_millis(), "{took} ms");
        }
        assert_eq!(self.paused_now(), self.paused);
        assert_eq!(self.place.read_only(), "false");
        if [End::UndoneBySql, End::Left].contains(&end) {
            // Whoever comes later writes the end, and finds nothing to put back.
            self.recover();
            assert_eq!(self.paused_now(), self.paused);
        }
        eprintln!(
            "{end:?}, node killed: {killed:?}: still for {} ms, all {} schedules fired {took} ms after",
            (still_until - began) / 1000,
            self.schedules().len()
        );
    }

    /// Somewhere a job begins that ends when it is told to.
    fn begin_to_last(&mut self) {
        self.cluster.tell_all("hold");
        let before = self.cluster.lasting("BEGAN").len();
        let first = self.cluster.numbers()[0];
        self.cluster.tell(first, "last");
        wait_for("a job lasts", || self.cluster.lasting("BEGAN").len() > before);
    }

    /// Nothing is read before it has ended.
    fn lasting_is_waited_for(&mut self) {
        wait_for("everything is paused", || {
            self.paused_now().contains(&ALL_PAUSED.to_owned())
        });
        let paused_at = Instant::now();
        while paused_at.elapsed() < WAITS {
            assert_eq!(self.phase(), "setup", "the job that lasts is not waited for");
        }
        self.cluster.tell_all("release");
    }

    fn migrate(&self) -> Running {
        let mut migrate = self.place.metaferry();
        migrate
            .env("METAFERRY_LEASE_SECONDS", LEASE.to_string())
            .args(["--json", "migrate", "--yes", "--from", &self.place.through()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Running(Some(migrate.spawn().unwrap()))
    }

    /// Ends it; answers until when nothing may have begun, and from when on schedules should fire.
    fn end(&self, end: End, running: Running) -> (i64, i64) {
        match end {
            End::Done => {
                let (json, code, told) = running.end();
                assert_eq!(code, 0, "{told}");
                let read = json["snapshot_seconds"].as_f64().unwrap() * 1e6;
                #[expect(clippy::cast_possible_truncation, reason = "microseconds of this century")]
                let read = json["snapshot_micros"].as_i64().unwrap() + read as i64;
                let restored = self.moment("effect_started", "restore_scheduler");
                assert!(read <= restored + 2_000, "{read} {restored}");
                (restored, restored)
            }
            End::Cancelled => {
                let cancel = self
                    .place
                    .metaferry()
                    .args(["--json", "cancel", "--from", &self.place.url()])
                    .output()
                    .unwrap();
                assert_eq!(ended(&cancel).1, 0, "{}", told(&cancel));
                let (_, code, told) = running.end();
                assert_eq!(code, 130, "{told}");
                let restored = self.moment("effect_started", "restore_scheduler");
                (restored, restored)
            }
            End::Failed => {
                self.place.switch_read_only_off();
                let (_, code, told) = running.end();
                assert_eq!(code, 1, "{told}");
                assert!(told.contains("switched off"), "{told}");
                let restored = self.moment("effect_started", "restore_scheduler");
                (restored, restored)
            }
            End::Recovered | End::UndoneBySql | End::Left => {
                signal("KILL", running.id());
                drop(running);
                let killed = self.now_us();
                (killed, self.after_kill(end, killed))
            }
        }
    }

    /// Undoes what a killed one has left; answers when that began.
    fn after_kill(&self, end: End, killed: i64) -> i64 {
        match end {
            End::Recovered => {
                self.recover();
                self.moment("effect_started", "restore_scheduler")
            }
            End::UndoneBySql => {
                let script = std::fs::File::open(undo_script_in(&self.place.data_dir())).unwrap();
                let at = self.now_us();
                let undone = self.place.client().stdin(script).output().unwrap();
                assert!(undone.status.success(), "{}", told(&undone));
                at
            }
            End::Left | End::Done | End::Cancelled | End::Failed => killed,
        }
    }

    fn recover(&self) {
        let recover = self
            .place
            .metaferry()
            .args(["--json", "recover", "--from", &self.place.url()])
            .output()
            .unwrap();
        let (json, code) = ended(&recover);
        assert_eq!(code, 0, "{}", told(&recover));
        assert_eq!(json["recovered"][0]["settled"], true, "{json}");
    }

    /// When the newest migration's journal says this, in microseconds since 1970.
    fn moment(&self, event: &str, effect: &str) -> i64 {
        let entries = self.place.sql(&format!(
            "SELECT entry FROM {0} WHERE migration_id =
                 (SELECT migration_id FROM {0} ORDER BY token DESC, sequence DESC LIMIT 1) ORDER BY sequence",
            self.place.own("journal")
        ));
        let wanted = format!(r#"{{"{event}":{{"plain":"{effect}"}}}}"#);
        let entry = entries.iter().find(|entry| entry.contains(&wanted));
        let entry: Value =
            serde_json::from_str(entry.unwrap_or_else(|| panic!("{wanted}: {entries:#?}"))).unwrap();
        entry["at_ms"].as_i64().unwrap() * 1000
    }
}

/// Killed, should the test end before it does.
struct Running(Option<Child>);

impl Running {
    fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Waits, but not for ever; JSON, exit code and what it told.
    fn end(mut self) -> (Value, i32, String) {
        wait_for("the migration ends", || {
            self.0.as_mut().unwrap().try_wait().unwrap().is_some()
        });
        let output: Output = self.0.take().unwrap().wait_with_output().unwrap();
        let (json, code) = ended(&output);
        (json, code, told(&output))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
