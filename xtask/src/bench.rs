//! `cargo xtask bench dump`: our dump beside what else can read the same tables, in one run on one machine.
//!
//! The measure is a ratio: binary `COPY` of the tables over one connection, read and dropped, is 1. Here is the list of
//! contenders; the other direction's are in `bench/load.rs`; `bench/app_db.rs` makes the database, `bench/measure.rs` runs one command and says what it cost.

mod app_db;
pub(crate) mod load;
mod measure;
mod pairs;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::machine::{self, Need};
use crate::servers::TempPostgres;
use crate::workspace;
use measure::Cost;

const USAGE: &str =
    "usage: cargo xtask bench dump [--scale S]      (S: 1 = 125 thousand rows, 110 MB of text)";
/// The bar: dump without the re-reading pass, in units of binary COPY, judged from scale 10 on.
const WALL_RATIO_MAX: f64 = 2.0;
/// Promise P9, in MiB.
const PEAK_MIB_MAX: f64 = 128.0;
/// Below it, starting a process weighs more than moving rows.
const JUDGED_FROM_SCALE: f64 = 10.0;

const NEEDS: &[Need] = &[
    Need::PostgresServer,
    Need::Javac,
    Need::H2Jar,
    Need::PostgresJdbcJar,
    Need::Python,
    Need::GnuTime,
];

/// One way to read the tables.
struct Contender {
    name: &'static str,
    command: Command,
    /// What it writes, to be weighed.
    file: Option<PathBuf>,
}

/// `cargo xtask bench dump`.
pub(crate) fn dump(options: &[&str]) -> Result<(), Failure> {
    let (mut scale, mut binary) = ("1", None);
    for pair in options.chunks(2) {
        match pair {
            ["--scale", value] => scale = value,
            ["--binary", file] => binary = Some(PathBuf::from(file)),
            _ => return Err(Failure::Usage(USAGE.to_owned())),
        }
    }
    let factor: f64 = scale.parse().map_err(|_| Failure::Usage(USAGE.to_owned()))?;
    let fixtures = workspace::shared().map(|shared| shared.join("fixtures/appdb"));
    let fixtures = fixtures.ok_or_else(|| {
        Failure::Missing(
            "the benchmark's database comes from ../shared/fixtures/appdb (METAFERRY_SHARED)".to_owned(),
        )
    })?;
    machine::provide(NEEDS)?;
    let metaferry = binary.map_or_else(build_metaferry, Ok)?;
    let postgres = TempPostgres::start()?;
    let files = postgres.folder().join("bench");
    std::fs::create_dir(&files).map_err(Failure::while_doing(format!("create {}", files.display())))?;
    app_db::fill(&postgres, &fixtures, scale, &files)?;

    let url = postgres.url("mb");
    let tables = tables(&metaferry, &url, &fixtures, &files)?;
    let size = app_db::size(&url, &tables)?;
    let mut rows: Vec<(&'static str, Cost)> = Vec::new();
    for contender in contenders(&metaferry, &url, &tables, &fixtures, &files)? {
        eprintln!("bench: {}", contender.name);
        match measure::run(contender.command, contender.file.as_deref(), &postgres) {
            Ok(cost) => rows.push((contender.name, cost)),
            // Its own error is on the terminal; the others are still worth seeing.
            Err(Failure::Child(code)) => println!("{}: failed with exit code {code}", contender.name),
            Err(other) => return Err(other),
        }
    }
    println!("\nscale {scale}: {} tables, {size}", tables.len());
    print_table(&rows);
    judge(&rows, factor)
}

/// The release binary, which is what users run.
fn build_metaferry() -> Result<PathBuf, Failure> {
    let status = workspace::cargo()
        .args(["build", "--release", "--quiet", "--package", "metaferry-server"])
        .status();
    if !status.map_err(Failure::while_doing("run cargo build"))?.success() {
        return Err(Failure::Failed("metaferry does not build".to_owned()));
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace::root().join("target"), PathBuf::from);
    Ok(target.join("release/metaferry"))
}

/// The tables that our dump carries, by its own report; it also warms the caches for everybody.
fn tables(metaferry: &Path, url: &str, fixtures: &Path, files: &Path) -> Result<Vec<String>, Failure> {
    let file = files.join("first.mv.db");
    let output = Command::new(metaferry)
        .args(["dump", "--json", "--no-verify", "--from", url, "--to"])
        .arg(&file)
        .output()
        .map_err(Failure::while_doing(format!("run {}", metaferry.display())))?;
    app_db::remove_dumps(files);
    let reported = app_db::reported_tables(&String::from_utf8_lossy(&output.stdout));
    if output.status.success() && !reported.is_empty() {
        return Ok(reported);
    }
    println!(
        "metaferry dump failed ({}): {}\nthe others read the tables that the fixtures' own dump carries",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    app_db::tables_of_the_fixture(&fixtures.join("expected-s001-h2.json"))
}

fn contenders(
    metaferry: &Path,
    url: &str,
    tables: &[String],
    fixtures: &Path,
    files: &Path,
) -> Result<Vec<Contender>, Failure> {
    let script = files.join("copy.sql");
    let copies: String = tables
        .iter()
        .map(|table| format!("\\copy public.\"{table}\" to '/dev/null' with (format binary)\n"))
        .collect();
    std::fs::write(&script, copies).map_err(Failure::while_doing("write the COPY script"))?;
    let mut copy = postgres_client("psql");
    copy.args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", url, "-f"])
        .arg(&script);
    let mut contenders = vec![Contender {
        name: "COPY (FORMAT binary) to nowhere",
        command: copy,
        file: None,
    }];

    for (name, compression, file) in [
        ("pg_dump -Fc -Z0", Some("-Z0"), files.join("plain.pgdump")),
        ("pg_dump -Fc", None, files.join("packed.pgdump")),
    ] {
        let mut command = postgres_client("pg_dump");
        command
            .args(["-Fc", "-d", url])
            .args(compression)
            .arg("-f")
            .arg(&file);
        command.args(
            tables
                .iter()
                .flat_map(|table| ["-t".to_owned(), format!("public.\"{table}\"")]),
        );
        contenders.push(Contender {
            name,
            command,
            file: Some(file),
        });
    }

    let file = files.join("jdbc");
    let classes = app_db::compile(files, "JdbcCopy.java")?;
    let mut command = Command::new("java");
    command.args(["-Xmx4g", "-cp"]).arg(classes).arg("JdbcCopy");
    command
        .arg(app_db::jdbc_url(url))
        .arg(&file)
        .arg(fixtures.join("h2-schema.sql"))
        .args(tables);
    contenders.push(Contender {
        name: "JDBC copy into H2",
        command,
        file: Some(files.join("jdbc.mv.db")),
    });

    for (name, verify, file) in [
        (
            "metaferry dump --no-verify",
            Some("--no-verify"),
            files.join("once.mv.db"),
        ),
        ("metaferry dump (re-read)", None, files.join("twice.mv.db")),
    ] {
        let mut command = Command::new(metaferry);
        command
            .args(["dump", "--from", url])
            .args(verify)
            .arg("--to")
            .arg(&file);
        contenders.push(Contender {
            name,
            command,
            file: Some(file),
        });
    }
    Ok(contenders)
}

fn postgres_client(name: &str) -> Command {
    Command::new(machine::postgres_bin(name).unwrap_or_else(|| PathBuf::from(name)))
}

fn print_table(rows: &[(&str, Cost)]) {
    let base = rows.first().map_or(f64::NAN, |(_, cost)| cost.wall_seconds);
    println!(
        "{:<33} {:>8} {:>7} {:>10} {:>10} {:>9} {:>9}",
        "", "wall s", "ratio", "CPU s", "server CPU", "peak MiB", "file MiB"
    );
    for (name, cost) in rows {
        let file = cost
            .file_mib
            .map_or_else(|| "-".to_owned(), |mib| format!("{mib:.1}"));
        println!(
            "{name:<33} {:>8.2} {:>7.2} {:>10.2} {:>10.2} {:>9.1} {file:>9}",
            cost.wall_seconds,
            cost.wall_seconds / base,
            cost.cpu_seconds,
            cost.server_cpu_seconds,
            cost.peak_mib,
        );
    }
}

/// Says whether the bar is met; below the scale where it counts, only says.
fn judge(rows: &[(&str, Cost)], scale: f64) -> Result<(), Failure> {
    let ours = rows.iter().find(|(name, _)| name.contains("--no-verify"));
    let (Some((_, base)), Some((_, ours))) = (rows.first(), ours) else {
        return Err(Failure::Failed(
            "no ratio: binary COPY or metaferry dump did not run".to_owned(),
        ));
    };
    let ratio = ours.wall_seconds / base.wall_seconds;
    let peak = rows
        .iter()
        .filter(|(name, _)| name.starts_with("metaferry"))
        .map(|(_, cost)| cost.peak_mib);
    let peak = peak.fold(0.0, f64::max);
    let met = ratio <= WALL_RATIO_MAX && peak <= PEAK_MIB_MAX;
    println!(
        "bar: wall at most {WALL_RATIO_MAX} x COPY, peak at most {PEAK_MIB_MAX} MiB: {ratio:.2} x, {peak:.1} MiB: {}",
        if met { "met" } else { "MISSED" }
    );
    if met || scale < JUDGED_FROM_SCALE {
        Ok(())
    } else {
        Err(Failure::Failed("the bar is missed".to_owned()))
    }
}
