//! The writers on MariaDB: stored procedures in a database beside Metabase's, where they also remember what they did.

mod jobs;

use super::WRITERS;
use super::place::Place;
use crate::api::network::Network;
use crate::api::shore::Shore;
use crate::mariadb::enforced::app_db;
use crate::mariadb::{Database, Maria, With};
use crate::sessions::Sessions;

/// An app DB in MariaDB, all set.
pub(super) struct InMaria<'a> {
    maria: &'a Maria,
    app_db: Database<'a>,
    theirs: Database<'a>,
    through: String,
    shore: Shore,
}

/// Microseconds since 1970.
const NOW: &str = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)";

/// What the writers keep, in APP, and a record of each write.
const BEGINNING: &str = "
    UPDATE APP.report_card SET cache_ttl = 0;
    UPDATE APP.report_dashboard SET cache_ttl = 0;
    INSERT INTO APP.setting (`key`, value) SELECT concat('writer-', seq), '0' FROM seq_1_to_8;
    DELETE FROM APP.user_parameter_value;
    INSERT INTO APP.user_parameter_value (id, user_id, parameter_id, value)
        SELECT seq, (SELECT min(id) FROM APP.core_user), concat('p', seq), '0' FROM seq_1_to_8;
    CREATE TABLE record (writer int, kind varchar(8), began bigint, micros bigint, refusal text, table_name varchar(64),
        op varchar(8), KEY (table_name, op, began));
    CREATE TABLE card (place int PRIMARY KEY, id int) AS
        SELECT row_number() OVER (ORDER BY id) - 1 AS place, id FROM APP.report_card;
    CREATE TABLE board (place int PRIMARY KEY, id int) AS
        SELECT row_number() OVER (ORDER BY id) - 1 AS place, id FROM APP.report_dashboard;
    CREATE TABLE somebody AS SELECT min(id) AS id FROM APP.core_user";

/// Moves 1 from a dashboard to a card, so that the sum of all stays 0.
const STILL: &str = "
    UPDATE APP.report_card SET cache_ttl = cache_ttl + 1
        WHERE id = (SELECT id FROM card WHERE place = n % (SELECT count(*) FROM card));
    UPDATE APP.report_dashboard SET cache_ttl = cache_ttl - 1
        WHERE id = (SELECT id FROM board WHERE place = n % (SELECT count(*) FROM board));";

/// Counts in two tables that stay writable, where both must tell the same.
const EXEMPT: &str = "
    UPDATE APP.setting SET value = n WHERE `key` = concat('writer-', w);
    UPDATE APP.user_parameter_value SET value = n WHERE id = w;";

/// Marks a card as used, which looking at it does; then adds to a log.
const LOOKING: &str = "
    UPDATE APP.report_card SET last_used_at = SYSDATE(6)
        WHERE id = (SELECT id FROM card WHERE place = n % (SELECT count(*) FROM card));
    INSERT INTO APP.view_log (user_id, model, model_id, timestamp) SELECT id, 'card', n, SYSDATE(6) FROM somebody;";

/// A procedure that tries `body`, the round `n` of the writer `w`, in a transaction, and notes what came of it.
fn tried(name: &str, kind: &str, body: &str) -> String {
    format!(
        "CREATE PROCEDURE {name}(IN w INT, IN n INT) BEGIN
             DECLARE began BIGINT DEFAULT {NOW};
             DECLARE refusal TEXT;
             DECLARE job, op, there VARCHAR(64);
             BEGIN
                 DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN
                     GET DIAGNOSTICS CONDITION 1 refusal = MESSAGE_TEXT;
                     ROLLBACK;
                 END;
                 START TRANSACTION;
                 {body}
                 COMMIT;
             END;
             INSERT INTO record VALUES (w, '{kind}', began, {NOW} - began, refusal, job, op);
         END"
    )
}

impl<'a> InMaria<'a> {
    pub(super) fn start(maria: &'a Maria, network: &Network) -> Self {
        let app_db = app_db(maria);
        let place = Self {
            maria,
            theirs: maria.database(With::Nothing),
            through: network.before(&app_db.url()),
            app_db,
            shore: Shore::start(None, 0),
        };
        place.run(&[BEGINNING.replace(";\n", "//\n")]);
        place.run(&[
            tried("still", "still", STILL),
            tried("exempt", "exempt", EXEMPT),
            tried("looking", "looking", LOOKING),
        ]);
        place.run(&jobs::made(&place));
        let writer = |writer: usize| {
            format!(
                "CREATE PROCEDURE writer_{writer}() BEGIN
                     DECLARE n INT DEFAULT 0;
                     LOOP
                         SET n = n + 1;
                         CALL still({writer}, n);
                         CALL exempt({writer}, n);
                         CALL looking({writer}, n);
                         CALL tables_{writer}({writer}, n);
                     END LOOP;
                 END"
            )
        };
        place.run(&(1..=WRITERS).map(writer).collect::<Vec<_>>());
        place
    }

    /// Statements about the app DB by the name APP, in the writers' own database.
    fn run(&self, statements: &[String]) {
        let statements = statements
            .join("//\n")
            .replace("APP.", &format!("{}.", self.app_db.name));
        // They are too long for an argument.
        let script = self.shore.folder().join("writers.sql");
        std::fs::write(&script, format!("DELIMITER //\n{statements}//\n")).unwrap();
        self.theirs.ask(&format!("source {}", script.display()));
    }
}

impl Place for InMaria<'_> {
    fn shore(&self) -> &Shore {
        &self.shore
    }

    fn url(&self) -> String {
        self.app_db.url()
    }

    fn through(&self) -> String {
        self.through.clone()
    }

    fn ask(&self, sql: &str) -> Vec<String> {
        let rows = self.app_db.ask(sql);
        rows.iter().map(|row| row.replace('\t', "|")).collect()
    }

    fn journal(&self) -> Option<String> {
        let there = "SELECT count(*) FROM information_schema.tables
            WHERE table_schema = database() AND table_name = 'metaferry_journal'";
        (self.count(there) > 0).then(|| "metaferry_journal".to_owned())
    }

    fn theirs(&self, table: &str) -> String {
        format!("{}.{table}", self.theirs.name)
    }

    fn sent_away_for_rows(&self) -> usize {
        // InnoDB counts its own: a wait for a table's definition is none of them.
        self.count("SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'innodb_deadlocks'")
    }

    fn write(&self) -> Sessions {
        let mut sessions = Sessions::on_mariadb(self.maria.arguments(), &self.theirs.name);
        for writer in 1..=WRITERS {
            sessions.run(&format!("CALL writer_{writer}()"));
        }
        sessions
    }

    fn usual_warnings(&self) -> &'static [&'static str] {
        &["no dead man's switch"]
    }
}
