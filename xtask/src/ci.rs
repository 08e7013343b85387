//! `cargo xtask ci`: every check in one command, cheapest first; runs on after a failure, so one run tells all.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::machine;
use crate::{layers, test_command, tidy, workspace};

/// The cargo-deny that deny.toml was written for.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

/// One check: its name and how it went.
struct Step {
    name: &'static str,
    took: Duration,
    result: Result<(), Failure>,
}

/// Runs all steps, then prints the summary and, last, the test runner's closing lines.
pub(crate) fn run() -> Result<(), Failure> {
    let mut closing_lines = Vec::new();
    let steps = [
        step("fmt", || cargo("fmt --all --check")),
        step("tidy", tidy::run),
        step("layers", layers::run),
        step("deny", deny),
        step("clippy", || {
            cargo("clippy --workspace --all-targets --keep-going -- -D warnings")
        }),
        step("released", released),
        step("docs", docs),
        step("simulation", || test_command::simulate(test_command::SCHEDULES)),
        step("tests", || test_command::tests(&[], &mut closing_lines)),
    ];
    println!();
    for Step { name, took, result } in &steps {
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("{name:<10} {verdict:<8} {:>7.1} s", took.as_secs_f64());
    }
    let failed: Vec<&str> = steps
        .iter()
        .filter(|step| step.result.is_err())
        .map(|step| step.name)
        .collect();
    let took: Duration = steps.iter().map(|step| step.took).sum();
    let result = if failed.is_empty() {
        println!(
            "ci: all {} steps passed in {:.0} s",
            steps.len(),
            took.as_secs_f64()
        );
        Ok(())
    } else {
        println!(
            "ci: FAILED: {} (of {} steps, {:.0} s)",
            failed.join(", "),
            steps.len(),
            took.as_secs_f64()
        );
        Err(Failure::Child(1))
    };
    for line in closing_lines {
        println!("{line}");
    }
    result
}

fn step(name: &'static str, check: impl FnOnce() -> Result<(), Failure>) -> Step {
    println!("\n== {name}");
    let start = Instant::now();
    let result = check();
    let took = start.elapsed();
    if let Err(failure) = &result
        && let Some(message) = failure.message()
    {
        eprintln!("{message}");
    }
    println!(
        "== {name}: {} ({:.1} s)",
        if result.is_ok() { "ok" } else { "FAILED" },
        took.as_secs_f64()
    );
    Step { name, took, result }
}

/// A cargo command, as one would type it.
fn cargo(words: &str) -> Result<(), Failure> {
    finish(workspace::cargo().args(words.split_whitespace()))
}

/// The program without debug assertions, as it is released: code that only they bring in (faults on purpose) is not there,
/// and nothing may need it. Not `--release`, which would build every dependency a second time.
fn released() -> Result<(), Failure> {
    let mut clippy = workspace::cargo();
    clippy.args(["clippy", "--package", "metaferry-server"]);
    let crates = workspace::root().join("crates");
    let listed = std::fs::read_dir(&crates).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for folder in listed.map_err(Failure::while_doing(format!("list {}", crates.display())))? {
        let package = format!("metaferry-{}", folder.file_name().display());
        clippy.args([
            "--config",
            &format!("profile.dev.package.{package}.debug-assertions=false"),
        ]);
    }
    finish(clippy.args(["--", "-D", "warnings"]))
}

fn docs() -> Result<(), Failure> {
    // Private items are left out: their links are for readers of the code.
    finish(
        workspace::cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Bans, licences and sources. Advisories are left out: their database cannot be reached from everywhere.
fn deny() -> Result<(), Failure> {
    if machine::on_path("cargo-deny").is_none() && !cargo_home_has("cargo-deny") {
        println!("installing {CARGO_DENY}; this takes a few minutes, once");
        cargo(&format!("install --locked {CARGO_DENY}"))?;
    }
    // An owner that does not use what it owns today is no fault.
    cargo("deny --locked check --hide-inclusion-graph --allow unused-wrapper bans licenses sources")
}

fn cargo_home_has(program: &str) -> bool {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let home =
        home.or_else(|| std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cargo")));
    home.is_some_and(|home| home.join("bin").join(program).is_file())
}

fn finish(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(Failure::while_doing("run cargo"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Child(1))
    }
}
