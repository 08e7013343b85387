//! `cargo xtask bench load` and `bench copy`: our load of an H2 file into an empty Postgres beside `pg_restore -j 2` of the
//! same tables and a JDBC copy, and our copy from Postgres to Postgres beside `pg_dump | pg_restore`, in one run; `bench/pairs.rs` has the other pairs.
//!
//! The measure is a ratio: `pg_restore -j 2` is 1. Each contender gets a database of its own, made beforehand.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{self, Cost};
use super::{NEEDS, app_db, build_metaferry, pairs, postgres_client, print_table, tables};
use crate::failure::Failure;
use crate::machine::{self, Need};
use crate::servers::TempPostgres;
use crate::workspace;

const USAGE: &str = "usage: cargo xtask bench load|copy [--scale S] [--binary FILE]      (S: 1 = 125 thousand rows, 110 MB of text)";
/// The bar of issue 3: load into an empty database, in units of `pg_restore -j 2`, judged from scale 10 on.
const WALL_RATIO_MAX: f64 = 1.3;
/// Promise P9, in MiB.
const PEAK_MIB_MAX: f64 = 128.0;
/// Below it, starting a process weighs more than moving rows.
const JUDGED_FROM_SCALE: f64 = 10.0;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journey {
    /// From an H2 file.
    Load,
    /// From Postgres.
    Copy,
}

/// One way to fill a database.
struct Contender {
    name: &'static str,
    command: Command,
    database: &'static str,
    /// Does it want the schema to be there?
    schema: bool,
}

/// `cargo xtask bench load` and `bench copy`.
pub(crate) fn run(journey: Journey, options: &[&str]) -> Result<(), Failure> {
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
    match journey {
        Journey::Load => {}
        Journey::Copy => machine::provide(&[Need::MariaDbServer])?,
    }
    let metaferry = binary.map_or_else(build_metaferry, Ok)?;
    let postgres = TempPostgres::start()?;
    let files = postgres.folder().join("bench");
    std::fs::create_dir(&files).map_err(Failure::while_doing(format!("create {}", files.display())))?;
    app_db::fill(&postgres, &fixtures, scale, &files)?;
    let url = postgres.url("mb");
    let carried = tables(&metaferry, &url, &fixtures, &files)?;
    let size = app_db::size(&url, &carried)?;
    let archive = app_db::archive(&url, &carried, &files)?;
    let dump = files.join("dump.mv.db");
    let dumped = Command::new(&metaferry)
        .args(["dump", "--no-verify", "--from", &url, "--to"])
        .arg(&dump)
        .output()
        .map_err(Failure::while_doing(format!("run {}", metaferry.display())))?;
    if !dumped.status.success() {
        return Err(Failure::Failed(format!(
            "metaferry dump failed: {}",
            String::from_utf8_lossy(&dumped.stderr).trim()
        )));
    }

    let mut rows: Vec<(&'static str, Cost)> = Vec::new();
    for contender in contenders(journey, &metaferry, &postgres, &carried, &archive, &dump, &files)? {
        eprintln!("bench: {}", contender.name);
        let schema = contender.schema.then_some(fixtures.as_path());
        app_db::make(&postgres, contender.database, schema)?;
        match measure::run(contender.command, None, &postgres) {
            Ok(cost) => rows.push((contender.name, cost)),
            // Its own error is on the terminal; the others are still worth seeing.
            Err(Failure::Child(code)) => println!("{}: failed with exit code {code}", contender.name),
            Err(other) => return Err(other),
        }
        app_db::unmake(&postgres, contender.database)?;
    }
    match journey {
        Journey::Load => {}
        Journey::Copy => pairs::run(&metaferry, &postgres, &dump, &mut rows)?,
    }
    println!("\nscale {scale}: {} tables, {size}", carried.len());
    print_table(&rows);
    judge(journey, &rows, factor)
}

fn contenders(
    journey: Journey,
    metaferry: &Path,
    postgres: &TempPostgres,
    tables: &[String],
    archive: &Path,
    dump: &Path,
    files: &Path,
) -> Result<Vec<Contender>, Failure> {
    let mut restore = postgres_client("pg_restore");
    restore
        .args(["-j", "2", "-d", &postgres.url("by_restore")])
        .arg(archive);
    let mut contenders = vec![Contender {
        name: "pg_restore -j 2",
        command: restore,
        database: "by_restore",
        schema: false,
    }];
    match journey {
        Journey::Load => {
            let class_path = app_db::compile(files, "JdbcLoad.java")?;
            let mut java = Command::new("java");
            java.args(["-Xmx4g", "-cp"]).arg(class_path).arg("JdbcLoad");
            let name = dump.with_extension("").with_extension("");
            java.arg(name)
                .arg(app_db::jdbc_url(&postgres.url("by_jdbc")))
                .args(tables);
            contenders.push(Contender {
                name: "JDBC copy out of H2",
                command: java,
                database: "by_jdbc",
                schema: true,
            });
        }
        Journey::Copy => {
            let from = postgres.url("mb");
            let left_out = app_db::left_out(&from, tables)?;
            let mut pipe = Command::new("sh");
            let dump = postgres_client("pg_dump");
            let restore = postgres_client("pg_restore");
            pipe.arg("-c").arg(format!(
                "'{}' -Fc -Z0 -d '{from}' {} | '{}' -d '{}'",
                dump.get_program().to_string_lossy(),
                left_out.join(" "),
                restore.get_program().to_string_lossy(),
                postgres.url("by_pipe")
            ));
            contenders.push(Contender {
                name: "pg_dump | pg_restore",
                command: pipe,
                database: "by_pipe",
                schema: false,
            });
        }
    }
    for (name, verify, database) in [
        ("metaferry --no-verify", Some("--no-verify"), "by_us_once"),
        ("metaferry (re-read)", None, "by_us_twice"),
    ] {
        let mut command = Command::new(metaferry);
        match journey {
            Journey::Load => command.args(["load", "--from"]).arg(dump),
            Journey::Copy => command.args(["copy", "--from", &postgres.url("mb")]),
        };
        command.args(["--to", &postgres.url(database)]).args(verify);
        contenders.push(Contender {
            name,
            command,
            database,
            schema: false,
        });
    }
    Ok(contenders)
}

/// Says whether the bar is met; below the scale where it counts, only says. A copy from Postgres also reads there: its
/// measure is `pg_dump | pg_restore`, without a bar.
fn judge(journey: Journey, rows: &[(&str, Cost)], scale: f64) -> Result<(), Failure> {
    let (base, ratio_max) = match journey {
        Journey::Load => ("pg_restore -j 2", WALL_RATIO_MAX),
        Journey::Copy => ("pg_dump | pg_restore", f64::INFINITY),
    };
    let of = |wanted: &str| rows.iter().find(|(name, _)| *name == wanted);
    let (Some((_, theirs)), Some((_, ours))) = (of(base), of("metaferry (re-read)")) else {
        return Err(Failure::Failed(format!(
            "no ratio: {base} or metaferry did not run"
        )));
    };
    let ratio = ours.wall_seconds / theirs.wall_seconds;
    let peak = rows
        .iter()
        .filter(|(name, _)| name.starts_with("metaferry"))
        .map(|(_, cost)| cost.peak_mib);
    let peak = peak.fold(0.0, f64::max);
    let met = ratio <= ratio_max && peak <= PEAK_MIB_MAX;
    println!(
        "bar: wall at most {ratio_max} x {base}, peak at most {PEAK_MIB_MAX} MiB: {ratio:.2} x, {peak:.1} MiB: {}",
        if met { "met" } else { "MISSED" }
    );
    if met || scale < JUDGED_FROM_SCALE {
        Ok(())
    } else {
        Err(Failure::Failed("the bar is missed".to_owned()))
    }
}
