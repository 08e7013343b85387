use super::*;
use address::{MYSQL_PORT, POSTGRES_PORT};

fn no_files(path: &Path) -> Result<String, String> {
    Err(format!("no file {}", path.display()))
}

fn read(pairs: &[(&str, &str)]) -> Result<MetabaseEnv, EnvErrors> {
    MetabaseEnv::from_pairs(pairs.iter().copied(), no_files)
}

fn server(port: u16) -> ServerAddress {
    ServerAddress {
        host: "db".to_owned(),
        port,
        database: "mb".to_owned(),
        user: Some("me".to_owned()),
        password: Some(Secret::new("p")),
        schema: None,
        ssl: SslMode::Prefer,
        ssl_root_cert: None,
        ignored_parameters: Vec::new(),
    }
}

fn uri(text: &str) -> AppDbAddress {
    AppDbAddress::from_connection_uri(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn an_empty_environment_is_metabases_default() {
    let env = read(&[("PATH", "/bin"), ("MB_DB_HOST", "")]).unwrap();
    assert_eq!(env.app_db, AppDbAddress::h2("metabase.db"));
    assert_eq!(env.app_db_origin, AddressOrigin::MetabaseDefault);
    assert_eq!(env.store_api_url, STORE_API_URL);
    assert_eq!(env.max_session_age_minutes, 20_160);
    assert_eq!((env.encryption_secret, env.read_only_mode), (None, None));
}

#[test]
fn parts_give_an_address() {
    let parts = [
        ("MB_DB_TYPE", "mysql"),
        ("MB_DB_HOST", "db"),
        ("MB_DB_DBNAME", "mb"),
        ("MB_DB_USER", "me"),
        ("MB_DB_PASS", "p"),
    ];
    let env = read(&parts).unwrap();
    assert_eq!(env.app_db, AppDbAddress::MySql(server(MYSQL_PORT)));
    assert_eq!(env.app_db_origin, AddressOrigin::Environment);
    let h2 = read(&[("MB_DB_TYPE", "h2"), ("MB_DB_FILE", "/data/mb.db.mv.db")]).unwrap();
    assert_eq!(h2.app_db, AppDbAddress::h2("/data/mb.db"));
}

#[test]
fn every_form_of_uri_is_read() {
    for prefix in ["", "jdbc:"] {
        for scheme in ["postgres", "postgresql"] {
            assert_eq!(
                uri(&format!("{prefix}{scheme}://me:p@db/mb")),
                AppDbAddress::Postgres(server(POSTGRES_PORT))
            );
        }
        assert_eq!(
            uri(&format!("{prefix}mysql://me:p@db:3307/mb")),
            AppDbAddress::MySql(server(3307))
        );
    }
    assert_eq!(
        uri("jdbc:postgresql://db/mb?user=me&password=p"),
        AppDbAddress::Postgres(server(POSTGRES_PORT))
    );
    assert_eq!(
        uri("postgres://db:1234/mb?user=me&password=p"),
        AppDbAddress::Postgres(server(1234))
    );
    assert_eq!(
        uri("jdbc:h2:file:/data/mb;IFEXISTS=TRUE"),
        AppDbAddress::h2("/data/mb")
    );
    let AppDbAddress::Postgres(v6) = uri("postgres://[::1]:5433/mb") else {
        panic!("not Postgres")
    };
    assert_eq!((v6.host.as_str(), v6.port), ("::1", 5433));
}

#[test]
fn parameters_are_understood_or_named() {
    let facts = [
        ("", SslMode::Prefer),
        ("ssl=true", SslMode::VerifyFull),
        ("ssl=true&sslmode=require", SslMode::Require),
        ("sslmode=verify-ca&ssl=false", SslMode::VerifyCa),
        ("ssl=false", SslMode::Disable),
        ("useSSL=true&trustServerCertificate=true", SslMode::Require),
        ("sslMode=VERIFY_IDENTITY", SslMode::VerifyFull),
    ];
    for (query, expected) in facts {
        let AppDbAddress::Postgres(server) = uri(&format!("postgres://db/mb?{query}")) else {
            panic!("not Postgres")
        };
        assert_eq!(server.ssl, expected, "{query}");
    }
    let AppDbAddress::Postgres(server) = uri(
        "postgres://db/mb?currentSchema=meta%62ase&tcpKeepAlive=true&sslrootcert=/ca.pem&password=a%2Bb+c",
    ) else {
        panic!("not Postgres")
    };
    assert_eq!(server.schema.as_deref(), Some("metabase"));
    assert_eq!(server.ignored_parameters, ["tcpKeepAlive"]);
    assert_eq!(server.ssl_root_cert.as_deref(), Some("/ca.pem"));
    assert_eq!(server.password, Some(Secret::new("a+b c")));
}

#[test]
fn odd_passwords_leave_the_host_where_it_is() {
    let facts = [
        ("postgres://me:p%40ss@db/mb", "p%40ss", "p@ss"),
        ("postgres://me:p@ss@db/mb", "p@ss", "p@ss"),
        ("postgres://me:a/b?c@db:5433/mb?ssl=true", "a/b?c", "a/b?c"),
        ("postgres://me:a:b@db/mb", "a:b", "a:b"),
        ("postgres://me:@db/mb", "", ""),
    ];
    for (text, as_written, decoded) in facts {
        let AppDbAddress::Postgres(metabase) = uri(text) else {
            panic!("not Postgres")
        };
        let AppDbAddress::Postgres(cli) = AppDbAddress::from_cli_url(text).unwrap() else {
            panic!("not Postgres")
        };
        for (server, password) in [(metabase, as_written), (cli, decoded)] {
            assert_eq!(server.user.as_deref(), Some("me"), "{text}");
            assert_eq!(server.password, Some(Secret::new(password)), "{text}");
            assert_eq!(
                (server.host.as_str(), server.database.as_str()),
                ("db", "mb"),
                "{text}"
            );
        }
    }
    let AppDbAddress::Postgres(server) = uri("postgres://db:5432/mb?user=me@example.com") else {
        panic!("not Postgres")
    };
    assert_eq!(
        (server.host.as_str(), server.user.as_deref()),
        ("db", Some("me@example.com"))
    );
}

#[test]
fn the_command_line_takes_h2_paths_in_every_form() {
    for text in [
        "h2:dir/mb",
        "h2:file:dir/mb",
        "h2:dir/mb.mv.db",
        "h2:file:dir/mb.mv.db",
        "jdbc:h2:file:dir/mb",
    ] {
        assert_eq!(
            AppDbAddress::from_cli_url(text),
            Ok(AppDbAddress::h2("dir/mb")),
            "{text}"
        );
    }
    for text in [
        "h2:mem:x",
        "h2:tcp://host/x",
        "h2:",
        "h2:.mv.db",
        "sqlite:x",
        "postgres:/x",
        "postgres://db",
        "x",
    ] {
        assert!(AppDbAddress::from_cli_url(text).is_err(), "{text}");
    }
    for text in [
        "postgres://db:0/mb",
        "postgres://db:x/mb",
        "postgres://db/mb?ssl=maybe",
        "postgres://db/%zz",
    ] {
        assert!(AppDbAddress::from_cli_url(text).is_err(), "{text}");
    }
}

#[test]
fn user_and_password_variables_win_over_the_uri() {
    let uri = ("MB_DB_CONNECTION_URI", "postgres://other:secret@db/mb");
    let env = read(&[
        uri,
        ("MB_DB_USER", "me"),
        ("MB_DB_PASS", "p"),
        ("MB_DB_TYPE", "h2"),
    ])
    .unwrap();
    assert_eq!(env.app_db, AppDbAddress::Postgres(server(POSTGRES_PORT)));
}

#[test]
fn secrets_come_from_files_too() {
    let pairs = [
        ("MB_DB_CONNECTION_URI_FILE", "/run/secrets/uri"),
        ("MB_ENCRYPTION_SECRET_KEY_FILE", "/run/secrets/key"),
    ];
    let env = MetabaseEnv::from_pairs(pairs, |path: &Path| -> Result<String, String> {
        Ok(match path.to_str() {
            Some("/run/secrets/uri") => "postgres://me:p@db/mb\r\n".to_owned(),
            _ => "0123456789abcdef\n".to_owned(),
        })
    })
    .unwrap();
    assert_eq!(env.app_db, AppDbAddress::Postgres(server(POSTGRES_PORT)));
    assert_eq!(env.encryption_secret, Some(Secret::new("0123456789abcdef")));
}

#[test]
fn everything_wrong_is_reported_at_once_and_without_secrets() {
    let errors = read(&[
        ("MB_DB_TYPE", "postgres"),
        ("MB_DB_PORT", "many"),
        ("MB_DB_PASS", "hunter2"),
        ("MB_DB_PASS_FILE", "/run/secrets/pass"),
        ("MB_DB_USER_FILE", "/run/secrets/user"),
        ("MB_ENCRYPTION_SECRET_KEY", "tooshort"),
        ("MB_STORE_API_URL", "store"),
        ("MB_READ_ONLY_MODE", "perhaps"),
        ("MAX_SESSION_AGE", "-1"),
    ])
    .unwrap_err();
    let mut keys: Vec<&str> = errors.0.iter().map(|problem| problem.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "MAX_SESSION_AGE",
            "MB_DB_DBNAME",
            "MB_DB_PASS_FILE",
            "MB_DB_PORT",
            "MB_DB_USER_FILE",
            "MB_ENCRYPTION_SECRET_KEY",
            "MB_READ_ONLY_MODE",
            "MB_STORE_API_URL",
        ]
    );
    let shown = format!("{errors} {errors:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("tooshort"),
        "{shown}"
    );
}

#[test]
fn no_form_of_output_shows_a_password() {
    let uri = "postgres://me:hunter2@db/mb?password=hunter2";
    let env = read(&[
        ("MB_DB_CONNECTION_URI", uri),
        ("MB_ENCRYPTION_SECRET_KEY", "hunter2hunter2hunter2"),
    ])
    .unwrap();
    assert_eq!(env.app_db.to_string(), "postgres://me@db:5432/mb");
    let broken = read(&[("MB_DB_CONNECTION_URI", "postgres://me:hunter2@db:port/mb")]).unwrap_err();
    let shown = format!("{env:?} {broken} {broken:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_remaining_keys_are_read() {
    let env = read(&[
        ("MB_STORE_API_URL", "http://127.0.0.1:9999/"),
        ("MB_MIGRATION_DUMP_FILE", "/tmp/dump.mv.db"),
        ("MB_MIGRATION_DUMP_VERSION", "v0.55.3"),
        ("MB_READ_ONLY_MODE", "true"),
        ("MAX_SESSION_AGE", "60"),
        ("MB_SESSION_HASH_SECRET_KEY", "a session secret of its own"),
    ])
    .unwrap();
    assert_eq!(env.store_api_url, "http://127.0.0.1:9999");
    assert_eq!(env.migration_dump_file, Some(PathBuf::from("/tmp/dump.mv.db")));
    assert_eq!(env.migration_dump_version.as_deref(), Some("v0.55.3"));
    assert_eq!(env.read_only_mode, Some(ReadOnlyMode::On));
    assert_eq!(env.max_session_age_minutes, 60);
    assert_eq!(
        env.session_secret,
        Some(Secret::new("a session secret of its own"))
    );
}

#[test]
fn passwords_of_urls_are_masked_and_nothing_else_is() {
    for (url, expected) in [
        (
            "postgres://me:hunter2@host:5432/db",
            Some("postgres://me:***@host:5432/db"),
        ),
        (
            "jdbc:postgresql://me:a@b/c?d@host/db?ssl=true",
            Some("jdbc:postgresql://me:***@host/db?ssl=true"),
        ),
        (
            "mysql://host/db?user=me&password=hunter2&useSSL=true",
            Some("mysql://host/db?user=me&password=***&useSSL=true"),
        ),
        ("mariadb://me:p@host:port/", Some("mariadb://me:***@host:port/")),
        ("postgres://me@host/db", None),
        ("postgres://me:***@host/db", None),
        ("h2:/data/me:hunter2@host", None),
        ("https://me:hunter2@host/", None),
    ] {
        assert_eq!(AppDbAddress::masked_url(url).as_deref(), expected, "{url}");
    }
}
