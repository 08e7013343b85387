//! Users, sessions and API keys of the sample that a test can sign in with. None of them opens anything real.

/// `core_user.id` of an active superuser.
pub const SUPERUSER_ID: u64 = 1;
/// `core_user.id` of an active user without rights.
pub const ORDINARY_ID: u64 = 2;
/// `core_user.id` of a superuser who is no longer active.
pub const INACTIVE_ID: u64 = 3;
/// `core_user.id` of the user whom Metabase itself creates.
pub const INTERNAL_USER_ID: u64 = 13_371_338;

/// A superuser's session from before sessions were hashed: `core_session.id` itself.
pub const SUPERUSER_PLAIN_SESSION: &str = "5d1c2f86-0a4b-4d52-9a57-3f1f6f0c9a01";
/// A superuser's session; the row holds its SHA-512.
pub const SUPERUSER_SESSION: &str = "c0ffee00-1111-4222-8333-444455556666";
/// A session of the ordinary user.
pub const ORDINARY_SESSION: &str = "0d1a2b3c-2222-4333-8444-555566667777";
/// A session of the inactive user.
pub const INACTIVE_SESSION: &str = "1ac71fe0-3333-4444-8555-666677778888";
/// A superuser's session that is older than any session may be.
pub const EXPIRED_SESSION: &str = "ec5919ed-4444-4555-8666-777788889999";
/// A superuser's session whose own end has passed.
pub const ENDED_SESSION: &str = "e4ded000-5555-4666-8777-88889999aaaa";
/// A superuser's session in an embedding page.
pub const EMBEDDED_SESSION: &str = "e3bedded-6666-4777-8888-9999aaaabbbb";

/// An API key of the superuser.
pub const SUPERUSER_API_KEY: &str = "mb_c2FtcGxlLWtleS1vZi1hLXN1cGVydXNlci0tMDAwMDE=";
/// An API key of the ordinary user.
pub const ORDINARY_API_KEY: &str = "mb_b3JkaW5hcnkta2V5LW9mLWEtcGVyc29uLS0tMDAwMDI=";
/// An API key of the inactive user.
pub const INACTIVE_API_KEY: &str = "mb_aW5hY3RpdmUta2V5LW9mLXNvbWVib2R5LS0tMDAwMDM=";

/// The password of every user of the sample.
pub const PASSWORD: &str = "Sample-password-1";
/// What stands before [`PASSWORD`] when it is hashed.
pub(crate) const PASSWORD_SALT: &str = "6f1ab7a0-sample-salt";
/// bcrypt of the two together, cost 10.
pub(crate) const PASSWORD_HASH: &str = "$2a$10$zSvbIZ2LSjdZpT6kOe/1S.d.VcOz7jqaTeaurW20ysQKmUCsALV2G";

/// A session as its row has it.
#[derive(Debug)]
pub(crate) struct KnownSession {
    pub(crate) id: &'static str,
    pub(crate) user: u64,
    /// SHA-512 of the session's value; none in rows from before.
    pub(crate) key_hashed: Option<&'static str>,
    pub(crate) life: Life,
    pub(crate) anti_csrf_token: Option<&'static str>,
}

/// How long a known session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Begun in the year 2096, so that it is young whenever a test runs.
    Young,
    /// Begun in 2020.
    Old,
    /// Young, but ended in 2021 by its own `expires_at`.
    Ended,
}

pub(crate) const SESSIONS: &[KnownSession] = &[
    KnownSession {
        id: SUPERUSER_PLAIN_SESSION,
        user: SUPERUSER_ID,
        key_hashed: None,
        life: Life::Young,
        anti_csrf_token: None,
    },
    KnownSession {
        id: "sampleHash01",
        user: SUPERUSER_ID,
        key_hashed: Some(
            "53e3cd7c1f2ffb22db706725c01b52a2b309e3139ed8ac83bd848d7b8d2718d1\
             ae77158aa3ad3b8316a45ebe0cbaf54d6c92e68ddd0b93da861719326b29ccf2",
        ),
        life: Life::Young,
        anti_csrf_token: None,
    },
    KnownSession {
        id: "sampleHash02",
        user: ORDINARY_ID,
        key_hashed: Some(
            "1951dc7863ec85c10d7e6dc4ce2c6f9f79a40dad0fababd2faed1273c7c7407f\
             6a81619934c8b4f76e000c12c83d8ea71b388fc922623b8749a535cd61a89007",
        ),
        life: Life::Young,
        anti_csrf_token: None,
    },
    KnownSession {
        id: "sampleHash03",
        user: INACTIVE_ID,
        key_hashed: Some(
            "dd8a1fdff44cc6e6479bf0e65c1f69241366af836f6ecd73cb6ba83865cb4821\
             6900abf84e3fabbb7efce93529795ec6464be1cf283981414c170a77d22ed3da",
        ),
        life: Life::Young,
        anti_csrf_token: None,
    },
    KnownSession {
        id: "sampleHash04",
        user: SUPERUSER_ID,
        key_hashed: Some(
            "38ee34cde95580b89c533f8e19af65d70646c81b576466e64207d5fc06f76267\
             63acdaf92ec3baa9b2f6a302c411df90cf44662c9adf7d591afaad67d8e38353",
        ),
        life: Life::Old,
        anti_csrf_token: None,
    },
    KnownSession {
        id: "sampleHash05",
        user: SUPERUSER_ID,
        key_hashed: Some(
            "3970d824f60b72a55d1d49edaf531581aebae9143bda4f9bf50ae7f94ed044ec\
             44268fac225751767da62acc557754185c7bcf74a4f7bb6f9ffac6eb6e6c07a4",
        ),
        life: Life::Ended,
        anti_csrf_token: None,
    },
    KnownSession {
        id: "sampleHash06",
        user: SUPERUSER_ID,
        key_hashed: Some(
            "048c4cb94e24bc6f01f485598fefa0530ae705a35407f29291e63f85915de0d6\
             5824d8f06736e32fb4cc81543481538d4e0dae76b94efe5670cfd8049066de0a",
        ),
        life: Life::Young,
        anti_csrf_token: Some("anti-csrf-token-of-the-sample"),
    },
];

/// An API key as its row has it: owner, the key, its bcrypt hash of cost 10.
pub(crate) const API_KEYS: &[(u64, &str, &str)] = &[
    (
        SUPERUSER_ID,
        SUPERUSER_API_KEY,
        "$2a$10$TZN8k9SEy77bQcykS.ytrOWBrzkn/CQisxLwzH.QLcwUPhSArXZmO",
    ),
    (
        ORDINARY_ID,
        ORDINARY_API_KEY,
        "$2a$10$FC/2fG3TqzfwXWK5uQte.OChbw6ayXD8mD9emsWZ6FH83TOb3B6YO",
    ),
    (
        INACTIVE_ID,
        INACTIVE_API_KEY,
        "$2a$10$Yk2iEz8mQR/PPMSxDP1bp.uuA5t6vh5GQov7Od84KvGCltPbNfl66",
    ),
];
