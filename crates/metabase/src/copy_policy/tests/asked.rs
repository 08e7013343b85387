//! What people ask for, and what goes with it.

use super::*;

#[test]
fn people_may_include_exclude_and_want_logs() {
    let names = ["task_history", "query_execution", "cache_config", "view_log"];
    let catalogue = catalogue(names.iter().map(|name| table(name, &["id"])).collect());
    let decided = |options: &PolicyOptions| {
        let decision = decide(&catalogue, options).unwrap();
        names.map(|name| is_carried(&decision, name))
    };
    assert_eq!(decided(&options(55)), [false, false, false, true]);
    assert_eq!(
        decided(&PolicyOptions {
            logs: Logs::Carry,
            ..options(55)
        }),
        [true, true, false, true]
    );
    let include = vec!["CACHE_CONFIG".to_owned()];
    assert_eq!(
        decided(&PolicyOptions {
            include,
            ..options(55)
        }),
        [false, false, true, true]
    );
    let exclude = vec!["view_log".to_owned(), "task_history".to_owned()];
    assert_eq!(
        decided(&PolicyOptions {
            exclude,
            ..options(55)
        }),
        [false; 4]
    );

    // The tables are made all the same, for Metabase wants them.
    let exclude = vec!["view_log".to_owned(), "task_history".to_owned()];
    let decision = decide(
        &catalogue,
        &PolicyOptions {
            exclude,
            ..options(55)
        },
    );
    assert_eq!(decision.unwrap().policy.absent, BTreeSet::new());

    let wrong = PolicyOptions {
        include: vec!["nothing".to_owned(), "view_log".to_owned()],
        exclude: vec!["VIEW_LOG".to_owned()],
        ..options(55)
    };
    assert_eq!(
        decide(&catalogue, &wrong).unwrap_err().0,
        [
            PolicyError::NoSuchTable {
                name: "nothing".to_owned()
            },
            PolicyError::IncludedAndExcluded {
                table: "view_log".to_owned()
            }
        ]
    );
}

#[test]
fn somebodys_table_that_is_excluded_is_not_even_made() {
    let catalogue = catalogue(vec![table("core_user", &["!id"]), table("our_notes", &["!id"])]);
    let decision = decide(
        &catalogue,
        &PolicyOptions {
            exclude: vec!["OUR_NOTES".to_owned()],
            ..options(55)
        },
    )
    .unwrap();
    assert_eq!(decision.policy.absent, BTreeSet::from(["our_notes".to_owned()]));
    assert!(!is_carried(&decision, "our_notes"));
}

#[test]
fn unknown_tables_travel_unless_what_they_refer_to_stays() {
    let catalogue = catalogue(vec![
        table("core_user", &["!id"]),
        table("task_history", &["!id"]),
        table("our_notes", &["!id"]),
        refers(table("our_tags", &["!id", "task"]), "task", "task_history"),
        refers(table("our_runs", &["!id", "!task"]), "task", "task_history"),
        refers(table("our_run_steps", &["!id", "!run"]), "run", "our_runs"),
    ]);
    let decision = decide(&catalogue, &options(55)).unwrap();
    assert_eq!(decision.unknown_tables, ["our_notes", "our_tags"]);
    assert_eq!(carried(&decision, "our_tags").1, [always("task", NewValue::Null)]);
    assert!(!is_carried(&decision, "our_runs") && !is_carried(&decision, "our_run_steps"));
    assert_eq!(decision.notes.len(), 3, "{:?}", decision.notes);
}

#[test]
fn a_table_of_metabases_is_never_dropped_for_its_references() {
    let catalogue = catalogue(vec![
        table("core_user", &["!id"]),
        refers(table("revision", &["!id", "!user_id"]), "user_id", "core_user"),
    ]);
    let exclude = vec!["core_user".to_owned()];
    assert_eq!(
        decide(
            &catalogue,
            &PolicyOptions {
                exclude,
                ..options(55)
            }
        )
        .unwrap_err()
        .0,
        [PolicyError::Dangling {
            table: "revision".to_owned(),
            column: "user_id".to_owned(),
            parent: "core_user".to_owned()
        }]
    );
}

#[test]
fn liquibases_rows_stay_where_metabase_built_the_target() {
    let catalogue = catalogue(vec![table("DATABASECHANGELOG", &["ID", "MD5SUM"])]);
    let decision = decide(
        &catalogue,
        &PolicyOptions {
            changelog: Changelog::LeaveOut,
            ..options(55)
        },
    )
    .unwrap();
    assert!(!is_carried(&decision, "databasechangelog"));
    assert!(decision.unknown_tables.is_empty());
}
