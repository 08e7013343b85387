//! What H2 reads out of the file is what Postgres held: tables, and views over them.

use crate::app_db::AppDb;
use crate::judge::{LISTS, assert_rows, sorted};
use crate::oracle::Oracle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_shows_the_rows_that_postgres_had() {
    let Some(app_db) = AppDb::load().await else { return };
    let copied = app_db.copy().await;
    assert_rows(&copied.file, &copied.catalogue);
    app_db.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_shows_in_h2_what_it_shows_in_postgres() {
    let Some(app_db) = AppDb::load().await else { return };
    // Forms that the generator does not make: all kinds of schedules, several recipients, values to pick out.
    app_db.execute(VARIETY).await;
    let copied = app_db.copy().await;
    let of_views: Vec<_> = copied
        .notes
        .iter()
        .filter(|note| note.contains("view v_"))
        .collect();
    assert!(of_views.is_empty(), "{of_views:?}");
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
    let in_postgres = app_db.oracle().rows(&queries(|name| format!("\"{name}\"")));
    for view in &copied.catalogue.views {
        let key = view.name.key();
        let lists: Vec<usize> = (0..view.columns.len())
            .filter(|at| LISTS.contains(&view.columns[*at].as_str()))
            .collect();
        let (left, right) = (sorted(&in_postgres[&key], &lists), sorted(&in_h2[&key], &lists));
        assert!(!left.is_empty(), "{key} shows nothing: the test proves nothing");
        assert_eq!(left.len(), right.len(), "rows of {key}");
        for (left, right) in left.iter().zip(&right) {
            assert_eq!(left, right, "{key}");
        }
    }
    app_db.drop().await;
}

const VARIETY: &str = "
    UPDATE notification SET payload_type = 'notification/card', payload_id = (SELECT min(id) FROM notification_card)
     WHERE payload_id IS NULL OR payload_type <> 'notification/card';
    UPDATE notification SET active = (id % 2 = 0);
    UPDATE notification_subscription SET type = 'notification-subscription/cron', cron_schedule =
        (ARRAY['0 0 9 ? * 2#1 *', '0 0 8 ? * 6L', '0 30 7 ? * 3 *', '0 0 * * * ? *', '0 15 23 * * ? *'])[1 + id % 5];
    UPDATE notification_card SET send_condition = (ARRAY['has_result', 'goal_above', 'goal_below'])[1 + id % 3];
    UPDATE notification_recipient SET type = 'notification-recipient/raw-value', user_id = NULL,
        details = 'x' || id || '@example.org' WHERE id % 3 = 0;
    UPDATE core_user SET last_name = NULL WHERE id = (SELECT min(id) FROM core_user);
    UPDATE core_user SET type = 'api-key' WHERE id = (SELECT max(id) FROM core_user WHERE id < 13371338);
    UPDATE audit_log SET topic = (ARRAY['card-create', 'pulse-delete', 'card-read', 'user-joined'])[1 + id % 4];
    UPDATE audit_log SET model = 'Dataset' WHERE id % 5 = 0;
    UPDATE audit_log SET model_id = NULL WHERE id % 7 = 0;
    UPDATE moderation_review SET status = NULL WHERE id = (SELECT min(id) FROM moderation_review);
";
