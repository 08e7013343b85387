//! The sample's users, sessions and keys in Metabase's own tables. The hashes are Postgres' own, not ours.

use metaferry_sample::credentials::{
    EMBEDDED_SESSION, EXPIRED_SESSION, INACTIVE_API_KEY, INACTIVE_ID, INACTIVE_SESSION, ORDINARY_API_KEY,
    ORDINARY_ID, ORDINARY_SESSION, SUPERUSER_API_KEY, SUPERUSER_ID, SUPERUSER_PLAIN_SESSION,
    SUPERUSER_SESSION,
};

/// The first three users are what the sample's are.
pub(super) const USERS: &str = "
    UPDATE core_user SET is_superuser = (id <> 2), is_active = (id <> 3), type = 'personal' WHERE id IN (1, 2, 3)";
/// The same where there are no users yet.
pub(super) const NEW_USERS: &str = "
    INSERT INTO core_user (id, email, date_joined, is_superuser, is_active, is_qbnewb)
    SELECT id, id || '@example.org', now(), id <> 2, id <> 3, false FROM generate_series(1, 3) id";

const YOUNG: &str = "2096-01-01T00:00:00Z";
const OLD: &str = "2020-01-01T00:00:00Z";

/// Rows as Metabase writes them today: the id is anything, the session's value is only there as SHA-512.
pub(super) fn hashed_sessions() -> String {
    [
        (SUPERUSER_SESSION, SUPERUSER_ID, YOUNG, "NULL"),
        (ORDINARY_SESSION, ORDINARY_ID, YOUNG, "NULL"),
        (INACTIVE_SESSION, INACTIVE_ID, YOUNG, "NULL"),
        (EXPIRED_SESSION, SUPERUSER_ID, OLD, "NULL"),
        (EMBEDDED_SESSION, SUPERUSER_ID, YOUNG, "'anti-csrf'"),
    ]
    .iter()
    .enumerate()
    .map(|(number, (session, user, created, anti_csrf))| {
        format!(
            "INSERT INTO core_session (id, user_id, created_at, anti_csrf_token, key_hashed)
             VALUES ('hashed-{number}', {user}, '{created}', {anti_csrf}, encode(sha512('{session}'), 'hex'));"
        )
    })
    .collect()
}

/// Rows as Metabase wrote them once: the id is the session's value.
pub(super) fn plain_sessions() -> String {
    [
        (SUPERUSER_PLAIN_SESSION, SUPERUSER_ID, YOUNG),
        (ORDINARY_SESSION, ORDINARY_ID, YOUNG),
        (INACTIVE_SESSION, INACTIVE_ID, YOUNG),
        (EXPIRED_SESSION, SUPERUSER_ID, OLD),
    ]
    .iter()
    .map(|(session, user, created)| {
        format!(
            "INSERT INTO core_session (id, user_id, created_at) VALUES ('{session}', {user}, '{created}');"
        )
    })
    .collect()
}

pub(super) fn api_keys() -> String {
    let keys: String = [
        (SUPERUSER_API_KEY, SUPERUSER_ID),
        (ORDINARY_API_KEY, ORDINARY_ID),
        (INACTIVE_API_KEY, INACTIVE_ID),
    ]
    .iter()
    .map(|(key, user)| {
        format!(
            "INSERT INTO api_key (id, user_id, key, key_prefix, creator_id, name, updated_by_id)
             VALUES (1000 + {user}, {user}, crypt('{key}', gen_salt('bf', 10)), left('{key}', 7), 1, 'key {user}', 1);"
        )
    })
    .collect();
    format!("CREATE EXTENSION pgcrypto; {keys} DROP EXTENSION pgcrypto")
}
