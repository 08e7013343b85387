//! `cargo xtask test` and `with-servers`: the test runner, or any command, with the servers around it.

use std::process::Command;

use crate::failure::Failure;
use crate::runner::{self, Ended};
use crate::servers::Servers;
use crate::workspace;

/// `cargo xtask test [-- FILTER…]`; the runner's closing lines are the last thing printed.
pub(crate) fn run(filters: &[&str]) -> Result<(), Failure> {
    let mut closing_lines = Vec::new();
    let result = tests(filters, &mut closing_lines);
    for line in closing_lines {
        println!("{line}");
    }
    result
}

/// Runs the tests and hands out the runner's closing lines, whatever the result.
pub(crate) fn tests(filters: &[&str], closing_lines: &mut Vec<String>) -> Result<(), Failure> {
    let servers = Servers::start()?;
    if workspace::shared().is_none() {
        eprintln!("xtask: no ../shared (METAFERRY_SHARED): the tests on its fixtures will say SKIPPED");
    }
    // Documentation examples first: the main runner's closing line is to be the last one.
    let docs = match filters {
        [] => Some(watched(
            &servers,
            workspace::cargo().args(["test", "--workspace", "--doc"]),
        )?),
        _ => None,
    };
    let main = watched(&servers, &mut main_runner(filters))?;
    for ended in docs.iter().chain([&main]) {
        closing_lines.extend(ended.closing_lines.iter().cloned());
    }
    docs.map_or(Ok(()), |docs| docs.check())?;
    main.check()
}

/// `cargo xtask kill-load [N]`: the tests that end a load by SIGKILL, with so many kills each.
pub(crate) fn kill_load(kills: &str) -> Result<(), Failure> {
    check_number("kill-load", kills)?;
    long_form(WHOLE, "::killed::", "METAFERRY_TEST_KILLS", kills)
}

/// `cargo xtask chaos [N]`: so many rounds on each server in which one of two that serve is killed.
pub(crate) fn chaos(rounds: &str) -> Result<(), Failure> {
    check_number("chaos", rounds)?;
    long_form(WHOLE, "chaos::rounds::", "METAFERRY_TEST_CHAOS_ROUNDS", rounds)
}

/// `cargo xtask chaos --matrix`: every effect with every fault.
pub(crate) fn matrix() -> Result<(), Failure> {
    long_form(WHOLE, "chaos::matrix::", "METAFERRY_TEST_MATRIX", "all")
}

/// `cargo xtask chaos --cut-off`: three machines, one of them cut off from the database in each phase and each way.
pub(crate) fn cut_off() -> Result<(), Failure> {
    long_form(WHOLE, "chaos::cut_off::", "METAFERRY_TEST_CUT_OFF", "all")
}

fn check_number(command: &str, word: &str) -> Result<(), Failure> {
    match word.parse::<u32>() {
        Ok(number) if number > 0 => Ok(()),
        _ => Err(Failure::Usage(format!("{command} takes how often, a number"))),
    }
}

/// `cargo xtask pairs`: all nine pairs of databases, there and back, at scale 1.
pub(crate) fn pairs() -> Result<(), Failure> {
    long_form(WHOLE, "::pairs::large", "METAFERRY_TEST_ALL_PAIRS", "1")
}

/// `cargo xtask hot-read`: 200 snapshots of an H2 file in use, in each of its modes.
pub(crate) fn hot_read() -> Result<(), Failure> {
    let test = ["metaferry-h2-file", "hot_read"];
    long_form(test, "", "METAFERRY_TEST_HOT_SNAPSHOTS", "200")
}

/// `cargo xtask model`: the model of two nodes, optimised and with one fault more.
pub(crate) fn model() -> Result<(), Failure> {
    let words = "--package workspace-tests --test model --config profile.dev.package.workspace-tests.opt-level=3 \
                 -- --nocapture two_nodes";
    without_servers(words, "METAFERRY_MODEL_FAULTS", "1", "the model breaks a promise")
}

/// Schedules that the CI simulates.
pub(crate) const SCHEDULES: &str = "100000";

/// `cargo xtask simulate [N]`: so many schedules of the orchestrator over fakes, built to be fast.
pub(crate) fn simulate(schedules: &str) -> Result<(), Failure> {
    if !schedules.parse::<u64>().is_ok_and(|schedules| schedules > 0) {
        return Err(Failure::Usage("simulate takes how many, a number".to_owned()));
    }
    let words =
        "--quiet --profile simulation --package workspace-simulation --test simulation -- --nocapture";
    without_servers(
        words,
        "METAFERRY_SIMULATION_RUNS",
        schedules,
        "the simulation breaks a promise",
    )
}

/// One test binary that needs no server, with a variable that makes it longer.
fn without_servers(words: &str, variable: &str, value: &str, broken: &str) -> Result<(), Failure> {
    let status = workspace::cargo()
        .arg("test")
        .args(words.split_whitespace())
        .env(variable, value)
        .status()
        .map_err(Failure::while_doing("run cargo test"))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Failed(broken.to_owned()))
    }
}

/// `cargo xtask quartz`: a real cluster of schedulers, and every way in which a migration may end.
pub(crate) fn quartz() -> Result<(), Failure> {
    long_form(WHOLE, "quartz::", "METAFERRY_TEST_QUARTZ", "1")
}

/// Package and test binary of the whole program.
const WHOLE: [&str; 2] = ["workspace-tests", "it"];

/// Tests in the form that takes too long for every run, one after the other.
fn long_form([package, test]: [&str; 2], filter: &str, variable: &str, value: &str) -> Result<(), Failure> {
    let servers = Servers::start()?;
    let build = workspace::cargo()
        .args(["build", "--quiet", "--package", "metaferry-server"])
        .status();
    if !build.map_err(Failure::while_doing("run cargo build"))?.success() {
        return Err(Failure::Failed("metaferry does not build".to_owned()));
    }
    let mut tests = workspace::cargo();
    tests
        .args(["test", "--package", package, "--test", test, "--"])
        .args(["--nocapture", "--test-threads=1", filter])
        .env(variable, value);
    watched(&servers, &mut tests)?.check()
}

/// `cargo xtask with-servers -- CMD…`; the command's own exit code is passed on.
pub(crate) fn with_servers(command: &[&str]) -> Result<(), Failure> {
    let Some((program, args)) = command.split_first() else {
        return Err(Failure::Usage(
            "with-servers needs a command after `--`".to_owned(),
        ));
    };
    let servers = Servers::start()?;
    let mut command = Command::new(program);
    servers.lend_to(command.args(args));
    let mut child = command
        .spawn()
        .map_err(Failure::while_doing(format!("start {program}")))?;
    servers.watch_child(Some(child.id()));
    let status = child
        .wait()
        .map_err(Failure::while_doing(format!("wait for {program}")))?;
    servers.watch_child(None);
    Ended {
        status,
        closing_lines: Vec::new(),
    }
    .check()
}

fn watched(servers: &Servers, command: &mut Command) -> Result<Ended, Failure> {
    servers.lend_to(command);
    let ended = runner::run(command, |child| servers.watch_child(Some(child.id())));
    servers.watch_child(None);
    ended
}

/// nextest where it is installed, else cargo's own runner. Filters are the runner's own; for cargo's they are names.
fn main_runner(filters: &[&str]) -> Command {
    let mut cargo = workspace::cargo();
    let names_packages = filters
        .iter()
        .any(|word| word.starts_with("-p") || word.starts_with("--package"));
    let scope: &[&str] = if names_packages { &[] } else { &["--workspace"] };
    if has_nextest() {
        cargo
            .args(["nextest", "run", "--color", runner::color()])
            // Else what a test skips is never seen; the rest of it is left out again on the way.
            .args(["--success-output", "immediate"])
            .args(scope)
            .args(filters);
    } else {
        cargo
            .args(["test", "--no-fail-fast", "--all-targets"])
            .args(scope);
        if filters.iter().any(|word| word.starts_with('-')) {
            cargo.args(filters);
        } else {
            cargo.arg("--").args(filters);
        }
    }
    cargo
}

fn has_nextest() -> bool {
    workspace::cargo()
        .args(["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
