//! Whole dumps of an app DB that is written to all the time, and whose tables are emptied and rewritten meanwhile. What H2
//! reads out of each must have been true at one instant: writers change several tables in each transaction, so that any
//! mixture of two instants shows.

use serde_json::Value;

use crate::app_db::{AppDb, Scale, ended, metaferry, psql, wait_for};
use crate::crossing::shape::Shape;
use crate::sessions::Sessions;

const WRITERS: usize = 4;
/// Of the table that is emptied and filled again.
const REFILLED_ROWS: usize = 500;

/// What the writers keep.
const BEGINNING: &str = "
    UPDATE report_card SET cache_ttl = 0;
    INSERT INTO setting SELECT 'hot-' || what || '-' || w, '0' FROM generate_series(0, 3) w, unnest(ARRAY['made', 'gone']) what;
    INSERT INTO setting VALUES ('hot-generation', '0');
    TRUNCATE user_parameter_value";

/// Each transaction makes the next group with one member and counts it; every third time it deletes an older one, with
/// its member, and counts that; and it moves 1 from one card to another, so that their sum stays 0.
const WRITER: &str = "
DO $$ DECLARE
    n int := 0; made int; one int; other int; cards int[]; somebody int;
BEGIN
    SELECT array_agg(id) INTO cards FROM report_card;
    SELECT min(id) INTO somebody FROM core_user;
    LOOP
        n := n + 1;
        UPDATE setting SET value = n::text WHERE key = 'hot-made-WRITER';
        INSERT INTO permissions_group (name) VALUES ('hot WRITER ' || n) RETURNING id INTO made;
        INSERT INTO permissions_group_membership (user_id, group_id) VALUES (somebody, made);
        IF n % 3 = 0 THEN
            DELETE FROM permissions_group WHERE name = 'hot WRITER ' || (n - 2);
            UPDATE setting SET value = (n / 3)::text WHERE key = 'hot-gone-WRITER';
        END IF;
        one := cards[1 + floor(random() * (cardinality(cards) - 1))::int];
        other := cards[1 + floor(random() * (cardinality(cards) - 1))::int];
        UPDATE report_card SET cache_ttl = cache_ttl + 1 WHERE id = least(one, other);
        UPDATE report_card SET cache_ttl = cache_ttl - 1 WHERE id = greatest(one, other);
        COMMIT;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$";

/// Each transaction empties a table, fills it with rows of the next generation, rewrites two others, and counts.
const CHANGER: &str = "
DO $$ DECLARE
    generation int := 0; kind text;
BEGIN
    LOOP
        generation := generation + 1;
        kind := CASE WHEN generation % 2 = 0 THEN 'integer' ELSE 'bigint' END;
        PERFORM set_config('lock_timeout', '200ms', true);
        BEGIN
            TRUNCATE user_parameter_value;
            INSERT INTO user_parameter_value (id, user_id, parameter_id, value)
                SELECT i, (SELECT min(id) FROM core_user), 'p' || i, generation::text FROM generate_series(1, 500) i;
            EXECUTE 'ALTER TABLE bookmark_ordering ALTER COLUMN ordering TYPE ' || kind;
            EXECUTE 'ALTER TABLE revision ALTER COLUMN model_id TYPE ' || kind;
            UPDATE setting SET value = generation::text WHERE key = 'hot-generation';
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
        COMMIT;
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$";

#[test]
fn every_dump_of_a_small_busy_app_db_is_one_snapshot() {
    stays_one_snapshot(Scale::Hundredth, 4);
}

#[test]
fn every_dump_of_a_large_busy_app_db_is_one_snapshot() {
    stays_one_snapshot(Scale::One, 2);
}

fn stays_one_snapshot(scale: Scale, times: usize) {
    let Some(app_db) = AppDb::load_at(scale) else {
        return;
    };
    psql(&app_db.url, BEGINNING);
    let busy = busy(&app_db);
    let first = Counts::of(&app_db);
    for time in 0..times {
        let before = Counts::of(&app_db);
        let file = app_db.folder.path().join(format!("busy-{time}.mv.db"));
        let (json, code) = ended(&metaferry(&[
            "--json",
            "dump",
            "--from",
            &app_db.url,
            "--to",
            file.to_str().unwrap(),
        ]));
        assert_eq!(code, 0, "{json}");
        let after = Counts::of(&app_db);
        let inside = is_one_snapshot(&app_db, &format!("busy-{time}"), &json);
        for writer in 0..WRITERS {
            let (before, inside, after) = (before.made[writer], inside.made[writer], after.made[writer]);
            assert!(before <= inside && inside <= after, "{before} {inside} {after}");
            assert!(
                before < after,
                "writer {writer} stood still: the dump proves nothing"
            );
        }
        assert!(before.generation <= inside.generation && inside.generation <= after.generation);
    }
    let last = Counts::of(&app_db);
    assert!(
        last.generation > first.generation,
        "nothing was emptied or rewritten while dumps were made: {first:?} {last:?}"
    );
    drop(busy);
}

/// How far the writers are.
#[derive(Debug)]
struct Counts {
    made: Vec<u64>,
    generation: u64,
}

impl Counts {
    fn of(app_db: &AppDb) -> Self {
        let told = psql(
            &app_db.url,
            "SELECT value FROM setting WHERE key LIKE 'hot-made-%' OR key = 'hot-generation' ORDER BY key DESC",
        );
        let mut made: Vec<u64> = told.lines().map(|line| line.parse().unwrap()).collect();
        let generation = made.pop().unwrap();
        made.reverse();
        Self { made, generation }
    }
}

/// Everything that the writers keep, asked of H2; answers how far they were.
fn is_one_snapshot(app_db: &AppDb, name: &str, json: &Value) -> Counts {
    let shape = Shape::of(app_db, name);
    let mut questions: Vec<(String, String)> = shape
        .foreign_keys
        .iter()
        .map(|key| {
            (
                format!("orphans of {} by {}", key.child, key.column),
                key.orphans(),
            )
        })
        .collect();
    let of_keys = questions.len();
    assert!(of_keys > 100, "{of_keys} foreign keys");
    for writer in 0..WRITERS {
        let groups = format!("FROM PERMISSIONS_GROUP G WHERE G.NAME LIKE 'hot {writer} %'");
        for (what, sql) in [
            (
                "made",
                format!("SELECT \"VALUE\" FROM SETTING WHERE \"KEY\" = 'hot-made-{writer}'"),
            ),
            (
                "gone",
                format!("SELECT \"VALUE\" FROM SETTING WHERE \"KEY\" = 'hot-gone-{writer}'"),
            ),
            ("groups", format!("SELECT COUNT(*) {groups}")),
            (
                "newest",
                format!("SELECT COALESCE(MAX(CAST(SUBSTRING(G.NAME FROM 7) AS INTEGER)), 0) {groups}"),
            ),
            (
                "members",
                format!(
                    "SELECT COUNT(*) FROM PERMISSIONS_GROUP_MEMBERSHIP M WHERE M.GROUP_ID IN (SELECT G.ID {groups})"
                ),
            ),
        ] {
            questions.push((format!("{what} {writer}"), sql));
        }
    }
    for (what, sql) in [
        ("sum", "SELECT SUM(CACHE_TTL) FROM REPORT_CARD"),
        (
            "generation",
            "SELECT \"VALUE\" FROM SETTING WHERE \"KEY\" = 'hot-generation'",
        ),
        (
            "refilled",
            "SELECT COUNT(*), MIN(\"VALUE\"), MAX(\"VALUE\") FROM USER_PARAMETER_VALUE",
        ),
    ] {
        questions.push((what.to_owned(), sql.to_owned()));
    }
    for table in json["tables"].as_array().unwrap() {
        let table = table["name"].as_str().unwrap();
        let sql = format!("SELECT COUNT(*) FROM \"{}\"", table.to_uppercase());
        questions.push((format!("rows of {table}"), sql));
    }
    let asked: Vec<(&str, &str)> = questions.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let answers = app_db.java(&format!("{};ACCESS_MODE_DATA=r", app_db.h2_url(name)), &asked);
    for (what, _) in &questions[..of_keys] {
        assert_eq!(answers[what], ["0"], "{what}");
    }
    let number = |what: &str| answers[what][0].parse::<u64>().unwrap();
    let mut counts = Counts {
        made: Vec::new(),
        generation: number("generation"),
    };
    for writer in 0..WRITERS {
        let of = |what: &str| number(&format!("{what} {writer}"));
        let (made, gone) = (of("made"), of("gone"));
        assert_eq!(gone, made / 3, "deleted by writer {writer} of {made}");
        assert_eq!(of("groups"), made - gone, "groups of writer {writer}");
        assert_eq!(of("members"), made - gone, "members of groups of writer {writer}");
        assert!(of("newest") == made, "the newest group of writer {writer}");
        counts.made.push(made);
    }
    assert_eq!(answers["sum"], ["0"], "what moves between cards");
    let generation = counts.generation;
    let refilled = if generation == 0 {
        "0\t\\N\t\\N".to_owned()
    } else {
        format!("{REFILLED_ROWS}\t{generation}\t{generation}")
    };
    assert_eq!(answers["refilled"], [refilled]);
    for table in json["tables"].as_array().unwrap() {
        let name = table["name"].as_str().unwrap();
        assert_eq!(
            table["rows"],
            number(&format!("rows of {name}")),
            "rows of {name}"
        );
    }
    counts
}

/// Begins to write; answers once everybody does.
fn busy(app_db: &AppDb) -> Sessions {
    let mut busy = Sessions::new(&app_db.url);
    for writer in 0..WRITERS {
        busy.run(&WRITER.replace("WRITER", &writer.to_string()));
    }
    busy.run(CHANGER);
    wait_for("everybody writes", || {
        let counts = Counts::of(app_db);
        counts.generation > 0 && counts.made.iter().all(|made| *made > 0)
    });
    busy
}
