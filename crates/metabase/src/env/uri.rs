//! Takes connection URIs apart. They are not URLs by the book: passwords may hold any character, unencoded, and
//! still the host must be found.

use super::address::{AddressError, AppDbAddress, MYSQL_PORT, POSTGRES_PORT, ServerAddress, SslMode};
use crate::secret::Secret;

/// How user and password before the host are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoding {
    /// Literally: Metabase's rule.
    AsWritten,
    /// Percent-encoded: everybody else's rule.
    Percent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Postgres,
    MySql,
}

const SCHEMES: [(&str, Server); 4] = [
    ("postgres://", Server::Postgres),
    ("postgresql://", Server::Postgres),
    ("mysql://", Server::MySql),
    ("mariadb://", Server::MySql),
];

/// What stands where a password stood.
const MASK: &str = "***";

/// The same URI with every password masked; `None` if it shows none. It need not be one that can be used.
pub(super) fn masked(uri: &str) -> Option<String> {
    let body = uri.strip_prefix("jdbc:").unwrap_or(uri);
    let rest = SCHEMES.iter().find_map(|(scheme, _)| body.strip_prefix(scheme))?;
    // Rather too much than a part of a password that holds an `@` itself: nobody reads it but people.
    let (login, behind) = match (split_login(rest), rest.rfind('@')) {
        ((Some(login), _), Some(at)) if login.contains(':') => (Some(&rest[..at]), &rest[at + 1..]),
        (split, _) => split,
    };
    let mut shown = uri[..uri.len() - rest.len()].to_owned();
    if let Some(login) = login {
        match login.split_once(':') {
            Some((user, password)) if !password.is_empty() => shown.push_str(&format!("{user}:{MASK}@")),
            Some(_) | None => shown.push_str(&format!("{login}@")),
        }
    }
    match behind.split_once('?') {
        None => shown.push_str(behind),
        Some((location, query)) => {
            let pairs: Vec<String> = query
                .split('&')
                .map(|pair| match pair.split_once('=') {
                    Some(("password", password)) if !password.is_empty() => format!("password={MASK}"),
                    Some(_) | None => pair.to_owned(),
                })
                .collect();
            shown.push_str(&format!("{location}?{}", pairs.join("&")));
        }
    }
    (shown != uri).then_some(shown)
}

pub(super) fn parse(uri: &str, decoding: Decoding) -> Result<AppDbAddress, AddressError> {
    let body = uri.strip_prefix("jdbc:").unwrap_or(uri);
    if let Some(location) = body.strip_prefix("h2:") {
        return AppDbAddress::from_h2_location(location);
    }
    let (rest, server) = SCHEMES
        .iter()
        .find_map(|(scheme, server)| Some((body.strip_prefix(scheme)?, *server)))
        .ok_or(AddressError::Scheme)?;
    let address = server_address(rest, server, decoding)?;
    Ok(match server {
        Server::Postgres => AppDbAddress::Postgres(address),
        Server::MySql => AppDbAddress::MySql(address),
    })
}

fn server_address(rest: &str, server: Server, decoding: Decoding) -> Result<ServerAddress, AddressError> {
    let (login, rest) = split_login(rest);
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host_and_port, database) = location.split_once('/').unwrap_or((location, ""));
    let default_port = match server {
        Server::Postgres => POSTGRES_PORT,
        Server::MySql => MYSQL_PORT,
    };
    let (host, port) = split_port(host_and_port, default_port)?;
    let mut address = ServerAddress {
        host: if host.is_empty() {
            "localhost".to_owned()
        } else {
            host.to_owned()
        },
        port,
        database: percent_decode(database, "database name")?,
        user: None,
        password: None,
        schema: None,
        ssl: SslMode::Prefer,
        ssl_root_cert: None,
        ignored_parameters: Vec::new(),
    };
    if let Some(login) = login {
        let (user, password) = login
            .split_once(':')
            .map_or((login, None), |(user, pass)| (user, Some(pass)));
        let decode = |text: &str, part| match decoding {
            Decoding::AsWritten => Ok(text.to_owned()),
            Decoding::Percent => percent_decode(text, part),
        };
        address.user = Some(decode(user, "user")?).filter(|user| !user.is_empty());
        address.password = password
            .map(|password| decode(password, "password"))
            .transpose()?
            .map(Secret::new);
    }
    apply_query(query, server, &mut address)?;
    if address.database.is_empty() {
        return Err(AddressError::Missing { part: "database" });
    }
    Ok(address)
}

/// Splits `user:password@` off. The password may hold `@`, `/`, `?` and `:`, so the last `@` counts behind which a host
/// stands; but an `@` in the query, behind what already is a host, does not.
fn split_login(rest: &str) -> (Option<&str>, &str) {
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    if let Some(at) = rest[..authority_end].rfind('@') {
        return (Some(&rest[..at]), &rest[at + 1..]);
    }
    if split_port(&rest[..authority_end], 1).is_ok() {
        return (None, rest);
    }
    let candidates = rest.rmatch_indices('@').map(|(at, _)| at);
    for at in candidates {
        let behind = &rest[at + 1..];
        let host_end = behind.find(['/', '?']).unwrap_or(behind.len());
        if rest[..at].contains(':') && host_end > 0 && split_port(&behind[..host_end], 1).is_ok() {
            return (Some(&rest[..at]), behind);
        }
    }
    (None, rest)
}

/// Splits `host:port`, also `[::1]:port`.
fn split_port(text: &str, default_port: u16) -> Result<(&str, u16), AddressError> {
    let (host, port) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, behind)) => (host, Some(behind.strip_prefix(':').ok_or(AddressError::Port)?)),
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    match port {
        None => Ok((host, default_port)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .map(|port| (host, port))
            .ok_or(AddressError::Port),
        Some(_) => Err(AddressError::Port),
    }
}

fn apply_query(query: &str, server: Server, address: &mut ServerAddress) -> Result<(), AddressError> {
    let (mut ssl, mut mode, mut trusts_any) = (None, None, false);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, written) = pair.split_once('=').unwrap_or((pair, ""));
        let value = match server {
            Server::Postgres => form_decode(written, "query")?,
            // The MariaDB driver takes parameters as they are.
            Server::MySql => written.to_owned(),
        };
        match name {
            "user" => address.user = Some(value),
            "password" => address.password = Some(Secret::new(value)),
            "currentSchema" => address.schema = Some(value).filter(|schema| !schema.is_empty()),
            "sslrootcert" | "serverSslCert" => address.ssl_root_cert = Some(value),
            "ssl" | "useSSL" | "useSsl" => ssl = Some(truth("ssl", &value)?),
            "trustServerCertificate" => trusts_any = truth("trustServerCertificate", &value)?,
            "sslmode" | "sslMode" => mode = Some(ssl_mode(&value)?),
            _ => address.ignored_parameters.push(name.to_owned()),
        }
    }
    address.ssl = match (mode, ssl) {
        (Some(mode), _) => mode,
        (None, Some(true)) if trusts_any => SslMode::Require,
        // Both drivers check certificate and host when they are only told to encrypt.
        (None, Some(true)) => SslMode::VerifyFull,
        (None, Some(false)) => SslMode::Disable,
        (None, None) => SslMode::Prefer,
    };
    Ok(())
}

fn truth(name: &'static str, value: &str) -> Result<bool, AddressError> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(AddressError::Parameter {
            name,
            value: value.to_owned(),
            expected: "true or false",
        }),
    }
}

fn ssl_mode(value: &str) -> Result<SslMode, AddressError> {
    // The words of libpq, of the MariaDB driver and of MySQL's own, whose case and dashes vary.
    let word = value.to_ascii_lowercase().replace('_', "-");
    let known = match word.as_str() {
        "trust" | "required" => Some(SslMode::Require),
        "preferred" => Some(SslMode::Prefer),
        "disabled" => Some(SslMode::Disable),
        "verify-identity" => Some(SslMode::VerifyFull),
        word => SslMode::from_libpq(word),
    };
    known.ok_or_else(|| AddressError::Parameter {
        name: "sslmode",
        value: value.to_owned(),
        expected: "disable, allow, prefer, require, verify-ca or verify-full",
    })
}

fn form_decode(text: &str, part: &'static str) -> Result<String, AddressError> {
    percent_decode(&text.replace('+', " "), part)
}

fn percent_decode(text: &str, part: &'static str) -> Result<String, AddressError> {
    let malformed = AddressError::Encoding { part };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        if *first == b'%' {
            let Some((digits, behind)) = behind.split_first_chunk::<2>() else {
                return Err(malformed);
            };
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).map_err(|_| malformed.clone())?;
            bytes.push(byte[0]);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed)
}
