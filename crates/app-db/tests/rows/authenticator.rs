//! Who is let in: judged on rows as Metabase writes them.

use metaferry_app_db::{AppDbAuthenticator, postgres};
use metaferry_domain::ports::{Authenticator as _, Caller, Credentials};
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::secret::Secret;
use metaferry_metabase::session::{MAX_SESSION_AGE_MINUTES, signed_session_hash};
use sha2::{Digest as _, Sha512};

use crate::database::TestDatabase;

const SUPERUSER: u32 = 9001;
const ORDINARY: u32 = 9002;
const INACTIVE: u32 = 9003;

const COOKIE: &str = "0d8d2237-8a3c-4ed9-a5a9-1f1a2b3c4d5e";
const OLD_COOKIE: &str = "5343ec3c-3cf2-4abc-ab8c-1cd0b4ec2492";

async fn users(database: &TestDatabase) {
    database
        .execute(
            "INSERT INTO core_user (id, email, date_joined, is_active, is_superuser) VALUES
                 (9001, 'root@example.com', now(), true, true), (9002, 'user@example.com', now(), true, false),
                 (9003, 'left@example.com', now(), false, true)",
        )
        .await;
}

/// A row as v54 and later write it, so many minutes ago.
async fn session(
    database: &TestDatabase,
    id: &str,
    cookie: &str,
    user: u32,
    minutes: u32,
    csrf: Option<&str>,
) {
    let hash = hex::encode(Sha512::digest(cookie));
    let csrf = csrf.map_or("NULL".to_owned(), |token| format!("'{token}'"));
    database
        .execute(&format!(
            "INSERT INTO core_session (id, user_id, created_at, anti_csrf_token, key_hashed)
             VALUES ('{id}', {user}, now() - {minutes} * interval '1 minute', {csrf}, '{hash}')"
        ))
        .await;
}

async fn knows(authenticator: &AppDbAuthenticator, cookie: &str) -> Caller {
    authenticator
        .authenticate(&Credentials::Session(cookie.to_owned()))
        .await
        .unwrap()
}

async fn authenticator(database: &TestDatabase) -> AppDbAuthenticator {
    postgres::authenticator(database.pool().await, MAX_SESSION_AGE_MINUTES, None)
}

#[tokio::test]
async fn hashed_sessions_let_in_who_holds_the_cookie() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    users(&database).await;
    let age = u32::try_from(MAX_SESSION_AGE_MINUTES).unwrap();
    for (cookie, user, minutes, csrf, expected) in [
        (COOKIE, SUPERUSER, 1, None, Caller::Superuser),
        ("ordinary", ORDINARY, 1, None, Caller::Ordinary),
        ("inactive", INACTIVE, 1, None, Caller::Unknown),
        (
            "embedded",
            SUPERUSER,
            1,
            Some("1663ca8c460df4365d546b39972edcaf"),
            Caller::Unknown,
        ),
        ("just valid", SUPERUSER, age - 5, None, Caller::Superuser),
        ("expired", SUPERUSER, age + 1, None, Caller::Unknown),
    ] {
        let id = format!("id-{}", cookie.split(' ').next().unwrap());
        session(&database, &id, cookie, user, minutes, csrf).await;
        let authenticator = authenticator(&database).await;
        assert_eq!(knows(&authenticator, cookie).await, expected, "{cookie}");
        assert_eq!(
            knows(&authenticator, &id).await,
            Caller::Unknown,
            "who reads the table has no cookie"
        );
        let hash = hex::encode(Sha512::digest(cookie));
        assert_eq!(
            knows(&authenticator, &hash).await,
            Caller::Unknown,
            "nor has one the hash's"
        );
    }
    let short = postgres::authenticator(database.pool().await, 60, None);
    assert_eq!(
        knows(&short, "just valid").await,
        Caller::Unknown,
        "MAX_SESSION_AGE"
    );
    for nobody in ["", "x' OR '1'='1", "\u{0}", "ü"] {
        let authenticator = authenticator(&database).await;
        let answer = authenticator
            .authenticate(&Credentials::Session(nobody.to_owned()))
            .await;
        assert_eq!(answer.unwrap_or(Caller::Unknown), Caller::Unknown, "{nobody:?}");
    }
    assert_eq!(
        authenticator(&database)
            .await
            .authenticate(&Credentials::None)
            .await
            .unwrap(),
        Caller::Unknown
    );
    database.drop().await;
}

/// Before, sessions from before v54 were never found: their `key_hashed` was expected to be NULL, which it cannot be.
#[tokio::test]
async fn sessions_from_before_hashing_are_known_by_their_id() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    users(&database).await;
    session(
        &database,
        OLD_COOKIE,
        "a hash of something else",
        SUPERUSER,
        1,
        None,
    )
    .await;
    session(&database, "aBcDeFgHiJkL", "another", SUPERUSER, 1, None).await;
    let authenticator = authenticator(&database).await;
    assert_eq!(knows(&authenticator, OLD_COOKIE).await, Caller::Superuser);
    assert_eq!(
        knows(&authenticator, "aBcDeFgHiJkL").await,
        Caller::Unknown,
        "no UUID: an id of today's"
    );
    database.drop().await;
}

#[tokio::test]
async fn up_to_v53_the_cookie_is_the_id() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    users(&database).await;
    database
        .execute("ALTER TABLE core_session DROP COLUMN key_hashed")
        .await;
    database
        .execute(&format!(
            "INSERT INTO core_session (id, user_id, created_at) VALUES ('{OLD_COOKIE}', {ORDINARY}, now())"
        ))
        .await;
    let authenticator = authenticator(&database).await;
    assert_eq!(knows(&authenticator, OLD_COOKIE).await, Caller::Ordinary);
    assert_eq!(knows(&authenticator, COOKIE).await, Caller::Unknown);
    database.drop().await;
}

#[tokio::test]
async fn sessions_that_are_signed_or_end_by_themselves_are_judged_so() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    users(&database).await;
    let key = || DerivedKey::derive(&Secret::new("a session secret of 32 characters")).unwrap();
    session(&database, "unsigned", COOKIE, SUPERUSER, 1, None).await;
    session(&database, "signed", "signed", SUPERUSER, 1, None).await;
    let hash = signed_session_hash("signed", &key());
    database
        .execute(&format!(
            "ALTER TABLE core_session ADD expires_at timestamptz;
             UPDATE core_session SET key_hashed = '{hash}' WHERE id = 'signed'"
        ))
        .await;
    let signed = postgres::authenticator(database.pool().await, MAX_SESSION_AGE_MINUTES, Some(key()));
    assert_eq!(knows(&signed, "signed").await, Caller::Superuser);
    assert_eq!(knows(&signed, COOKIE).await, Caller::Unknown, "not signed");
    database
        .execute("UPDATE core_session SET expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(
        knows(&signed, "signed").await,
        Caller::Unknown,
        "past its own end"
    );
    database.drop().await;
}

#[tokio::test]
async fn users_of_a_tenant_that_was_deactivated_are_nobody() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    users(&database).await;
    session(&database, "one", COOKIE, SUPERUSER, 1, None).await;
    database
        .execute(
            "DROP TABLE IF EXISTS tenant CASCADE; CREATE TABLE tenant (id integer PRIMARY KEY, is_active boolean NOT NULL);
             INSERT INTO tenant VALUES (1, true)",
        )
        .await;
    let authenticator = authenticator(&database).await;
    assert_eq!(
        knows(&authenticator, COOKIE).await,
        Caller::Superuser,
        "of no tenant"
    );
    database
        .execute("UPDATE core_user SET tenant_id = 1 WHERE id = 9001")
        .await;
    assert_eq!(knows(&authenticator, COOKIE).await, Caller::Superuser);
    database.execute("UPDATE tenant SET is_active = false").await;
    assert_eq!(knows(&authenticator, COOKIE).await, Caller::Unknown);
    database.drop().await;
}

#[tokio::test]
async fn api_keys_are_checked_as_a_whole() {
    let Some(database) = TestDatabase::app_db().await else {
        return;
    };
    users(&database).await;
    let key = |start: &str| format!("mb_{start}{}=", "Qk1tZmVycnkgaXMgYSBmZXJyeSBmb3IgZGF0YQ"); // 44 characters of base64
    for (start, user) in [("root", SUPERUSER), ("user", ORDINARY), ("left", INACTIVE)] {
        // Of Metabase's own cost, 10, and in the form that its library writes.
        let hash = bcrypt::hash_with_result(key(start), 10)
            .unwrap()
            .format_for_version(bcrypt::Version::TwoA);
        database
            .execute(&format!(
                "INSERT INTO api_key (user_id, key, key_prefix, creator_id, updated_by_id, name)
                 VALUES ({user}, '{hash}', 'mb_{start}', 9001, 9001, '{start}')"
            ))
            .await;
    }
    let authenticator = authenticator(&database).await;
    let knows = async |key: &str| {
        let credentials = Credentials::ApiKey(key.to_owned());
        authenticator.authenticate(&credentials).await.unwrap()
    };
    assert_eq!(knows(&key("root")).await, Caller::Superuser);
    assert_eq!(knows(&key("user")).await, Caller::Ordinary);
    assert_eq!(knows(&key("left")).await, Caller::Unknown, "the user is inactive");
    assert_eq!(knows(&key("none")).await, Caller::Unknown);
    let collision = format!("mb_root{}", "A".repeat(40));
    for wrong in [
        collision.as_str(),
        "mb_root",
        "mb_",
        "",
        "root",
        &key("root")[1..],
        "mb_röt",
    ] {
        assert_eq!(knows(wrong).await, Caller::Unknown, "{wrong}");
    }
    database.drop().await;
}
