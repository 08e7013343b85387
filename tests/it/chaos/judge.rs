//! What must be so once everything is settled, whatever happened before. Judged by SQL, by files, and by what the store
//! says; not by what the program says of itself.

use std::collections::BTreeMap;

use metaferry_domain::migration::Phase;
use metaferry_test_kit::fake::state_of;

use super::place::Place;
use super::wait_for;

/// Every promise that is broken, in words. Nothing runs any more; `before` is what the place was at first.
pub(super) fn broken(place: &dyn Place, before: &[String]) -> Vec<String> {
    let mut broken = Vec::new();
    let now = place.as_it_is();
    broken.extend(
        now.iter()
            .filter(|line| !before.contains(line))
            .map(|line| format!("now there is {line}")),
    );
    broken.extend(
        before
            .iter()
            .filter(|line| !now.contains(line))
            .map(|line| format!("there was {line}")),
    );
    broken.extend(
        place
            .leftovers()
            .into_iter()
            .map(|left| format!("left over: {left}")),
    );
    broken.extend(
        place
            .shore()
            .dumps()
            .into_iter()
            .map(|file| format!("left over: file {file}")),
    );
    broken.extend(
        place
            .shore()
            .open_uploads()
            .into_iter()
            .map(|upload| format!("an open upload: {upload}")),
    );
    if !place.lease_is_free() {
        broken.push("the lease is held".to_owned());
    }
    rows(place, &mut broken);
    journals(place, &mut broken);
    broken
}

/// Rows end, one after the other, and what ended only another attempt begins again; what says `done` is in the store.
fn rows(place: &dyn Place, broken: &mut Vec<String>) {
    let noted = place.noted();
    let mut last: BTreeMap<String, (Phase, u8)> = BTreeMap::new();
    for line in place.ask(&format!(
        "SELECT concat(row_id, ' ', state, ' ', progress) FROM {noted} ORDER BY number"
    )) {
        let [row, state, progress] = <[&str; 3]>::try_from(line.split(' ').collect::<Vec<_>>()).unwrap();
        let Some(phase) = Phase::ALL.into_iter().find(|phase| phase.as_str() == state) else {
            broken.push(format!("a row says {line}"));
            continue;
        };
        let progress = progress.parse().unwrap();
        let opens = phase == Phase::Init && progress == 0;
        let legal = match last.get(row) {
            None => opens,
            Some((former, reached)) => {
                let onward =
                    !former.is_terminal() && place_of(*former) <= place_of(phase) && *reached <= progress;
                onward || (former.is_terminal() && opens)
            }
        };
        if !legal {
            broken.push(format!(
                "row {row} went from {:?} to {state} {progress}",
                last.get(row)
            ));
        }
        last.insert(row.to_owned(), (phase, progress));
        if last.values().filter(|(phase, _)| !phase.is_terminal()).count() > 1 {
            broken.push(format!("two migrations run once row {row} says {state}"));
        }
    }
    for (row, (phase, _)) in last {
        if !phase.is_terminal() {
            broken.push(format!("row {row} still says {phase}"));
        }
    }
    // Verified by the store in its own time, once it was told.
    for external_id in place.ask("SELECT external_id FROM cloud_migration WHERE state = 'done'") {
        wait_for("the store has looked at what arrived", broken, || {
            !["uploaded", "verifying"].contains(&&*place.shore().state_at_store(&external_id))
        });
        let state = place.shore().state_at_store(&external_id);
        if state != "verified" {
            broken.push(format!(
                "migration {external_id} is done, and to the store it is {state}"
            ));
        }
    }
}

fn place_of(phase: Phase) -> Option<usize> {
    Phase::ALL.iter().position(|known| *known == phase)
}

/// Every journal is marked as settled and says so itself, and says what its row says. Tokens only grow, from one entry to
/// the next and from one migration to the next, and no entry of a lower one is later: never two at work.
fn journals(place: &dyn Place, broken: &mut Vec<String>) {
    let migrations = place.own("migration");
    for id in place.ask(&format!("SELECT id FROM {migrations} WHERE NOT settled")) {
        broken.push(format!("migration {id} is not settled"));
    }
    let mut journals: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut tenures: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let entries = place.own("journal");
    for line in place.ask(&format!(
        "SELECT concat(migration_id, ' ', entry) FROM {entries} ORDER BY migration_id, sequence"
    )) {
        let (id, entry) = line.split_once(' ').unwrap();
        journals.entry(id.to_owned()).or_default().push(entry.to_owned());
    }
    for (id, texts) in journals {
        let mut newest = 0;
        for text in &texts {
            let entry: serde_json::Value = serde_json::from_str(text).unwrap();
            let Some(token) = entry["token"].as_u64() else {
                continue;
            };
            if token < newest {
                broken.push(format!(
                    "migration {id}: an entry of token {token} after one of {newest}"
                ));
            }
            newest = token;
            let at = entry["at_ms"].as_u64().unwrap();
            let (first, last) = tenures.entry(token).or_insert((at, at));
            (*first, *last) = ((*first).min(at), (*last).max(at));
        }
        match state_of(&texts) {
            Ok(state) => {
                if !state.is_settled() {
                    broken.push(format!("the journal of {id} leads to {} unsettled", state.name()));
                }
                let row = state
                    .run()
                    .row
                    .id
                    .map(|row| row.0.to_string())
                    .unwrap_or_default();
                let says = place.ask(&format!("SELECT state FROM cloud_migration WHERE id = 0{row}"));
                if !says.is_empty() && says != [state.phase().as_str()] {
                    broken.push(format!("row {row} says {says:?}, its journal {}", state.phase()));
                }
            }
            Err(error) => broken.push(format!("the journal of {id}: {error}")),
        }
    }
    let ordered: Vec<(u64, (u64, u64))> = tenures.into_iter().collect();
    for pair in ordered.windows(2) {
        let [(earlier, (_, last)), (later, (first, _))] = pair else {
            unreachable!("windows of two")
        };
        if last > first {
            broken.push(format!(
                "two were at work: token {earlier} until {last}, token {later} from {first}"
            ));
        }
    }
}
