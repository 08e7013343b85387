//! A dump that goes well: what is in the file, the report and the manifest.

use std::sync::Arc;

use metaferry_domain::copy_policy::{
    CellRewrite, CopyPolicy, NewValue, Origin, RewriteWhen, RowFilter, TablePolicy,
};
use metaferry_domain::ports::{Dumper, LeftOut};
use metaferry_domain::schema::DataType::{Integer as Int, Text};
use metaferry_domain::{Cancellation, ErrorKind};
use metaferry_transfer::dump::Existing;
use metaferry_transfer::manifest::{MANIFEST_VERSION, Manifest};
use metaferry_transfer::verify::scan;
use sha2::{Digest as _, Sha256};

use crate::database::{Value, column, table, text};
use crate::file_format::{JsonFormat, rows_in};
use crate::oracle;
use crate::scene::{
    CARD, Place, SETTING, USER, Unwatched, database, dump, dump_of, dumper, expected, known, read,
};

#[tokio::test]
async fn a_dump_holds_every_row_and_its_manifest_says_which() {
    let (place, database) = (Place::new(), database());
    let report = dump_of(&database, &JsonFormat::of(&database.catalogue), &place)
        .await
        .unwrap();

    assert_eq!(place.holds(), ["dump.json", "dump.json.manifest.json"]);
    assert_eq!(rows_in(&place.file()), database.rows);
    assert_eq!(report.snapshot.tables, expected(&database));
    assert_eq!(report.snapshot.notes, ["decided"]);

    let bytes = read(&place.file());
    let manifest = Manifest::read(&place.file()).unwrap();
    assert_eq!(report.manifest, Manifest::path_for(&place.file()));
    assert_eq!(
        manifest,
        Manifest {
            version: MANIFEST_VERSION,
            file: "dump.json".to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: Some(hex::encode(Sha256::digest(&bytes))),
            snapshot_micros: 1_700_000_000_000_000,
            tables: expected(&database),
            left_out: Vec::new(),
            notes: vec!["decided".to_owned()],
        }
    );
}

/// Leaves `query_cache` behind, drops a setting and the cards of nobody's user, and changes users and cards.
fn policy() -> CopyPolicy {
    let carry = |drop_rows, rewrites| TablePolicy::Carry {
        drop_rows,
        rewrites,
        origin: Origin::Known,
    };
    let rewrite = |column: &str, when, to| CellRewrite {
        column: column.to_owned(),
        when,
        to,
    };
    let dangling = RowFilter::Dangling {
        column: "creator_id".to_owned(),
        parent_table: "core_user".to_owned(),
        parent_column: "id".to_owned(),
    };
    let setting_b = RowFilter::TextEquals {
        column: "key".to_owned(),
        value: "b".to_owned(),
    };
    let c = RewriteWhen::TextEquals {
        column: "key".to_owned(),
        value: "c".to_owned(),
    };
    let admin = RewriteWhen::IsTrue {
        column: "is_admin".to_owned(),
    };
    let tables = [
        (
            "core_user",
            carry(
                vec![],
                vec![rewrite("email", admin, NewValue::Text("admin".to_owned()))],
            ),
        ),
        (
            "report_card",
            carry(
                vec![dangling],
                vec![rewrite("name", RewriteWhen::Always, NewValue::Null)],
            ),
        ),
        (
            "setting",
            carry(
                vec![setting_b],
                vec![rewrite("value", c, NewValue::Text("changed".to_owned()))],
            ),
        ),
        (
            "query_cache",
            TablePolicy::LeaveOut {
                why: "it fills itself again".to_owned(),
            },
        ),
    ];
    CopyPolicy {
        tables: tables
            .into_iter()
            .map(|(name, policy)| (name.to_owned(), policy))
            .collect(),
        ..CopyPolicy::default()
    }
}

#[tokio::test]
async fn what_the_policy_leaves_out_drops_or_changes_counts_alike_on_both_shores() {
    let place = Place::new();
    let cached = vec![vec![Value::Int(1), text("x")], vec![Value::Int(2), text("y")]];
    let mut database = database()
        .with(
            table("query_cache", vec![column("id", Int), column("results", Text)]),
            cached,
        )
        .with(
            table("my_notes", vec![column("id", Int)]),
            vec![vec![Value::Int(9)]],
        );
    let stray = vec![
        Value::Int(8),
        Value::Int(99),
        text("a card of a user who is gone"),
    ];
    database.rows.get_mut("report_card").unwrap().push(stray);

    let mut users = database.rows["core_user"].clone();
    users[0][1] = text("admin");
    let mut cards = database.rows["report_card"].clone();
    cards.truncate(7);
    for card in &mut cards {
        card[2] = Value::Null;
    }
    let settings =
        [("a", "A"), ("c", "changed"), ("d", "D")].map(|(key, value)| vec![text(key), text(value)]);
    let carried = [
        oracle::report("core_user", USER, &users),
        oracle::report("my_notes", &["id"], &database.rows["my_notes"]),
        oracle::report("report_card", CARD, &cards),
        oracle::report("setting", SETTING, &settings),
    ];

    let format = JsonFormat::of(&database.catalogue);
    let cancel = Cancellation::new();
    let report = dump(
        &dumper(&database, &format, &policy(), Existing::Refuse),
        &place,
        &cancel,
    )
    .await
    .unwrap();

    let rows = rows_in(&place.file());
    assert_eq!(rows["core_user"], users);
    assert_eq!(rows["report_card"], cards);
    assert_eq!(rows["setting"], settings);
    assert_eq!(
        rows["query_cache"],
        Vec::<Vec<Value>>::new(),
        "the table is there, empty"
    );
    let left_out = [LeftOut {
        name: "query_cache".to_owned(),
        rows: 2,
        why: "it fills itself again".to_owned(),
    }];
    assert_eq!(report.snapshot.tables, carried);
    assert_eq!(report.snapshot.left_out, left_out);
    assert!(
        report.snapshot.notes.iter().any(|note| note.contains("my_notes")),
        "{:?}",
        report.snapshot.notes
    );
    let manifest = Manifest::read(&place.file()).unwrap();
    assert_eq!(
        (&manifest.tables[..], &manifest.left_out[..]),
        (&carried[..], &left_out[..])
    );
    let source_shore = scan(&database, &policy(), &cancel).await.unwrap();
    assert_eq!(source_shore.tables, carried);
    assert_eq!(source_shore.dangling, Vec::<String>::new());
}

/// The target may have no way to make it.
#[tokio::test]
async fn a_table_that_is_absent_is_not_made_and_its_rows_are_told() {
    let place = Place::new();
    let odd = table("odd", vec![column("id", Int)]);
    let database = database().with(odd, vec![vec![Value::Int(1)]]);
    let mut policy = known(&database);
    let why = "excluded by request".to_owned();
    let left_out = LeftOut {
        name: "odd".to_owned(),
        rows: 1,
        why: why.clone(),
    };
    policy
        .tables
        .insert("odd".to_owned(), TablePolicy::LeaveOut { why });
    policy.absent.insert("odd".to_owned());
    let format = JsonFormat::of(&database.catalogue.without(&policy.absent).0);
    let dumper = dumper(&database, &format, &policy, Existing::Refuse);
    let report = dump(&dumper, &place, &Cancellation::new()).await.unwrap();
    assert_eq!(report.snapshot.left_out, [left_out]);
    let made: Vec<String> = rows_in(&place.file()).into_keys().collect();
    assert_eq!(made, ["core_user", "report_card", "setting"]);
}

#[tokio::test]
async fn nothing_can_be_finished_that_was_not_begun_or_is_finished() {
    let (place, database) = (Place::new(), database());
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
    let cancel = Cancellation::new();
    assert_eq!(
        dumper.finish(&cancel).await.unwrap_err().kind,
        ErrorKind::Precondition
    );
    dump(&dumper, &place, &cancel).await.unwrap();
    assert_eq!(
        dumper.finish(&cancel).await.unwrap_err().kind,
        ErrorKind::Precondition
    );
    assert_eq!(place.holds(), ["dump.json", "dump.json.manifest.json"]);
}

#[tokio::test]
async fn a_file_appears_only_when_it_is_finished() {
    let (place, database) = (Place::new(), database());
    let format = JsonFormat::of(&database.catalogue);
    let dumper = dumper(&database, &format, &known(&database), Existing::Refuse);
    dumper
        .copy_snapshot(&place.request(), Arc::new(Unwatched), &Cancellation::new())
        .await
        .unwrap();
    assert_eq!(place.holds(), ["dump.json.partial"]);
}

#[test]
fn a_damaged_or_missing_manifest_is_named() {
    let place = Place::new();
    let missing = Manifest::read(&place.file()).unwrap_err().to_string();
    assert!(missing.contains("dump.json.manifest.json"), "{missing}");
    for damaged in [
        "",
        "{\"version\": 1, \"file\": \"du",
        "[]",
        "{\"version\": 1}",
        "\u{0}",
    ] {
        std::fs::write(Manifest::path_for(&place.file()), damaged).unwrap();
        let error = metaferry_domain::PortError::from(Manifest::read(&place.file()).unwrap_err());
        let chain = error.chain();
        assert!(
            chain.contains("manifest") && chain.contains("dump.json.manifest.json"),
            "{chain}"
        );
        assert_eq!(
            error.kind,
            ErrorKind::Corrupt,
            "{damaged:?} is damage, which a retry does not mend: {chain}"
        );
    }
}
