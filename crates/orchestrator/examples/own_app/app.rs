//! A little application: three tables in memory, and jobs that run in the background. Everything that it writes goes through
//! [`App::write`], which asks the guard; every job asks the scheduler before it runs. That is all an application has to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metaferry_orchestrator::in_process::{
    InProcessReadOnly, InProcessScheduler, ReadOnlyPolicy, Write, WriteRefused,
};
use tokio::sync::oneshot;

/// One row: its values in the order of the table's columns, each a text but the key.
pub(crate) type Row = (i64, Vec<String>);

/// Table and columns, the key first.
pub(crate) const TABLES: [(&str, &[&str]); 3] = [
    ("notes", &["id", "text"]),
    ("people", &["id", "name", "last_seen"]),
    ("visits", &["id", "page"]),
];

const MINUTE: &str = "a minute";

/// Between two things that a job does.
const PAUSE: Duration = Duration::from_millis(5);

/// The application. Clones are the same one.
#[derive(Clone)]
pub(crate) struct App {
    tables: Arc<Mutex<BTreeMap<&'static str, Vec<Row>>>>,
    pub(crate) guard: Arc<InProcessReadOnly>,
    pub(crate) jobs: InProcessScheduler,
}

impl App {
    /// A few rows; and while a migration copies them, visits may go on being counted and people being seen.
    pub(crate) fn new() -> Self {
        let policy = ReadOnlyPolicy::new()
            .exempt_table("visits")
            .exempt_columns("people", &["last_seen"]);
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let tables = BTreeMap::from([
            (
                "notes",
                (1..=500).map(|id| (id, vec![format!("note {id}")])).collect(),
            ),
            (
                "people",
                vec![(1, text(&["Ada", "never"])), (2, text(&["Grace", "never"]))],
            ),
            ("visits", Vec::new()),
        ]);
        Self {
            tables: Arc::new(Mutex::new(tables)),
            guard: Arc::new(InProcessReadOnly::new(policy)),
            jobs: InProcessScheduler::new(),
        }
    }

    /// The one way to write. Asked while the tables are locked: what was admitted is written before a snapshot is taken.
    fn write(
        &self,
        table: &'static str,
        write: Write<'_>,
        change: impl FnOnce(&mut Vec<Row>),
    ) -> Result<(), WriteRefused> {
        let mut tables = self.tables();
        self.guard.admit(table, write)?;
        change(tables.entry(table).or_default());
        Ok(())
    }

    pub(crate) fn add_note(&self, text: &str) -> Result<(), WriteRefused> {
        self.write("notes", Write::Insert, |rows| add(rows, vec![text.to_owned()]))
    }

    pub(crate) fn count_visit(&self, page: &str) -> Result<(), WriteRefused> {
        self.write("visits", Write::Insert, |rows| add(rows, vec![page.to_owned()]))
    }

    pub(crate) fn see(&self, person: i64, when: &str) -> Result<(), WriteRefused> {
        self.update(person, "last_seen", 1, when)
    }

    pub(crate) fn rename(&self, person: i64, name: &str) -> Result<(), WriteRefused> {
        self.update(person, "name", 0, name)
    }

    fn update(&self, person: i64, column: &str, at: usize, value: &str) -> Result<(), WriteRefused> {
        self.write("people", Write::Update { changed: &[column] }, |rows| {
            for (_, values) in rows.iter_mut().filter(|(id, _)| *id == person) {
                if let Some(cell) = values.get_mut(at) {
                    value.clone_into(cell);
                }
            }
        })
    }

    /// All rows as they are at this moment.
    pub(crate) fn rows(&self) -> BTreeMap<&'static str, Vec<Row>> {
        self.tables().clone()
    }

    /// A job that writes the minutes until it is told to stop writing, and then ends: the migration waits for it.
    /// `writes` hears of its first one.
    pub(crate) async fn take_minutes(self, writes: oneshot::Sender<()>, told: impl Fn(String)) {
        let Some(_running) = self.jobs.begin("minutes") else {
            return told("job minutes: held off".to_owned());
        };
        told("job minutes: runs".to_owned());
        let mut writes = Some(writes);
        let refused = loop {
            match self.add_note(MINUTE) {
                Ok(()) => {
                    // Nobody may be waiting for it any more.
                    let _ = writes.take().map(|writes| writes.send(()));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(refused) => break refused,
            }
        };
        told(format!("write refused: {refused}"));
        if let Err(refused) = self.rename(1, "Augusta") {
            told(format!("write refused: {refused}"));
        }
        for exempt in [self.count_visit("/minutes"), self.see(1, "just now")] {
            match exempt {
                Ok(()) => told("exempt write passed".to_owned()),
                Err(refused) => told(format!("an exempt write was refused: {refused}")),
            }
        }
        // As long as this one runs the migration waits, and nothing new begins.
        while self.jobs.begin("digest").is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        told("job digest: held off".to_owned());
        told("job minutes: ended".to_owned());
    }

    fn tables(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<Row>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(rows: &mut Vec<Row>, values: Vec<String>) {
    let next = rows.last().map_or(1, |(id, _)| id + 1);
    rows.push((next, values));
}
