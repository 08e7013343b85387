//! Writes to every table of the app DB, made of Postgres' own catalogue: updates, and rows that are taken out and put in
//! again. In each transaction a table has as many rows afterwards as before, so that a dump of one instant has them too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Strength, WHILE_STILL, WRITERS};
use crate::api::world::World;
use crate::app_db::AppDb;
use crate::crossing::shape::Shape;

/// What stays writable while it is on, as Metabase's source has it; the history belongs to nodes that start.
const EXEMPT: [&str; 10] = [
    "audit_log",
    "cloud_migration",
    "core_session",
    "core_user",
    "databasechangelog",
    "databasechangeloglock",
    "login_history",
    "setting",
    "user_parameter_value",
    "view_log",
];

/// It goes along in dumps of later versions, and is kept still in all.
const GUARDED_BESIDE: &str = "api_key";

/// Which table is written how. Not among them: the rows of this very migration and of the scheduler, which the program itself
/// writes; Liquibase's lock; and two tables that the writers count in. A table belongs to one writer.
///
/// A row is taken out of tables that no other refers to, and put in for another one, so that both ways are always open.
pub(super) const JOBS: &str = "
    CREATE TABLE writers.job (table_name text PRIMARY KEY, number serial, change text, take text, put text,
        there text, there_row jsonb, away text, away_row jsonb, rows bigint);
    CREATE TABLE writers.op (table_name text, op text, writer int, place int, PRIMARY KEY (table_name, op));
    DO $$ DECLARE t record; changed text; key text; columns text; referred boolean; spare text[]; kept text; swaps boolean; change text; n bigint; gone jsonb;
    BEGIN
        FOR t IN SELECT c.oid, c.relname::text AS name FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'qrtz%'
              AND c.relname NOT IN ('cloud_migration', 'setting', 'user_parameter_value', 'databasechangeloglock') ORDER BY 2
        LOOP
            SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
                WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
            SELECT format('concat_ws(''/'', %s)', string_agg(format('%I', a.attname), ', ')) INTO key FROM pg_index i
                JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (i.indkey)
                WHERE i.indrelid = t.oid AND i.indisprimary HAVING count(*) > 0;
            SELECT format(CASE WHEN a.atttypid = 'bool'::regtype THEN '%1$I = NOT %1$I'
                    WHEN a.atttypid IN ('int4'::regtype, 'int8'::regtype) THEN '%1$I = 1 - coalesce(%1$I, 0)'
                    ELSE '%1$I = clock_timestamp()' END, a.attname) INTO changed FROM pg_attribute a
                WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                  AND a.attname NOT IN ('last_used_at', 'updated_at', 'cache_ttl') AND a.atttypid IN
                      ('bool'::regtype, 'int4'::regtype, 'int8'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
                  AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND a.attnum = ANY (i.indkey))
                  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND a.attnum = ANY (k.conkey))
                ORDER BY a.attnum LIMIT 1;
            CONTINUE WHEN key IS NULL;
            SELECT count(*) > 0 INTO referred FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid = t.oid;
            EXECUTE format('SELECT array(SELECT %s FROM %I ORDER BY 1 LIMIT 2)', key, t.name) INTO spare;
            EXECUTE format('SELECT %s FROM %I ORDER BY 1 DESC LIMIT 1', key, t.name) INTO kept;
            CONTINUE WHEN kept IS NULL;
            swaps := NOT referred AND cardinality(spare) = 2;
            -- Of two rows one is always away.
            change := CASE WHEN changed IS NULL THEN NULL WHEN swaps AND spare[2] = kept THEN format('UPDATE %I SET %s', t.name, changed)
                ELSE format('UPDATE %I SET %s WHERE %s = %L', t.name, changed, key, kept) END;
            INSERT INTO writers.job (table_name, change) VALUES (t.name, change);
            IF swaps THEN
                UPDATE writers.job SET take = format('DELETE FROM %I WHERE %s = $1', t.name, key),
                    put = format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$I, $1)', t.name, columns),
                    there = spare[1], away = spare[2] WHERE table_name = t.name;
                EXECUTE format('SELECT to_jsonb(t) FROM %I t WHERE %s = %L', t.name, key, spare[1]) INTO gone;
                UPDATE writers.job SET there_row = gone WHERE table_name = t.name;
                EXECUTE format('SELECT to_jsonb(t) FROM %I t WHERE %s = %L', t.name, key, spare[2]) INTO gone;
                UPDATE writers.job SET away_row = gone WHERE table_name = t.name;
                EXECUTE format('DELETE FROM %I WHERE %s = %L', t.name, key, spare[2]);
            END IF;
            EXECUTE format('SELECT count(*) FROM %I', t.name) INTO n;
            UPDATE writers.job SET rows = n WHERE table_name = t.name;
        END LOOP;
    END $$;
    INSERT INTO writers.op SELECT table_name, op, 1 + number % 8, row_number() OVER (PARTITION BY number % 8 ORDER BY op, number) - 1
        FROM writers.job CROSS JOIN unnest(ARRAY['update', 'delete', 'insert']) op
        WHERE CASE WHEN op = 'update' THEN change ELSE take END IS NOT NULL";

/// One of a writer's operations in a transaction of its own. `delete` takes one row out and puts another one in, `insert` the
/// same the other way round.
pub(super) const ROUND: &str = "
        began := clock_timestamp();
        refusal := NULL;
        SELECT o.op, j.* INTO job FROM writers.op o JOIN writers.job j USING (table_name)
            WHERE o.writer = WRITER AND o.place = n % (SELECT count(*) FROM writers.op WHERE writer = WRITER);
        BEGIN
            IF job.op = 'insert' THEN EXECUTE job.put USING job.away_row; END IF;
            IF job.op = 'update' THEN
                EXECUTE job.change;
            ELSE
                EXECUTE job.take USING job.there;
            END IF;
            GET DIAGNOSTICS written = ROW_COUNT;
            IF written <> 1 THEN RAISE EXCEPTION '% rows of %', written, job.table_name; END IF;
            IF job.op = 'delete' THEN EXECUTE job.put USING job.away_row; END IF;
            IF job.op <> 'update' THEN
                UPDATE writers.job own SET there = away, there_row = away_row, away = there, away_row = there_row
                    WHERE own.table_name = job.table_name;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            refusal := SQLERRM;
        END;
        INSERT INTO writers.record VALUES (WRITER, 'table', began,
            extract(epoch FROM clock_timestamp() - began) * 1000000, refusal, job.table_name, job.op);
        COMMIT;";

/// Operations on tables, as `TABLE OP`, for which that holds of a record.
fn operations(world: &World, filter: &str) -> BTreeSet<String> {
    let sql = format!(
        "SELECT DISTINCT table_name || ' ' || op FROM writers.record WHERE kind = 'table' AND {filter}"
    );
    world.sql(&sql).lines().map(str::to_owned).collect()
}

/// Was everything tried since rows are read?
pub(super) fn all_were_tried(world: &World) -> bool {
    world.sql(&format!(
        "SELECT count(*) FROM writers.op o WHERE NOT EXISTS (SELECT FROM writers.record r
             WHERE r.table_name = o.table_name AND r.op = o.op AND {SINCE_STILL})"
    )) == "0"
}

/// The first half of [`WHILE_STILL`]; nothing before there is a journal.
const SINCE_STILL: &str =
    "began > (SELECT to_timestamp((entry::json ->> 'at_ms')::bigint / 1000.0) FROM metaferry.journal
     WHERE entry LIKE '%\"effect_started\":{\"copy_snapshot\"%')";

fn refusals(world: &World) -> String {
    world.sql("SELECT table_name, op, refusal, count(*) FROM writers.record WHERE kind = 'table' AND refusal IS NOT NULL
        AND refusal NOT LIKE '%is read-only while%' GROUP BY 1, 2, 3")
}

/// Names of the tables whose rows went along.
fn carried(json: &Value) -> BTreeSet<&str> {
    let tables = json["tables"].as_array().unwrap().iter();
    tables.map(|table| table["name"].as_str().unwrap()).collect()
}

/// What was blocked and what passed, table by table.
pub(super) fn are_held_off_as_they_should(world: &World, strength: Strength, json: &Value) {
    let carried = carried(json);
    let is_guarded = |operation: &String| {
        let (table, _) = operation.split_once(' ').unwrap();
        (carried.contains(table) && !EXEMPT.contains(&table)) || table == GUARDED_BESIDE
    };
    let tried = operations(world, WHILE_STILL);
    let refused = operations(world, "refusal IS NOT NULL");
    let passed = operations(world, &format!("refusal IS NULL AND {WHILE_STILL}"));
    let (guarded, free): (BTreeSet<String>, BTreeSet<String>) = tried.into_iter().partition(is_guarded);
    for op in ["update", "delete", "insert"] {
        let of = |set: &BTreeSet<String>| set.iter().filter(|one| one.ends_with(op)).count();
        assert!(of(&guarded) > 20 && of(&free) > 5, "{op}: {guarded:?}, {free:?}");
    }
    let held_off: BTreeSet<&String> = free.difference(&passed).collect();
    assert!(held_off.is_empty(), "{held_off:?}: {}", refusals(world));
    match strength {
        Strength::Enforced => {
            assert_eq!(
                refused,
                guarded,
                "what must be still, and nothing else: {}",
                refusals(world)
            );
            assert!(
                passed.is_disjoint(&guarded),
                "passed: {:?}",
                passed.intersection(&guarded)
            );
        }
        Strength::Flag | Strength::None => {
            assert!(refused.is_empty(), "{refused:?}: {}", refusals(world));
        }
    }
}

/// Every table has as many rows as in each of the writers' transactions, and all foreign keys hold.
pub(super) fn are_one_snapshot(judge: &AppDb, world: &World, json: &Value) {
    let carried = carried(json);
    let shape = Shape::of(judge, "arrived");
    let mut queries: Vec<(String, String)> = Vec::new();
    for (number, key) in shape.foreign_keys.iter().enumerate() {
        queries.push((format!("orphans of key {number}, {}", key.child), key.orphans()));
    }
    let mut wanted = BTreeMap::new();
    for line in world
        .sql("SELECT table_name, rows FROM writers.job WHERE table_name <> 'view_log'")
        .lines()
    {
        let (table, rows) = line.split_once('|').unwrap();
        let name = format!("rows of {table}");
        queries.push((
            name.clone(),
            format!("SELECT COUNT(*) FROM \"{}\"", table.to_uppercase()),
        ));
        wanted.insert(name, rows.to_owned());
    }
    let queries: Vec<(&str, &str)> = queries.iter().map(|(name, sql)| (&**name, &**sql)).collect();
    let mut as_wanted = 0;
    for (name, found) in judge.java(&judge.h2_url("arrived"), &queries) {
        match wanted.get(&name) {
            Some(rows) if *rows == found[0] => as_wanted += 1,
            Some(rows) => {
                let stays = !carried.contains(name.trim_start_matches("rows of "));
                assert!(stays && found == ["0"], "{name}: {found:?}, and not {rows}");
            }
            None => assert_eq!(found, ["0"], "{name}"),
        }
    }
    assert!(
        as_wanted > 40 && shape.foreign_keys.len() > 50,
        "{as_wanted} tables prove little"
    );
    assert_eq!(WRITERS, 8, "as in the jobs' words");
}
