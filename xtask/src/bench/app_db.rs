//! The benchmark's database, from the shared fixtures at any scale, and small facts about it.
//!
//! Nothing of it enters the repository: all lives in the temporary server's folder and goes with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::machine;
use crate::servers::TempPostgres;
use crate::workspace;

/// Makes the database `mb`: schema, changelog rows, generated data; then vacuumed, so that no reader pays for hint bits.
pub(super) fn fill(
    postgres: &TempPostgres,
    fixtures: &Path,
    scale: &str,
    files: &Path,
) -> Result<(), Failure> {
    eprintln!("bench: making the app DB at scale {scale}");
    psql(&postgres.url("postgres"), &["-c", "CREATE DATABASE mb"])?;
    let url = postgres.url("mb");
    for script in ["postgres-schema.sql", "postgres-changelog.sql"] {
        psql(&url, &["-f", &fixtures.join(script).to_string_lossy()])?;
    }
    let data = files.join("data");
    let seed = Command::new("python3")
        .arg(fixtures.join("appdb_seed.py"))
        .args([
            "--scale",
            scale,
            "--target",
            "postgres",
            "--no-checksums",
            "--out",
        ])
        .arg(&data)
        .stdout(Stdio::null())
        .status();
    if !seed.map_err(Failure::while_doing("run python3"))?.success() {
        return Err(Failure::Failed("appdb_seed.py failed".to_owned()));
    }
    psql(&url, &["-f", &data.join("load.sql").to_string_lossy()])?;
    std::fs::remove_dir_all(&data).map_err(Failure::while_doing("remove the loaded data"))?;
    psql(&url, &["-c", "VACUUM (FREEZE, ANALYZE)", "-c", "CHECKPOINT"])?;
    // Its work would be counted as that of whoever runs meanwhile.
    psql(
        &url,
        &[
            "-c",
            "ALTER SYSTEM SET autovacuum = off",
            "-c",
            "SELECT pg_reload_conf()",
        ],
    )
    .map(drop)
}

/// Rows and bytes of `tables`, in words.
pub(super) fn size(url: &str, tables: &[String]) -> Result<String, Failure> {
    let counts: Vec<String> = tables
        .iter()
        .map(|table| {
            format!(
                "SELECT count(*) AS n, pg_table_size('public.\"{table}\"') AS bytes FROM public.\"{table}\""
            )
        })
        .collect();
    let all = counts.join(" UNION ALL ");
    let query = format!(
        "SELECT sum(n) || ' rows, ' || pg_size_pretty(sum(bytes)) || ' on disk' FROM ({all}) AS every"
    );
    Ok(psql(url, &["-At", "-c", &query])?.trim().to_owned())
}

/// The names in `"tables":[{"name":…}…]` of a dump's JSON. Our own fixed form, so no parser: names hold no quotes.
pub(super) fn reported_tables(json: &str) -> Vec<String> {
    let Some((_, tables)) = json.split_once("\"tables\":") else {
        return Vec::new();
    };
    let tables = tables.split(']').next().unwrap_or("");
    tables
        .split("\"name\":")
        .skip(1)
        .filter_map(|rest| Some(rest.split('"').nth(1)?.to_owned()))
        .collect()
}

/// The tables with rows in the fixtures' own H2 dump: keys in front of a `"rows"` that is not 0.
pub(super) fn tables_of_the_fixture(expected: &Path) -> Result<Vec<String>, Failure> {
    let json = std::fs::read_to_string(expected)
        .map_err(Failure::while_doing(format!("read {}", expected.display())))?;
    let mut tables = Vec::new();
    let mut name = None;
    for line in json.lines().map(str::trim) {
        if let Some(key) = line.strip_suffix(": {") {
            name = Some(key.trim_matches('"').to_owned());
        } else if let Some(rows) = line.strip_prefix("\"rows\": ")
            && rows.trim_end_matches(',') != "0"
        {
            tables.extend(name.take());
        }
    }
    Ok(tables)
}

/// Makes an empty database, or one with the schema and changelog that Metabase gives a fresh one.
pub(super) fn make(postgres: &TempPostgres, database: &str, schema: Option<&Path>) -> Result<(), Failure> {
    psql(
        &postgres.url("postgres"),
        &["-c", &format!("CREATE DATABASE {database}")],
    )?;
    if let Some(fixtures) = schema {
        for script in ["postgres-schema.sql", "postgres-changelog.sql"] {
            psql(
                &postgres.url(database),
                &["-f", &fixtures.join(script).to_string_lossy()],
            )?;
        }
    }
    // What was written before is not to be written out while somebody is measured.
    psql(&postgres.url(database), &["-c", "CHECKPOINT"]).map(drop)
}

/// Removes it: room for the next one.
pub(super) fn unmake(postgres: &TempPostgres, database: &str) -> Result<(), Failure> {
    psql(
        &postgres.url("postgres"),
        &["-c", &format!("DROP DATABASE {database} WITH (FORCE)")],
    )
    .map(drop)
}

/// Options of `pg_dump` that leave out the rows of all other tables.
pub(super) fn left_out(url: &str, tables: &[String]) -> Result<Vec<String>, Failure> {
    let all = psql(
        url,
        &[
            "-At",
            "-c",
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
        ],
    )?;
    Ok(all
        .lines()
        .filter(|table| !tables.iter().any(|carried| carried == table))
        .map(|table| format!("--exclude-table-data=public.{table}"))
        .collect())
}

/// The whole schema and the rows of `tables`, uncompressed, for `pg_restore`.
pub(super) fn archive(url: &str, tables: &[String], files: &Path) -> Result<PathBuf, Failure> {
    let archive = files.join("archive.pgdump");
    let program = machine::postgres_bin("pg_dump").unwrap_or_else(|| PathBuf::from("pg_dump"));
    let status = Command::new(program)
        .args(["-Fc", "-Z0", "-d", url])
        .args(left_out(url, tables)?)
        .arg("-f")
        .arg(&archive)
        .status()
        .map_err(Failure::while_doing("run pg_dump"))?;
    if status.success() {
        Ok(archive)
    } else {
        Err(Failure::Failed("pg_dump failed".to_owned()))
    }
}

/// Compiled beforehand: a compiler is no part of a copy. Returns the class path.
pub(super) fn compile(files: &Path, program: &str) -> Result<String, Failure> {
    let jars = [machine::h2_jar(), machine::postgres_jdbc_jar()];
    let mut class_path: Vec<String> = jars
        .into_iter()
        .flatten()
        .map(|jar| jar.to_string_lossy().into_owned())
        .collect();
    class_path.push(files.to_string_lossy().into_owned());
    let class_path = class_path.join(":");
    let status = Command::new("javac")
        .args(["-cp", &class_path, "-d"])
        .arg(files)
        .arg(workspace::root().join("xtask/bench").join(program))
        .status()
        .map_err(Failure::while_doing("run javac"))?;
    if status.success() {
        Ok(class_path)
    } else {
        Err(Failure::Failed(format!("{program} does not compile")))
    }
}

/// `postgres://user@host/db` as the JDBC driver wants it.
pub(super) fn jdbc_url(url: &str) -> String {
    let address = url
        .trim_start_matches("postgres://")
        .trim_start_matches("postgres@");
    format!("jdbc:postgresql://{address}?user=postgres")
}

/// Whatever a dump left in `files`: `NAME.mv.db` and what lies beside it.
pub(super) fn remove_dumps(files: &Path) {
    let entries = std::fs::read_dir(files).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_file()) {
        // Left over, it takes room and nothing else.
        let _ = std::fs::remove_file(path);
    }
}

fn psql(url: &str, args: &[&str]) -> Result<String, Failure> {
    let psql = machine::postgres_bin("psql").unwrap_or_else(|| PathBuf::from("psql"));
    let output = Command::new(psql)
        .args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", url])
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::while_doing("run psql"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::Failed(format!(
        "psql failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dump_reports_its_tables_and_only_those() {
        let json = r#"{"tables":[{"name":"core_user","rows":2},{"name": "setting","rows":0}],"left_out":[{"name":"query"}]}"#;
        assert_eq!(reported_tables(json), ["core_user", "setting"]);
        assert_eq!(reported_tables("{}"), Vec::<String>::new());
    }

    #[test]
    fn the_jdbc_url_names_the_same_database() {
        assert_eq!(
            jdbc_url("postgres://postgres@127.0.0.1:5433/mb"),
            "jdbc:postgresql://127.0.0.1:5433/mb?user=postgres"
        );
    }
}
