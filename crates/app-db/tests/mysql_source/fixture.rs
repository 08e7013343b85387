//! A real app DB: 94 tables and 13 views, every row compared with sums that another program made.

use std::process::Command;

use metaferry_domain::schema::{DataType, ValueSource};

use crate::database::TestDatabase;
use crate::reading::{fixtures, sum_of};

/// Loads the fixture with the server's own client; `false`, said aloud, where it cannot be.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
pub(crate) fn load(database: &TestDatabase) -> bool {
    let Some(folder) = fixtures() else {
        eprintln!("SKIPPED: no fixtures (METAFERRY_SHARED)");
        return false;
    };
    let address = &database.address;
    let mut client = Command::new("sh");
    client
        .args([
            "-c",
            "file=$1; shift; gunzip -c \"$file\" | mariadb --no-defaults \"$@\"",
            "load",
        ])
        .arg(folder.join("appdb-s001.mariadb.sql.gz"))
        .args(["--host", &address.host, "--port", &address.port.to_string()])
        .args(["--user", address.user.as_deref().unwrap_or("root")]);
    if let Some(password) = &address.password {
        client.env("MYSQL_PWD", password.expose());
    }
    let loaded = client.arg(&address.database).status();
    let is_loaded = loaded.is_ok_and(|status| status.success());
    if !is_loaded {
        eprintln!("SKIPPED: mariadb could not load the fixture");
    }
    is_loaded
}

#[tokio::test]
async fn every_row_of_a_real_app_db_is_read() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    if !load(&database) {
        return database.drop().await;
    }
    let folder = fixtures().unwrap();
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
