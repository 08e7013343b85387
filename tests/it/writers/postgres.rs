//! The writers on Postgres: blocks of PL/pgSQL, and a schema beside Metabase's for what they remember. Every table is
//! written to, which is made of Postgres' own catalogue.

use super::WRITERS;
use super::place::Place;
use crate::api::network::Network;
use crate::api::shore::Shore;
use crate::api::world::World;
use crate::sessions::Sessions;

/// An app DB in Postgres, all set.
pub(super) fn start(network: &Network) -> Option<World> {
    let world = World::behind(network)?;
    world.sql(BEGINNING);
    world.sql(JOBS);
    Some(world)
}

impl Place for World {
    fn shore(&self) -> &Shore {
        self
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    fn through(&self) -> String {
        self.through.clone()
    }

    fn ask(&self, sql: &str) -> Vec<String> {
        self.sql(sql).lines().map(str::to_owned).collect()
    }

    fn journal(&self) -> Option<String> {
        Some(self.sql("SELECT to_regclass('metaferry.journal')")).filter(|name| !name.is_empty())
    }

    fn theirs(&self, table: &str) -> String {
        format!("writers.{table}")
    }

    fn sent_away_for_rows(&self) -> usize {
        // Nobody waits for another one's rows in another order than he: each is one too many.
        0
    }

    fn write(&self) -> Sessions {
        let mut sessions = Sessions::new(&self.url);
        for writer in 1..=WRITERS {
            let rounds = WRITER.replace("ROUND", ROUND);
            sessions.run(&rounds.replace("WRITER", &writer.to_string()));
        }
        sessions
    }

    fn usual_warnings(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What the writers keep, and a record of each write in a schema that is none of Metabase's.
const BEGINNING: &str = "
    UPDATE report_card SET cache_ttl = 0;
    UPDATE report_dashboard SET cache_ttl = 0;
    INSERT INTO setting SELECT 'writer-' || w, '0' FROM generate_series(1, 8) w;
    TRUNCATE user_parameter_value;
    INSERT INTO user_parameter_value (id, user_id, parameter_id, value)
        SELECT w, (SELECT min(id) FROM core_user), 'p' || w, '0' FROM generate_series(1, 8) w;
    CREATE SCHEMA writers;
    CREATE UNLOGGED TABLE writers.record (writer int, kind text, began bigint, micros bigint, refusal text,
        table_name text, op text);
    CREATE FUNCTION writers.micros_now() RETURNS bigint LANGUAGE sql AS
        'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint'";

/// Round and round: it moves 1 from a dashboard to a card, so that the sum of all stays 0; then counts in two tables that stay
/// writable, where both must tell the same; then marks a card as used, which looking at it does; then adds to a log.
const WRITER: &str = "
DO $$ DECLARE
    n int := 0; began bigint; refusal text; job record; written int; cards int[]; boards int[]; somebody int;
BEGIN
    SELECT array_agg(id) INTO cards FROM report_card;
    SELECT array_agg(id) INTO boards FROM report_dashboard;
    SELECT min(id) INTO somebody FROM core_user;
    LOOP
        n := n + 1;
        began := writers.micros_now();
        refusal := NULL;
        BEGIN
            UPDATE report_card SET cache_ttl = cache_ttl + 1 WHERE id = cards[1 + n % cardinality(cards)];
            UPDATE report_dashboard SET cache_ttl = cache_ttl - 1 WHERE id = boards[1 + n % cardinality(boards)];
        EXCEPTION WHEN OTHERS THEN
            refusal := SQLERRM;
        END;
        INSERT INTO writers.record VALUES (WRITER, 'still', began, writers.micros_now() - began, refusal);
        COMMIT;
        began := writers.micros_now();
        UPDATE setting SET value = n::text WHERE key = 'writer-WRITER';
        UPDATE user_parameter_value SET value = n::text WHERE id = WRITER;
        INSERT INTO writers.record VALUES (WRITER, 'exempt', began, writers.micros_now() - began, NULL);
        COMMIT;
        began := writers.micros_now();
        UPDATE report_card SET last_used_at = clock_timestamp() WHERE id = cards[1 + n % cardinality(cards)];
        INSERT INTO view_log (user_id, model, model_id, timestamp) VALUES (somebody, 'card', n, clock_timestamp());
        INSERT INTO writers.record VALUES (WRITER, 'looking', began, writers.micros_now() - began, NULL);
        COMMIT;
ROUND
    END LOOP;
END $$";

/// Which table is written how. Not among them: the rows of this very migration and of the scheduler, which the program itself
/// writes; Liquibase's lock; and two tables that the writers count in. A table belongs to one writer.
///
/// A row is taken out of tables that no other refers to, and put in for another one, so that both ways are always open.
const JOBS: &str = "
    CREATE TABLE writers.job (table_name text PRIMARY KEY, number serial, change text, take text, put text,
        there text, there_row jsonb, away text, away_row jsonb, rows_kept bigint);
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
            UPDATE writers.job SET rows_kept = n WHERE table_name = t.name;
        END LOOP;
    END $$;
    INSERT INTO writers.op SELECT table_name, op, 1 + number % 8, row_number() OVER (PARTITION BY number % 8 ORDER BY op, number) - 1
        FROM writers.job CROSS JOIN unnest(ARRAY['update', 'delete', 'insert']) op
        WHERE CASE WHEN op = 'update' THEN change ELSE take END IS NOT NULL";

/// One of a writer's operations in a transaction of its own. `delete` takes one row out and puts another one in, `insert` the
/// same the other way round.
const ROUND: &str = "
        began := writers.micros_now();
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
            writers.micros_now() - began, refusal, job.table_name, job.op);
        COMMIT;";
