//! What the writers noted of each of their writes, beside what the journal says of the time.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::place::Place;

/// What MariaDB says to one of two who waited for each other: for rows, which is a matter of their own, or for a table.
const EACH_OTHER: &str = "Deadlock found";
/// Told by whoever was held off by us.
const OURS: &str = "is read-only while its snapshot is taken";

/// The journal's words when rows begin to be read.
pub(super) const READING: &str = "\"effect_started\":{\"copy_snapshot\"";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To two tables that must be still, in one transaction.
    Still,
    /// To two tables that stay writable, in one transaction.
    Exempt,
    /// What looking at a question writes.
    Looking,
    /// To one table of all.
    Table,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Still, Self::Exempt, Self::Looking, Self::Table];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Still => "still",
            Self::Exempt => "exempt",
            Self::Looking => "looking",
            Self::Table => "table",
        }
    }
}

/// One transaction. Times are microseconds, of 1970 where they are moments.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) writer: usize,
    pub(super) kind: Kind,
    pub(super) began: i64,
    pub(super) micros: i64,
    pub(super) refusal: Option<String>,
    /// `TABLE OP`, where it was to one table.
    pub(super) operation: String,
}

impl Write {
    pub(super) fn is_refused_by_us(&self) -> bool {
        self.refusal
            .as_ref()
            .is_some_and(|refusal| refusal.contains(OURS))
    }

    pub(super) fn ended(&self) -> i64 {
        self.began + self.micros
    }
}

/// All of them.
pub(super) struct Record {
    /// But for those that were [`Record::sent_away`].
    pub(super) writes: Vec<Write>,
    /// Who waited for somebody who waited for him.
    pub(super) sent_away: Vec<Write>,
    /// From when to when every node has seen read-only and rows are read.
    pub(super) reading: RangeInclusive<i64>,
    /// From when to when read-only may be on, where it was.
    pub(super) read_only: Option<RangeInclusive<i64>>,
    /// From when on it was in force for all.
    pub(super) in_force: Option<i64>,
}

impl Record {
    pub(super) fn of(place: &impl Place) -> Self {
        let ended = "\"effect_done\":{\"copy_snapshot\"";
        let (on, off) = (
            "\"effect_started\":{\"read_only_on\"",
            "\"effect_done\":{\"plain\":\"restore_read_only\"",
        );
        let reading = moment(place, READING).unwrap()..=moment(place, ended).unwrap() - 1000;
        let read_only = moment(place, on).map(|on| on..=moment(place, off).unwrap() + 1000);
        let in_force = moment(place, "\"effect_done\":{\"plain\":\"read_only_on\"");
        let lines = place.ask(&format!(
            "SELECT writer, kind, began, micros, coalesce(concat(table_name, ' ', op), ''), coalesce(refusal, '')
             FROM {}",
            place.theirs("record")
        ));
        let (sent_away, writes) = lines.iter().map(|line| write(line)).partition(|write| {
            let refusal = write.refusal.as_ref();
            refusal.is_some_and(|refusal| refusal.contains(EACH_OTHER))
        });
        Self {
            writes,
            sent_away,
            reading,
            read_only,
            in_force,
        }
    }

    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Write> {
        self.writes.iter().filter(move |write| write.kind == kind)
    }

    /// Began while rows were read.
    pub(super) fn while_still(&self, write: &Write) -> bool {
        self.reading.contains(&write.began)
    }

    /// Began while read-only was on.
    pub(super) fn while_read_only(&self, write: &Write) -> bool {
        self.read_only
            .as_ref()
            .is_some_and(|time| time.contains(&write.began))
    }

    /// Who passed with a write of that kind while rows were read.
    pub(super) fn passed_while_still(&self, kind: Kind) -> BTreeSet<usize> {
        let passed = self
            .of_kind(kind)
            .filter(|write| write.refusal.is_none() && self.while_still(write));
        passed.map(|write| write.writer).collect()
    }
}

fn write(line: &str) -> Write {
    let [writer, kind, began, micros, operation, refusal] =
        <[&str; 6]>::try_from(line.splitn(6, '|').collect::<Vec<_>>()).unwrap_or_else(|_| panic!("{line}"));
    Write {
        writer: writer.parse().unwrap(),
        kind: Kind::ALL.into_iter().find(|one| one.word() == kind).unwrap(),
        began: began.parse().unwrap(),
        micros: micros.parse().unwrap(),
        refusal: Some(refusal.to_owned()).filter(|refusal| !refusal.is_empty()),
        operation: operation.to_owned(),
    }
}

/// When the journal first told that, in microseconds of 1970.
pub(super) fn moment(place: &impl Place, what: &str) -> Option<i64> {
    let journal = place.journal()?;
    let entries = place.ask(&format!(
        "SELECT entry FROM {journal} WHERE entry LIKE '%{what}%' ORDER BY sequence"
    ));
    let entry: Value = serde_json::from_str(entries.first()?).unwrap();
    Some(entry["at_ms"].as_i64().unwrap() * 1000)
}
