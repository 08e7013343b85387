//! What must be true of the world once everything is settled, whatever went wrong before: judged from what is durable
//! and from the record of what changed, not from what any program says of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use metaferry_domain::journal::{JournalEntry, Replay, replay};
use metaferry_domain::migration::{Phase, RowId};
use metaferry_domain::ports::MigrationRow;
use metaferry_domain::state::MigrationState;

use super::durable::{Change, Durable, UploadStanding, signed};
use super::world::World;

impl World {
    /// Every promise that is broken, in words; nothing is running any more, and everything was recovered.
    #[must_use]
    pub fn broken_promises(&self) -> Vec<String> {
        let now_ms = self.now_ms();
        let durable = self.durable();
        let mut broken = durable.violations.clone();
        if durable.lease.is_some_and(|record| record.is_held(signed(now_ms))) {
            broken.push(format!("the lease is still held by {}", durable.holder.0));
        }
        as_before(&durable, &mut broken);
        rows(&durable, &mut broken);
        journals(&durable, &mut broken);
        uploads(&durable, &mut broken);
        broken
    }
}

fn as_before(durable: &Durable, broken: &mut Vec<String>) {
    let before = Durable::default();
    if durable.read_only != before.read_only {
        broken.push(format!("read-only is {:?}", durable.read_only));
    }
    if durable.paused != before.paused {
        broken.push(format!("paused: {:?}", durable.paused));
    }
    if durable.switch != before.switch {
        broken.push("the dead man's switch is still armed".to_owned());
    }
    let ours = |file: &PathBuf| !durable.strays.contains(file);
    for (file, standing) in durable.files.iter().filter(|(file, _)| ours(file)) {
        broken.push(format!("{} is left over, {standing:?}", file.display()));
    }
}

/// Rows end, one after the other; states and progress only go forward.
fn rows(durable: &Durable, broken: &mut Vec<String>) {
    let order = |phase| Phase::ALL.iter().position(|known| *known == phase);
    let mut last: BTreeMap<RowId, (Phase, u8)> = BTreeMap::new();
    for happening in &durable.history {
        if happening.change == Change::RowsDeleted {
            last.clear();
        }
        let Change::Row { id, phase, progress } = happening.change else {
            continue;
        };
        let opens = phase == Phase::Init && progress == 0;
        if let Some((former, reached)) = last.get(&id) {
            let forward = order(*former) <= order(phase) && *reached <= progress && !former.is_terminal();
            let opened_again = opens && former.is_terminal();
            if !forward && !opened_again {
                broken.push(format!(
                    "row {} went from {former} {reached} to {phase} {progress}",
                    id.0
                ));
            }
        }
        last.insert(id, (phase, progress));
        if last.values().filter(|(phase, _)| !phase.is_terminal()).count() > 1 {
            broken.push(format!("at {} two migrations run", happening.at_ms));
        }
    }
    for row in durable.rows.iter().filter(|row| !row.phase.is_terminal()) {
        broken.push(format!("row {} still says {}", row.id.0, row.phase));
    }
}

/// Every journal replays to a settled state that says what its row says.
fn journals(durable: &Durable, broken: &mut Vec<String>) {
    for journal in &durable.journals {
        let state = match journal.replayed.state() {
            Ok(state) => state,
            Err(error) => {
                broken.push(error);
                continue;
            }
        };
        if !state.is_settled() {
            broken.push(format!("{} is not settled: {:?}", journal.id, state.name()));
        }
        if !journal.settled {
            broken.push(format!("{} is not marked as settled", journal.id));
        }
        let row = durable.rows.iter().find(|row| Some(row.id) == state.run().row.id);
        // An attempt that ended before it had opened the row leaves there how the one before it ended.
        let opened = |row: &MigrationRow| {
            let shore = state.run().shore.as_ref();
            shore.is_some_and(|shore| shore.external_id == row.external_id)
        };
        if let Some(row) = row
            && opened(row)
            && row.phase != state.phase()
        {
            broken.push(format!(
                "row {} says {}, its journal {}",
                row.id.0,
                row.phase,
                state.phase()
            ));
        }
    }
}

/// A journal's state, kept up while entries come: whether something was announced is asked at every step.
#[derive(Debug, Clone)]
pub(super) struct Replayed(Result<Replay, String>);

impl Default for Replayed {
    fn default() -> Self {
        Self(Ok(Replay::default()))
    }
}

impl Replayed {
    /// The next entry.
    pub(super) fn add(&mut self, json: &str) {
        let Ok(replay) = &mut self.0 else { return };
        let added = entry(json).and_then(|entry| replay.add(&entry).map_err(|error| error.to_string()));
        if let Err(error) = added {
            self.0 = Err(error);
        }
    }

    /// Where the entries lead.
    pub(super) fn state(&self) -> Result<&MigrationState, String> {
        let replay = self.0.as_ref().map_err(Clone::clone)?;
        replay.state().map_err(|error| error.to_string())
    }
}

fn entry(json: &str) -> Result<JournalEntry, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

/// The state that a journal's texts lead to.
///
/// # Errors
/// In words, if they are no journal.
pub fn state_of<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<MigrationState, String> {
    let entries = texts
        .into_iter()
        .map(|json| entry(json))
        .collect::<Result<Vec<_>, _>>()?;
    replay(&entries).map_err(|error| error.to_string())
}

/// What was begun at the store is completed or dropped, wherever anybody could know of it.
fn uploads(durable: &Durable, broken: &mut Vec<String>) {
    for (key, object) in &durable.store {
        for (id, upload) in &object.uploads {
            if upload.remembered && upload.standing == UploadStanding::Open {
                broken.push(format!("upload {id} of {key} is left open"));
            }
        }
    }
}
