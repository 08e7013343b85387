//! Files cut anywhere give a committed state or an error: never rows that no committed version held, and never an
//! empty database without an error.
//!
//! What was committed is known from the statements that made the files: those of `churn` are carried out here again,
//! the others commit each table's rows at once or one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use metaferry_h2_file::{
    Closure, Database, Facts, Health, OlderVersion, OpenOptions, ReadError, Text, Value,
};

use crate::support::{FIXTURES, bytes, data, open, options};

pub(crate) const BLOCK: usize = 4096;

/// The rows of each table, as text.
pub(crate) type State = BTreeMap<String, Vec<String>>;

fn state(database: &Database) -> Result<State, ReadError> {
    let mut state = State::new();
    for table in database.tables() {
        let mut rows = database.rows(table);
        let mut texts = Vec::new();
        while let Some(row) = rows.next_row()? {
            texts.push(format!("{:?}", row.values));
        }
        let definition = table.definition();
        state.insert(format!("{}.{}", definition.schema, definition.name), texts);
    }
    Ok(state)
}

pub(crate) fn opened(bytes: &[u8], older_version: OlderVersion) -> Result<(Facts, State), ReadError> {
    let options = OpenOptions {
        older_version,
        ..options()
    };
    let database = options.open_bytes(bytes.to_vec())?;
    Ok((database.facts().clone(), state(&database)?))
}

/// A row of `churn.sql`: ID, KIND, N, NOTE.
type Event = (i64, String, i64, Option<String>);

/// The states that `churn.sql` committed, one per statement.
fn churn_states() -> Vec<Vec<Event>> {
    let mut states: Vec<Vec<Event>> = vec![Vec::new()];
    let inserted = |x: i64| {
        let note = (x % 5 != 0).then(|| format!("note {x}"));
        (x, format!("k{}", x % 7), x * 7919 % 1000, note)
    };
    let mut rows: Vec<Event> = (1..=1800).map(inserted).collect();
    states.push(rows.clone());
    for row in rows.iter_mut().filter(|row| row.0 % 11 == 0) {
        row.3 = Some(format!("upd {}", row.0));
    }
    states.push(rows.clone());
    rows.retain(|row| !(500..=900).contains(&row.0));
    states.push(rows.clone());
    rows.extend((1..=200).map(|x| (1800 + x, "late".to_owned(), x, None)));
    states.push(rows.clone());
    for row in rows.iter_mut().filter(|row| row.1 == "k3") {
        row.2 += 1;
    }
    states.push(rows.clone());
    rows.retain(|row| row.0 % 13 != 1);
    states.push(rows);
    states
}

fn churn_rows(database: &Database) -> Vec<Event> {
    let text = |value: &Value<'_>| match value {
        Value::Null => None,
        Value::Varchar(Text::Utf8(text)) => Some(text.to_string()),
        other => panic!("{other:?}"),
    };
    let table = database.table("PUBLIC", "EVENTS").unwrap();
    let mut rows = database.rows(table);
    let mut found = Vec::new();
    while let Some(row) = rows.next_row().unwrap() {
        let (Value::BigInt(id), Value::Integer(n)) = (&row.values[0], &row.values[3]) else {
            panic!("{row:?}");
        };
        found.push((
            *id,
            text(&row.values[1]).unwrap(),
            i64::from(*n),
            text(&row.values[4]),
        ));
    }
    found
}

#[test]
fn every_version_of_a_file_that_was_cut_is_one_that_was_committed() {
    let committed = churn_states();
    for name in ["churn", "compressed"] {
        let whole = bytes(name);
        assert_eq!(churn_rows(&open(name)), *committed.last().unwrap(), "{name}");
        let mut seen = BTreeSet::new();
        for blocks in 0..whole.len() / BLOCK {
            let cut = whole[..blocks * BLOCK].to_vec();
            // Closed in order, it is not taken without its newest chunk.
            assert!(
                options().open_bytes(cut.clone()).is_err(),
                "{name}: {blocks} blocks"
            );
            let salvage = OpenOptions {
                older_version: OlderVersion::Accept,
                ..options()
            };
            let Ok(database) = salvage.open_bytes(cut) else {
                continue;
            };
            let facts = database.facts();
            assert_eq!(facts.health, Health::Salvaged, "{name}: {blocks} blocks");
            assert!(!facts.passed_over.is_empty(), "{name}: {blocks} blocks");
            if database.tables().is_empty() {
                continue;
            }
            let rows = churn_rows(&database);
            let place = committed.iter().position(|state| *state == rows);
            seen.insert(place.unwrap_or_else(|| {
                panic!(
                    "{name}: {blocks} blocks give {} rows that nobody committed",
                    rows.len()
                )
            }));
        }
        assert!(!seen.is_empty(), "{name}: cuts show older versions");
    }
}

#[test]
fn a_cut_gives_the_whole_or_an_error_or_an_older_state_that_says_so() {
    let (mut errors, mut older, mut salvaged) = (0, 0, 0);
    for name in FIXTURES {
        let whole = bytes(name);
        let (intact, full) = opened(&whole, OlderVersion::Refuse).unwrap();
        for length in (0..whole.len()).step_by(BLOCK) {
            for way in [OlderVersion::Refuse, OlderVersion::Accept] {
                let place = format!("{name}: {length} bytes, {way:?}");
                match opened(&whole[..length], way) {
                    Err(_) => errors += 1,
                    Ok((facts, found)) => {
                        assert!(facts.version < intact.version, "{place}");
                        if way == OlderVersion::Refuse {
                            older += 1;
                            // Only where nothing says that more had been there.
                            assert_eq!(intact.closure, Closure::Unclean, "{place}");
                            assert!(
                                matches!(facts.health, Health::Recovered | Health::FellBack),
                                "{place}: {facts:?}"
                            );
                            assert!(!found.is_empty(), "{place}: an empty database without an error");
                        } else {
                            salvaged += 1;
                        }
                        assert_eq!(
                            facts.health == Health::FellBack,
                            facts.health != Health::Salvaged && !facts.passed_over.is_empty(),
                            "{place}"
                        );
                        subset(&place, name, &found, &full);
                    }
                }
            }
        }
    }
    // Otherwise the match above was never taken.
    assert!(
        errors > 500 && older > 0 && salvaged > 20,
        "{errors} {older} {salvaged}"
    );
}

/// Rows of an older version of a file that only ever inserted.
pub(crate) fn subset(place: &str, fixture: &str, found: &State, full: &State) {
    // Those that update have a test of their own.
    if matches!(fixture, "churn" | "compressed" | "compacted") {
        return;
    }
    for (table, rows) in found {
        let all: BTreeSet<&String> = full[table].iter().collect();
        if matches!(fixture, "unclean" | "uncommitted") {
            assert!(
                rows.is_empty() || rows.len() == all.len(),
                "{place}: {} rows of {table}, which one statement inserted",
                rows.len()
            );
        }
        for row in rows {
            assert!(all.contains(row), "{place}: {table} never had {row}");
        }
    }
}

#[test]
fn every_version_of_a_file_of_many_is_one_that_was_committed() {
    let mut whole = Vec::new();
    let packed = std::fs::File::open(data("many_chunks.mv.db.gz")).unwrap();
    flate2::read::GzDecoder::new(packed)
        .read_to_end(&mut whole)
        .unwrap();
    // Tables were made one after the other, and each row was committed after the one before it.
    let mut counts = BTreeSet::new();
    for length in (2 * BLOCK..whole.len()).step_by(13 * BLOCK) {
        let Ok(database) = options().open_bytes(whole[..length].to_vec()) else {
            continue;
        };
        assert!(matches!(
            database.facts().health,
            Health::Recovered | Health::FellBack
        ));
        let mut total = 0;
        for table in database.tables() {
            let number: i64 = table
                .definition()
                .name
                .strip_prefix('T')
                .unwrap()
                .parse()
                .unwrap();
            let mut rows = database.rows(table);
            let mut count = 0;
            while let Some(row) = rows.next_row().unwrap() {
                count += 1;
                let text = Text::Utf8(format!("row {count} of {number}").into());
                assert_eq!(row.values, [Value::BigInt(count), Value::Varchar(text)]);
            }
            assert!(count <= number % 7 + 1, "T{number} has {count} rows");
            total += count;
        }
        counts.insert((database.facts().version, database.tables().len(), total));
    }
    assert!(counts.len() > 5, "{counts:?}");
    let totals: Vec<_> = counts.iter().map(|(_, tables, rows)| (tables, rows)).collect();
    assert!(totals.is_sorted(), "a later version has less: {counts:?}");
}
