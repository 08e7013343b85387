//! What a folder of one app DB's files is called: readable, and of no other app DB.

use sha2::{Digest as _, Sha256};

use super::address::{AppDbAddress, ServerAddress};

/// Of the digest, in bytes: enough to tell the app DBs of one machine apart.
const DIGEST_BYTES: usize = 4;
/// Of the readable part, in characters.
const READABLE_MAX: usize = 40;
/// Where Postgres looks unless told otherwise.
const POSTGRES_SCHEMA: &str = "public";

impl AppDbAddress {
    /// A name for the folder of this app DB's files, such as `postgres-metabase-1f3a9c02`. It follows from what tells one
    /// app DB from another, and from nothing else: host, port, database and schema of a server, never user, password or
    /// how it is connected to; of an H2 file its path, which the caller makes absolute. Whoever reaches one server by two
    /// names of its host has two folders.
    #[must_use]
    pub fn folder_name(&self) -> String {
        let (kind, readable, identity) = match self {
            Self::Postgres(server) => {
                let schema = server.schema.as_deref().unwrap_or(POSTGRES_SCHEMA);
                ("postgres", server.database.as_str(), of_server(server, schema))
            }
            Self::MySql(server) => ("mysql", server.database.as_str(), of_server(server, "")),
            Self::H2 { path } => {
                let name = path.rsplit('/').next().unwrap_or(path);
                ("h2", name, vec![path.clone()])
            }
        };
        let mut digest = Sha256::new_with_prefix(kind);
        for part in identity {
            // Between two parts stands what none of them can hold.
            digest.update([0]);
            digest.update(part);
        }
        let digest = hex::encode(&digest.finalize()[..DIGEST_BYTES]);
        format!("{kind}-{}-{digest}", of_a_file(readable))
    }
}

fn of_server(server: &ServerAddress, schema: &str) -> Vec<String> {
    vec![
        // Upper and lower case are one in a host's name.
        server.host.to_lowercase(),
        server.port.to_string(),
        server.database.clone(),
        schema.to_owned(),
    ]
}

/// The beginning of a name, in characters that every file system takes.
fn of_a_file(name: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    name.chars()
        .take(READABLE_MAX)
        .map(|character| if is_plain(character) { character } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(url: &str) -> String {
        AppDbAddress::from_cli_url(url).unwrap().folder_name()
    }

    #[test]
    fn one_app_db_has_one_name() {
        // By `printf 'postgres\0db\x005432\0metabase\0public' | sha256sum`: a later program finds the same folder.
        let usual = "postgres-metabase-07d1f016";
        for url in [
            "postgres://db/metabase",
            "postgres://metabase@db/metabase",
            "postgres://other:secret@DB:5432/metabase?sslmode=require",
            "postgres://db/metabase?currentSchema=public",
        ] {
            assert_eq!(name(url), usual, "{url}");
        }
        // By `printf 'mysql\0db\x003306\0metabase\0' | sha256sum`.
        for url in ["mysql://db/metabase", "mysql://root:secret@db:3306/metabase"] {
            assert_eq!(name(url), "mysql-metabase-9dabb144", "{url}");
        }
        // By `printf 'h2\0/srv/metabase.db' | sha256sum`.
        for url in ["h2:/srv/metabase.db", "h2:/srv/metabase.db.mv.db"] {
            assert_eq!(name(url), "h2-metabase.db-9bc212fb", "{url}");
        }
    }

    #[test]
    fn what_is_another_app_db_has_another_name() {
        let urls = [
            "postgres://db/metabase",
            "postgres://db/Metabase",
            "postgres://db/other",
            "postgres://db:5433/metabase",
            "postgres://elsewhere/metabase",
            "postgres://db/metabase?currentSchema=bi",
            "mysql://db/metabase",
            "mysql://db:5432/metabase",
            "h2:/srv/metabase",
            "h2:/srv/one/metabase",
            "h2:/srv/two/metabase",
        ];
        let names: std::collections::BTreeSet<String> = urls.iter().map(|url| name(url)).collect();
        assert_eq!(names.len(), urls.len(), "{names:?}");
    }

    #[test]
    fn any_name_makes_a_folder() {
        for (database, readable) in [
            ("scratch", "scratch"),
            ("..", ".."),
            ("%2Fetc%2Fpasswd", "_etc_passwd"),
            ("Hafen%20%C3%9Cbersee", "Hafen__bersee"),
            (&*"x".repeat(200), &*"x".repeat(READABLE_MAX)),
        ] {
            let name = name(&format!("postgres://db/{database}"));
            let (beginning, _) = name.rsplit_once('-').unwrap();
            assert_eq!(beginning, format!("postgres-{readable}"));
        }
    }
}
