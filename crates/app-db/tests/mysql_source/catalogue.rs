//! What the catalogue says of tables, keys, indexes, checks, defaults and views.

use metaferry_domain::schema::{
    Dialect, IndexOrder, IndexPart, Nullability, ReferentialAction, SqlText, Uniqueness, ValueSource,
};

use crate::database::TestDatabase;

fn sql(text: &str) -> SqlText {
    SqlText {
        dialect: Dialect::MySql,
        text: text.to_owned(),
    }
}

#[tokio::test]
async fn everything_that_metabase_uses_is_described() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database
        .execute(
            r"CREATE TABLE PARENT (`id` int NOT NULL AUTO_INCREMENT, `code` varchar(10) NOT NULL, `kind` char(3) NOT NULL,
                PRIMARY KEY (`id`), UNIQUE KEY `uq_code` (`kind`, `code`)) COMMENT='the parents' AUTO_INCREMENT = 42;
            CREATE TABLE child (
                id bigint PRIMARY KEY, parent_id int, kind char(3), code varchar(10) COMMENT 'it''s a code',
                flag bit(1) NOT NULL DEFAULT b'1', word varchar(30) NOT NULL DEFAULT 'it''s \\ it', number int DEFAULT 20,
                at timestamp(6) NOT NULL DEFAULT current_timestamp(6), nothing int DEFAULT NULL, long_text longtext,
                twice int GENERATED ALWAYS AS (number * 2) STORED, later int AS (number + 1) VIRTUAL,
                CONSTRAINT fk_parent FOREIGN KEY (parent_id) REFERENCES PARENT (id) ON DELETE CASCADE,
                CONSTRAINT fk_code FOREIGN KEY (kind, code) REFERENCES PARENT (kind, code) ON DELETE SET NULL ON UPDATE CASCADE,
                CONSTRAINT positive CHECK (number > 0),
                KEY by_word (word DESC, number), KEY by_text (long_text(20)), UNIQUE KEY by_start (word(3)),
                FULLTEXT KEY full (long_text));
            CREATE TABLE metaferry_lease (id int);
            CREATE VIEW z_view AS SELECT id, concat('x_', code) AS label FROM child;
            CREATE VIEW a_view AS SELECT id AS the_id, label FROM z_view WHERE label <> 'x';",
        )
        .await;
    let snapshot = database.snapshot().await;
    let catalogue = snapshot.catalogue();
    let names: Vec<&str> = catalogue.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["child", "PARENT"], "sorted without case; ours left out");
    let parent = catalogue.table("parent").unwrap();
    assert_eq!(parent.comment.as_deref(), Some("the parents"));
    assert_eq!(
        parent.column("ID").unwrap().value_source,
        ValueSource::Identity { next: Some(42) }
    );
    assert_eq!(parent.primary_key.as_ref().unwrap().columns[0].as_str(), "id");
    assert_eq!(parent.uniques[0].name.as_str(), "uq_code");
    assert_eq!(parent.uniques[0].columns[1].as_str(), "code");

    let child = catalogue.table("child").unwrap();
    let source = |name: &str| child.column(name).unwrap().value_source.clone();
    assert_eq!(source("flag"), ValueSource::Default(sql("b'1'")));
    assert_eq!(source("word"), ValueSource::Default(sql(r"'it''s \ it'")));
    assert_eq!(source("number"), ValueSource::Default(sql("20")));
    assert_eq!(source("at"), ValueSource::Default(sql("current_timestamp(6)")));
    assert_eq!(source("nothing"), ValueSource::None);
    assert_eq!(source("twice"), ValueSource::Generated(sql("`number` * 2")));
    assert!(child.column("later").unwrap().is_generated());
    assert_eq!(
        child.column("code").unwrap().comment.as_deref(),
        Some("it's a code")
    );
    assert_eq!(child.column("flag").unwrap().nullability, Nullability::NotNull);
    assert_eq!(child.checks[0].condition, sql("`number` > 0"));

    let keys: Vec<_> = child
        .foreign_keys
        .iter()
        .map(|key| (key.name.as_str(), key.columns.len(), key.on_delete, key.on_update))
        .collect();
    assert_eq!(
        keys,
        [
            (
                "fk_code",
                2,
                ReferentialAction::SetNull,
                ReferentialAction::Cascade
            ),
            (
                "fk_parent",
                1,
                ReferentialAction::Cascade,
                ReferentialAction::Restrict
            ),
        ]
    );
    let indexes: Vec<&str> = child.indexes.iter().map(|index| index.name.as_str()).collect();
    assert_eq!(
        indexes,
        ["by_start", "by_text", "by_word"],
        "not those of foreign keys, not full-text"
    );
    assert_eq!(child.indexes[0].uniqueness, Uniqueness::Unique);
    assert_eq!(
        child.indexes[1].parts[0],
        IndexPart::Expression(sql("left(`long_text`, 20)"))
    );
    assert!(matches!(
        child.indexes[2].parts[0],
        IndexPart::Column {
            order: IndexOrder::Descending,
            ..
        }
    ));

    let views: Vec<&str> = catalogue.views.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(views, ["z_view", "a_view"], "each after those it uses");
    assert_eq!(catalogue.views[1].columns[0].as_str(), "the_id");
    snapshot.close().await.unwrap();
    database.drop().await;
}
