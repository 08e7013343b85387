//! The schema that H2 reads out of the file, beside the one that Metabase's own migrations make on H2.

use metaferry_domain::schema::IndexPart;
use metaferry_test_kit::h2_script;

use crate::app_db::AppDb;
use crate::judge::fixtures;
use crate::oracle::Oracle;

/// Every difference with its reason: `- FACT` is only in Metabase's schema, `+ FACT` only in ours. A `*` stands for
/// anything. Reasons are the lines beginning with `#` above.
const DIFFERENCES: &str = include_str!("../data/h2_schema_differences.txt");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_metabases_own_but_for_what_the_list_explains() {
    let Some(app_db) = AppDb::load().await else { return };
    let copied = app_db.copy().await;
    let untranslatable = copied
        .catalogue
        .tables
        .iter()
        .flat_map(|table| &table.indexes)
        .filter(|index| {
            index.predicate.is_some()
                || index
                    .parts
                    .iter()
                    .any(|part| matches!(part, IndexPart::Expression(_)))
        });
    assert_eq!(copied.notes.len(), untranslatable.count(), "{:#?}", copied.notes);
    let script = Oracle::of_h2(&copied.file)
        .unwrap()
        .rows(&[("s".to_owned(), "SCRIPT NODATA".to_owned())]);
    let script = script["s"]
        .iter()
        .map(|line| h2_script::unescaped(line))
        .collect::<Vec<_>>()
        .join("\n");
    let theirs = std::fs::read_to_string(fixtures().unwrap().join("h2-schema.sql")).unwrap();
    let unlike = h2_script::compare(&theirs, &script, DIFFERENCES);
    assert!(
        unlike.unexplained.is_empty() && unlike.stale.is_empty(),
        "{unlike:#?}"
    );
    app_db.drop().await;
}
