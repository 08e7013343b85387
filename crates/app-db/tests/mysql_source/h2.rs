//! What H2 reads out of the file is what MariaDB held: schema, tables, and views over them.

use metaferry_test_kit::h2_script;

use crate::database::TestDatabase;
use crate::judge::{LISTS, assert_rows, copy, fixtures, sorted};
use crate::oracle::Oracle;

/// Every difference with its reason: `- FACT` is only in Metabase's schema, `+ FACT` only in ours.
const DIFFERENCES: &str = include_str!("../data/h2_from_mysql_differences.txt");

/// The fixture in a database of the test's own. `None`, said aloud, where something that this needs is not there.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
async fn app_db() -> Option<TestDatabase> {
    for variable in ["METAFERRY_TEST_H2_JAR", "METAFERRY_TEST_MARIADB_JDBC_JAR"] {
        if std::env::var_os(variable).is_none() {
            eprintln!("SKIPPED: {variable} names no jar");
            return None;
        }
    }
    let fixture = fixtures()?.join("appdb-s001.mariadb.sql.gz");
    let database = TestDatabase::new().await?;
    assert!(database.load(&fixture), "mariadb could not load the fixture");
    Some(database)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_and_rows_are_metabases_own_but_for_what_the_list_explains() {
    let Some(database) = app_db().await else { return };
    let copied = copy(&database.source()).await;
    assert_eq!(copied.notes, [""; 0], "nothing is left out");
    assert_rows(&copied.file, &copied.catalogue);
    let script = Oracle::of_h2(&copied.file)
        .unwrap()
        .rows(&[("s".to_owned(), "SCRIPT NODATA".to_owned())]);
    let script: Vec<String> = script["s"]
        .iter()
        .map(|line| h2_script::unescaped(line))
        .collect();
    let theirs = std::fs::read_to_string(fixtures().unwrap().join("h2-schema.sql")).unwrap();
    let unlike = h2_script::compare(&theirs, &script.join("\n"), DIFFERENCES);
    assert!(
        unlike.unexplained.is_empty() && unlike.stale.is_empty(),
        "{unlike:#?}"
    );
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_shows_in_h2_what_it_shows_in_mariadb() {
    let Some(database) = app_db().await else { return };
    // Forms that the generator does not make: all kinds of schedules, several recipients, values to pick out.
    database.execute(VARIETY).await;
    let copied = copy(&database.source()).await;
    assert_eq!(copied.catalogue.views.len(), 13);
    let queries = |spelled: fn(&str) -> String| -> Vec<(String, String)> {
        let views = copied.catalogue.views.iter();
        views
            .map(|view| {
                let columns: Vec<String> = view.columns.iter().map(|name| spelled(name.as_str())).collect();
                let (key, name) = (view.name.key(), spelled(view.name.as_str()));
                (key, format!("SELECT {} FROM {name}", columns.join(", ")))
            })
            .collect()
    };
    let in_h2 = Oracle::of_h2(&copied.file)
        .unwrap()
        .rows(&queries(|name| format!("\"{}\"", name.to_uppercase())));
    let address = &database.address;
    let user = address.user.as_deref().unwrap_or("root");
    let jdbc = format!(
        "jdbc:mariadb://{}:{}/{}?sessionVariables=time_zone='+00:00'",
        address.host, address.port, address.database
    );
    let in_mariadb = Oracle::of_server("METAFERRY_TEST_MARIADB_JDBC_JAR", jdbc, user)
        .unwrap()
        .rows(&queries(|name| format!("`{name}`")));
    for view in &copied.catalogue.views {
        let key = view.name.key();
        let lists: Vec<usize> = (0..view.columns.len())
            .filter(|at| LISTS.contains(&view.columns[*at].as_str()))
            .collect();
        // The numbers 0 and 1 are all that MariaDB has for truth values.
        let booleans: Vec<bool> = (0..view.columns.len())
            .map(|at| {
                in_h2[&key]
                    .iter()
                    .any(|row| matches!(row.split('\t').nth(at), Some("t" | "f")))
            })
            .collect();
        let as_h2 = |row: &String| {
            let cells = row
                .split('\t')
                .zip(&booleans)
                .map(|(cell, boolean)| match (boolean, cell) {
                    // A UNION of a bit and a number makes bytes of both: the bit itself, and the number's digit.
                    (true, "1" | "01" | "31") => "t",
                    (true, "0" | "00" | "30") => "f",
                    _ => cell,
                });
            cells.collect::<Vec<_>>().join("\t")
        };
        let left: Vec<String> = in_mariadb[&key].iter().map(as_h2).collect();
        let (left, right) = (sorted(&left, &lists), sorted(&in_h2[&key], &lists));
        assert!(!left.is_empty(), "{key} shows nothing: the test proves nothing");
        assert_eq!(left.len(), right.len(), "rows of {key}");
        for (left, right) in left.iter().zip(&right) {
            assert_eq!(left, right, "{key}");
        }
    }
    database.drop().await;
}

const VARIETY: &str = "
    SET @card = (SELECT min(id) FROM notification_card);
    UPDATE notification SET payload_type = 'notification/card', payload_id = @card
     WHERE payload_id IS NULL OR payload_type <> 'notification/card';
    UPDATE notification SET active = (id % 2 = 0);
    UPDATE notification_subscription SET type = 'notification-subscription/cron', cron_schedule =
        ELT(1 + id % 6, '0 0 9 ? * 2#1 *', '0 0 8 ? * 6L', '0 30 7 ? * 3 *', '0 0 * * * ? *', '0 15 23 * * ? *', '0 0');
    UPDATE notification_subscription SET cron_schedule = '0 0' WHERE id = (SELECT * FROM (SELECT min(id)
     FROM notification_subscription) first);
    UPDATE notification_card SET send_condition = ELT(1 + id % 3, 'has_result', 'goal_above', 'goal_below');
    UPDATE notification_recipient SET type = 'notification-recipient/raw-value', user_id = NULL,
        details = concat('x', id, '@example.org') WHERE id % 3 = 0;
    UPDATE core_user SET last_name = NULL WHERE id = (SELECT * FROM (SELECT min(id) FROM core_user) first);
    UPDATE core_user SET type = 'api-key' WHERE id = (SELECT * FROM (SELECT max(id) FROM core_user
     WHERE id < 13371338) last);
    UPDATE audit_log SET topic = ELT(1 + id % 4, 'card-create', 'pulse-delete', 'card-read', 'user-joined');
    UPDATE audit_log SET model = 'Dataset' WHERE id % 5 = 0;
    UPDATE audit_log SET model_id = NULL WHERE id % 7 = 0;
    UPDATE moderation_review SET status = NULL WHERE id = (SELECT * FROM (SELECT min(id) FROM moderation_review) first);
";
