//! Users, their sessions, API keys and sign-ins.

use metaferry_domain::schema::ReferentialAction::{Cascade, SetNull};

use super::{any_user, moment};
use crate::credentials::{
    API_KEYS, INACTIVE_ID, INTERNAL_USER_ID, Life, ORDINARY_ID, PASSWORD_HASH, PASSWORD_SALT, SESSIONS,
    SUPERUSER_ID,
};
use crate::draft::{Draft, SampleTable, bigint, boolean, char, citext, integer, text, timestamptz, varchar};
use crate::value::{Value, row};

/// 2096-01-01, 2020-01-01 and 2021-01-01, in microseconds since 1970.
const YOUNG_MICROS: i64 = 3_976_214_400_000_000;
const OLD_MICROS: i64 = 1_577_836_800_000_000;
const ENDED_MICROS: i64 = 1_609_459_200_000_000;

pub(super) fn tables(sizes: &crate::sizes::Sizes) -> Vec<SampleTable> {
    vec![users(sizes), sessions(sizes), api_keys(), logins(sizes)]
}

fn users(sizes: &crate::sizes::Sizes) -> SampleTable {
    Draft::new("core_user")
        .id(sizes.users + 1)
        .not_null("email", citext())
        .nullable("first_name", varchar(254))
        .nullable("last_name", varchar(254))
        .nullable("password", varchar(254))
        .nullable("password_salt", varchar(254))
        .not_null("date_joined", timestamptz())
        .nullable("last_login", timestamptz())
        .not_null("is_superuser", boolean())
        .default("is_active", boolean(), "true")
        .nullable("reset_triggered", bigint())
        .nullable("updated_at", timestamptz())
        .nullable("sso_source", varchar(254))
        .nullable("locale", varchar(5))
        .nullable("settings", text())
        .default("type", varchar(64), "'personal'::character varying")
        .nullable("entity_id", char(21))
        .unique(&["email"])
        .unique(&["entity_id"])
        .index(&["type"])
        .rows(sizes.users + 1, |sizes, random, number| {
            if number == sizes.users {
                return row![
                    INTERNAL_USER_ID,
                    "internal@metabase.com",
                    "Metabase",
                    "Internal",
                    Value::Null,
                    Value::Null,
                    moment(random),
                    Value::Null,
                    false,
                    false,
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    "internal",
                    Value::Null,
                ];
            }
            let id = number + 1;
            let (first, last) = (random.first_name(), random.last_name());
            let email = match id {
                SUPERUSER_ID => "superuser@example.com".to_owned(),
                ORDINARY_ID => "ordinary@example.com".to_owned(),
                INACTIVE_ID => "inactive@example.com".to_owned(),
                _ => format!(
                    "{}.{}.{id}@example.com",
                    first.to_lowercase(),
                    last.replace([' ', '\''], "")
                ),
            };
            let superuser = id == SUPERUSER_ID || id == INACTIVE_ID;
            row![
                id,
                email,
                first,
                (!random.once_in(9)).then_some(last),
                PASSWORD_HASH,
                PASSWORD_SALT,
                moment(random),
                (!random.once_in(4)).then(|| moment(random)),
                superuser,
                id != INACTIVE_ID && (id <= INACTIVE_ID || !random.once_in(12)),
                random.once_in(30).then(|| random.below(1_800_000_000_000)),
                moment(random),
                random.once_in(5).then_some("saml"),
                random
                    .once_in(4)
                    .then(|| random.pick(&["de", "pt_BR", "zh_CN", "ar"])),
                random
                    .once_in(3)
                    .then_some("{\"last-acknowledged-version\":\"v0.55.1\"}"),
                "personal",
                random.token(21),
            ]
        })
}

fn sessions(sizes: &crate::sizes::Sizes) -> SampleTable {
    Draft::new("core_session")
        .not_null("id", varchar(254))
        .not_null("user_id", integer())
        .not_null("created_at", timestamptz())
        .nullable("anti_csrf_token", text())
        .nullable("key_hashed", varchar(254))
        .nullable("expires_at", timestamptz())
        .primary_key(&["id"])
        .refers("user_id", "core_user", Cascade)
        .unique_index(&["key_hashed"])
        .rows(SESSIONS.len() as u64 + sizes.sessions, |sizes, random, number| {
            let known = usize::try_from(number)
                .ok()
                .and_then(|number| SESSIONS.get(number));
            match known {
                Some(known) => {
                    let (created, ends) = match known.life {
                        Life::Young => (YOUNG_MICROS, None),
                        Life::Old => (OLD_MICROS, None),
                        Life::Ended => (YOUNG_MICROS, Some(ENDED_MICROS)),
                    };
                    row![
                        known.id,
                        known.user,
                        Value::Instant(created),
                        known.anti_csrf_token,
                        known.key_hashed,
                        ends.map(Value::Instant),
                    ]
                }
                None => row![
                    format!("{}{number:04}", random.token(8)),
                    any_user(sizes, random),
                    moment(random),
                    Value::Null,
                    random.hex(128),
                    Value::Null,
                ],
            }
        })
}

fn api_keys() -> SampleTable {
    let next = API_KEYS.len() as u64 + 1;
    Draft::new("api_key")
        .id(next)
        .nullable("user_id", integer())
        .not_null("key", varchar(254))
        .not_null("key_prefix", varchar(7))
        .not_null("creator_id", integer())
        .not_null("name", varchar(254))
        .not_null("created_at", timestamptz())
        .default("updated_at", timestamptz(), "CURRENT_TIMESTAMP")
        .not_null("updated_by_id", integer())
        .unique(&["key_prefix"])
        .unique(&["name"])
        .refers("user_id", "core_user", Cascade)
        .refers("creator_id", "core_user", Cascade)
        .refers("updated_by_id", "core_user", Cascade)
        .rows(next - 1, |_, random, number| {
            let at = usize::try_from(number).expect("as many rows as keys");
            let (user, key, hash) = API_KEYS[at];
            row![
                number + 1,
                user,
                hash,
                &key[..7],
                SUPERUSER_ID,
                format!("key of user {user}"),
                moment(random),
                moment(random),
                SUPERUSER_ID,
            ]
        })
}

fn logins(sizes: &crate::sizes::Sizes) -> SampleTable {
    Draft::new("login_history")
        .id(sizes.logins + 1)
        .default("timestamp", timestamptz(), "now()")
        .not_null("user_id", integer())
        .nullable("session_id", varchar(254))
        .not_null("device_id", char(36))
        .not_null("device_description", text())
        .not_null("ip_address", text())
        .refers("user_id", "core_user", Cascade)
        .refers("session_id", "core_session", SetNull)
        .index(&["user_id", "timestamp"])
        .rows(sizes.logins, |sizes, random, number| {
            let sessions: Vec<&str> = SESSIONS.iter().map(|session| session.id).collect();
            let session = random.once_in(8).then(|| random.pick(&sessions).to_owned());
            row![
                number + 1,
                moment(random),
                any_user(sizes, random),
                session,
                random.uuid(),
                random.pick(&["Mozilla/5.0 (X11; Linux x86_64)", "Safari/17.4", "embedding-sdk"]),
                format!(
                    "10.{}.{}.{}",
                    random.below(256),
                    random.below(256),
                    random.below(256)
                ),
            ]
        })
}
