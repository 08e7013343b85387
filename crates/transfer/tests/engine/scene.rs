//! Three tables, a folder to dump them into, and a dumper.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use metaferry_domain::copy_policy::{CopyPolicy, Origin, TablePolicy};
use metaferry_domain::migration::Attempt;
use metaferry_domain::ports::{
    DumpObserver, DumpReport, DumpRequest, Dumper, Plaintext, Snapshot, TableReport,
};
use metaferry_domain::schema::DataType;
use metaferry_domain::{Cancellation, PortError};
use metaferry_transfer::dump::{DecidedPolicy, Existing, FileDumper, PolicyMaker, Reread};
use tempfile::TempDir;

use crate::database::{Database, Row, Value, column, refers, table, text};
use crate::file_format::JsonFormat;
use crate::oracle;

pub(crate) struct Unwatched;

impl DumpObserver for Unwatched {
    fn copied(&self, _rows: u64, _bytes: u64, _rows_estimate: u64) {}
}

struct Fixed(CopyPolicy);

#[async_trait]
impl PolicyMaker for Fixed {
    async fn decide(&self, _snapshot: &dyn Snapshot) -> Result<DecidedPolicy, PortError> {
        Ok(DecidedPolicy {
            policy: self.0.clone(),
            notes: vec!["decided".to_owned()],
        })
    }
}

/// A folder and the file that is to be in it.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("dump.json")
    }

    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn request(&self) -> DumpRequest {
        DumpRequest {
            file: self.file(),
            attempt: Attempt(1),
            plaintext: Plaintext::Keep,
        }
    }

    /// Everything in the folder, by name.
    pub(crate) fn holds(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Puts a file there, and answers what it put.
    pub(crate) fn put(&self, name: &str) -> Vec<u8> {
        let bytes = format!("an older {name}").into_bytes();
        std::fs::write(self.beside(name), &bytes).unwrap();
        bytes
    }
}

pub(crate) fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

pub(crate) fn dumper(
    database: &Database,
    format: &JsonFormat,
    policy: &CopyPolicy,
    existing: Existing,
) -> FileDumper {
    FileDumper::new(
        Arc::new(database.clone()),
        Arc::new(format.clone()),
        Arc::new(Fixed(policy.clone())),
        existing,
        Reread::Verify,
    )
}

/// Both steps of a dump.
pub(crate) async fn dump(
    dumper: &FileDumper,
    place: &Place,
    cancel: &Cancellation,
) -> Result<DumpReport, PortError> {
    dumper
        .copy_snapshot(&place.request(), Arc::new(Unwatched), cancel)
        .await?;
    dumper.finish(cancel).await
}

pub(crate) async fn dump_of(
    database: &Database,
    format: &JsonFormat,
    place: &Place,
) -> Result<DumpReport, PortError> {
    let dumper = dumper(database, format, &known(database), Existing::Refuse);
    dump(&dumper, place, &Cancellation::new()).await
}

/// Carries everything, and knows every table.
pub(crate) fn known(database: &Database) -> CopyPolicy {
    let mut policy = CopyPolicy::default();
    for table in database.rows.keys() {
        let carried = TablePolicy::Carry {
            drop_rows: Vec::new(),
            rewrites: Vec::new(),
            origin: Origin::Known,
        };
        policy.tables.insert(table.clone(), carried);
    }
    policy
}

pub(crate) const USER: &[&str] = &["id", "email", "is_admin"];
pub(crate) const CARD: &[&str] = &["id", "creator_id", "Name"];
pub(crate) const SETTING: &[&str] = &["key", "value"];

/// Seven cards of three users, and four settings.
pub(crate) fn database() -> Database {
    let users = (1..=3)
        .map(|id| {
            vec![
                Value::Int(id),
                Value::Text(format!("u{id}@example.org")),
                Value::Boolean(id == 1),
            ]
        })
        .collect();
    let cards = (1..=7)
        .map(|id| {
            let creator = if id == 7 {
                Value::Null
            } else {
                Value::Int(1 + id % 3)
            };
            vec![Value::Int(id), creator, Value::Text(format!("card {id}"))]
        })
        .collect();
    let settings = ["a", "b", "c", "d"]
        .map(|key| vec![text(key), text(&key.to_uppercase())])
        .to_vec();
    let user = table(
        "core_user",
        vec![
            column("id", DataType::Integer),
            column("email", DataType::Text),
            column("is_admin", DataType::Boolean),
        ],
    );
    let card = table(
        "report_card",
        vec![
            column("id", DataType::Integer),
            column("creator_id", DataType::Integer),
            column("Name", DataType::Text),
        ],
    );
    let setting = table(
        "setting",
        vec![column("key", DataType::Text), column("value", DataType::Text)],
    );
    Database::default()
        .with(user, users)
        .with(refers(card, "creator_id", "core_user"), cards)
        .with(setting, settings)
}

/// What a whole copy of [`database`] must report.
pub(crate) fn expected(database: &Database) -> Vec<TableReport> {
    let rows = |name: &str| -> &[Row] { &database.rows[name] };
    vec![
        oracle::report("core_user", USER, rows("core_user")),
        oracle::report("report_card", CARD, rows("report_card")),
        oracle::report("setting", SETTING, rows("setting")),
    ]
}
