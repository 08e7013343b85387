//! The table itself. One line per crate, in the order in which they may lean on each other.

/// What one crate may name.
#[derive(Debug)]
pub(crate) struct Row {
    /// Without the `metaferry-` in front.
    pub(crate) krate: &'static str,
    /// Our crates, also without it.
    pub(crate) ours: &'static [&'static str],
    /// Third-party crates beyond those open to all.
    pub(crate) third_party: &'static [&'static str],
}

impl Row {
    pub(crate) fn package(&self) -> String {
        package(self.krate)
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[&str]| {
            if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            }
        };
        write!(
            f,
            "`{}` | ours: {} | third-party: {}",
            self.krate,
            list(self.ours),
            list(self.third_party)
        )
    }
}

/// The package of one of our crates: all are named by role, the two tools are not ours to embed.
pub(crate) fn package(krate: &str) -> String {
    match krate {
        "xtask" | "workspace-tests" => krate.to_owned(),
        role => format!("metaferry-{role}"),
    }
}

/// A crate that any of ours may name, but for a few.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) krate: &'static str,
    pub(crate) closed_to: &'static [&'static str],
}

/// Open to all but those named.
pub(crate) const OPEN: &[Open] = &[
    Open {
        krate: "thiserror",
        closed_to: &[],
    },
    Open {
        krate: "async-trait",
        closed_to: &["h2-file"],
    },
    Open {
        krate: "serde",
        closed_to: &["h2-file"],
    },
    Open {
        krate: "tokio",
        closed_to: &["domain", "h2-file"],
    },
    Open {
        krate: "tokio-util",
        closed_to: &["domain", "h2-file"],
    },
    Open {
        krate: "tracing",
        closed_to: &["domain", "h2-file"],
    },
];

/// Crates (and their families: `sqlx` stands for `sqlx-core` too) that have no place anywhere below `domain`.
pub(crate) const IMPURE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "async-io",
    "mio",
    "polling",
    "socket2",
    "hyper",
    "reqwest",
    "axum",
    "rustls",
    "native-tls",
    "openssl",
    "aws",
    "sqlx",
    "postgres",
    "mysql",
    "rusqlite",
    "libsqlite3",
    "getrandom",
    "rand",
];

/// Every crate of the workspace.
pub(crate) const ROWS: &[Row] = &[
    Row {
        krate: "domain",
        ours: &[],
        third_party: &["uuid", "mockall"],
    },
    // The compression of the format; its checksums and ciphers join here as they are written.
    Row {
        krate: "h2-file",
        ours: &[],
        third_party: &["flate2"],
    },
    Row {
        krate: "metabase",
        ours: &["domain"],
        third_party: &[
            "aes", "base64", "cbc", "hex", "hmac", "pbkdf2", "sha2", "url", "zeroize",
        ],
    },
    Row {
        krate: "app-db",
        ours: &["domain", "metabase", "h2-file"],
        // sqlparser splits the column lists of views; it reaches no database.
        third_party: &[
            "sqlx",
            "sqlparser",
            "bytes",
            "futures-util",
            "serde_json",
            "url",
            "uuid",
        ],
    },
    // xxhash-rust is the keyed hash of the digest `mf1`.
    Row {
        krate: "transfer",
        ours: &["domain"],
        third_party: &["serde_json", "xxhash-rust"],
    },
    Row {
        krate: "cluster",
        ours: &["domain"],
        third_party: &[],
    },
    Row {
        krate: "uploader",
        ours: &["domain"],
        third_party: &[
            "aws-sdk-s3",
            "reqwest",
            "base64",
            "bytes",
            "futures-util",
            "hex",
            "http",
            "md-5",
            "serde_json",
            "sha2",
            "url",
        ],
    },
    Row {
        krate: "orchestrator",
        ours: &["domain"],
        third_party: &["uuid"],
    },
    Row {
        krate: "metabase-client",
        ours: &["domain", "metabase"],
        third_party: &["reqwest", "serde_json", "url"],
    },
    Row {
        krate: "notifier",
        ours: &["domain", "metabase"],
        third_party: &["reqwest", "serde_json", "url"],
    },
    Row {
        krate: "api",
        ours: &["domain", "orchestrator"],
        third_party: &["axum", "serde_json", "time"],
    },
    Row {
        krate: "store",
        ours: &["domain"],
        third_party: &[
            "axum",
            "base64",
            "bytes",
            "futures-util",
            "hex",
            "hmac",
            "md-5",
            "rand",
            "serde_json",
            "sha2",
            "url",
            "uuid",
        ],
    },
    Row {
        krate: "server",
        ours: &[
            "domain",
            "h2-file",
            "metabase",
            "app-db",
            "transfer",
            "cluster",
            "uploader",
            "orchestrator",
            "metabase-client",
            "notifier",
            "api",
            "store",
        ],
        third_party: &[
            "clap",
            "rustls",
            "serde_json",
            "tempfile",
            "time",
            "toml",
            "tracing-subscriber",
            "url",
            "uuid",
        ],
    },
    // A dev-dependency only: it stands in no other line. May name sqlx for temporary databases.
    Row {
        krate: "test-kit",
        ours: &["domain"],
        third_party: &["sqlx", "uuid"],
    },
    Row {
        krate: "workspace-tests",
        ours: &[],
        third_party: &[],
    },
    // Generates documents from the domain's own tables.
    Row {
        krate: "xtask",
        ours: &["domain"],
        third_party: &[],
    },
];
