//! Who is let in: judged on rows as Metabase writes them on MariaDB.

use metaferry_app_db::mysql::{self, MySqlServer};
use metaferry_domain::ports::{Authenticator as _, Caller, Credentials};
use metaferry_metabase::session::MAX_SESSION_AGE_MINUTES;
use sha2::{Digest as _, Sha512};

use crate::database::TestDatabase;

const TABLES: &str = "
    CREATE TABLE core_user (id int NOT NULL PRIMARY KEY, is_active bit(1) NOT NULL, is_superuser bit(1) NOT NULL,
        tenant_id int);
    CREATE TABLE core_session (id varchar(254) NOT NULL PRIMARY KEY, user_id int NOT NULL,
        created_at timestamp(6) NOT NULL, anti_csrf_token longtext, key_hashed varchar(254) NOT NULL);
    CREATE TABLE api_key (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, user_id int, `key` varchar(254) NOT NULL,
        key_prefix varchar(7) NOT NULL UNIQUE);
    INSERT INTO core_user VALUES (1, b'1', b'1', NULL), (2, b'1', b'0', NULL), (3, b'0', b'1', NULL)";

#[tokio::test]
async fn sessions_and_api_keys_let_in_who_holds_them() {
    let Some(database) = TestDatabase::new().await else {
        return;
    };
    database.execute(TABLES).await;
    let age = MAX_SESSION_AGE_MINUTES;
    for (cookie, user, minutes, csrf) in [
        ("superuser", 1, 1, "NULL"),
        ("ordinary", 2, 1, "NULL"),
        ("inactive", 3, 1, "NULL"),
        ("embedded", 1, 1, "'1663ca8c460df4365d546b39972edcaf'"),
        ("just valid", 1, age - 5, "NULL"),
        ("expired", 1, age + 1, "NULL"),
    ] {
        let hash = hex::encode(Sha512::digest(cookie));
        database
            .execute(&format!(
                "INSERT INTO core_session VALUES ('{cookie}', {user}, now(6) - INTERVAL {minutes} MINUTE, {csrf}, '{hash}')"
            ))
            .await;
    }
    // bcrypt of `mb_secretsecret`, at the lowest cost.
    let hash = bcrypt::hash("mb_secretsecret", 4).unwrap();
    database
        .execute(&format!(
            "INSERT INTO api_key (user_id, `key`, key_prefix) VALUES (2, '{hash}', 'mb_secr')"
        ))
        .await;
    let pool = MySqlServer::new(&database.address).pool(2).await.unwrap();
    let authenticator = mysql::authenticator(pool, age, None);
    let session = |value: &str| Credentials::Session(value.to_owned());
    let key = |value: &str| Credentials::ApiKey(value.to_owned());
    for (credentials, expected) in [
        (session("superuser"), Caller::Superuser),
        (session("ordinary"), Caller::Ordinary),
        (session("inactive"), Caller::Unknown),
        (session("embedded"), Caller::Unknown),
        (session("just valid"), Caller::Superuser),
        (session("expired"), Caller::Unknown),
        (session("SUPERUSER"), Caller::Unknown),
        (session("' OR 1=1 -- "), Caller::Unknown),
        (key("mb_secretsecret"), Caller::Ordinary),
        (key("mb_secretsecreT"), Caller::Unknown),
        (key("MB_SECRETSECRET"), Caller::Unknown),
        (Credentials::None, Caller::Unknown),
    ] {
        let caller = authenticator.authenticate(&credentials).await.unwrap();
        assert_eq!(caller, expected, "{credentials:?}");
    }
    database.drop().await;
}
