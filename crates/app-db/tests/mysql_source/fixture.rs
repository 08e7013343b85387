//! A real app DB: 94 tables and 13 views, every row compared with sums that another program made.

use metaferry_domain::schema::{DataType, ValueSource};

use crate::database::TestDatabase;
use crate::judge::fixtures;
use crate::reading::sum_of;

#[tokio::test]
async fn every_row_of_a_real_app_db_is_read() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    let Some(folder) = fixtures() else {
        return database.drop().await;
    };
    assert!(
        database.load(&folder.join("appdb-s001.mariadb.sql.gz")),
        "mariadb could not load the fixture"
    );
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected-s001.json")).unwrap()).unwrap();
    let expected = expected["tables"].as_object().unwrap();
    let snapshot = database.snapshot().await;
    let catalogue = snapshot.catalogue();
    assert_eq!(catalogue.tables.len(), 94);
    let columns: usize = catalogue.tables.iter().map(|table| table.columns.len()).sum();
    assert_eq!(columns, 818);
    assert_eq!(catalogue.views.len(), 13);
    let changelog = catalogue.table("databasechangelog").unwrap();
    assert_eq!(changelog.name.as_str(), "DATABASECHANGELOG");
    assert_eq!(snapshot.parallelism(), 2);
    for (name, expected) in expected {
        let table = catalogue.table(name).unwrap();
        let (rows, sum) = sum_of(&*snapshot, table).await;
        assert_eq!(rows, expected["rows"].as_u64().unwrap(), "rows of {name}");
        assert_eq!(sum, expected["sha256"].as_str().unwrap(), "content of {name}");
        assert_eq!(snapshot.count(name).await.unwrap(), rows);
    }
    let user = catalogue.table("core_user").unwrap();
    assert_eq!(
        user.column("email").unwrap().data_type,
        DataType::VarcharIgnoreCase(Some(254))
    );
    let ValueSource::Identity { next: Some(next) } = user.column("id").unwrap().value_source else {
        panic!("core_user.id is an identity");
    };
    assert!(next > 13_371_338, "{next}");
    snapshot.close().await.unwrap();
    database.drop().await;
}
