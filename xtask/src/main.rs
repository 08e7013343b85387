//! `cargo xtask …`: the commands a contributor and the CI run.
//!
//! Responsible for reading the command line and for the exit code; each command lives in a module of its own.
//! Standard library only, so that it builds in a second on a machine that has nothing yet.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

mod bench;
mod ci;
mod failure;
mod layers;
mod machine;
mod runner;
mod servers;
mod test_command;
mod tidy;
mod workspace;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci                            everything a change must pass: fmt, tidy, layers, deny, clippy, docs,
                                simulation, tests
  test [-- FILTER…]             all tests, with the servers they need (started here, ended whatever happens)
  with-servers -- CMD [ARG…]    runs CMD with the same servers and variables
  layers                        who depends on whom, compared with the table
  tidy                          what no lint sees: long files, stray words, dead links
  bench dump [--scale S] […]    dump beside COPY, pg_dump and a JDBC copy, in one run (needs ../shared)
  bench load [--scale S]        H2 into an empty Postgres beside pg_restore -j 2 and a JDBC copy
  bench copy [--scale S]        every other pair of databases, beside pg_restore, pg_dump and mariadb-dump
  chaos [N | --matrix | --cut-off]
                                two that serve, one killed at a random moment, N rounds, 100 unless told; or every effect
                                with every fault; or three machines, one cut off from the database in each phase
  kill-load [N]                 load ended by SIGKILL at N random moments, 50 unless told, into all kinds of target
  pairs                         all nine pairs of Postgres, MariaDB and H2 there and back at scale 1
  model                         two nodes exhaustively with a fault more than in the tests: minutes, gigabytes
  simulate [N]                  N schedules of the orchestrator over fakes, 100000 unless told
  hot-read                      200 snapshots of an H2 file that Java writes meanwhile, in each of its modes
  quartz                        three nodes of a real Quartz, and every way in which a migration of theirs may end

exit: 0 done · 1 failed · 2 wrong usage · 3 something is missing on this machine";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                eprintln!("xtask: {message}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ci"] => ci::run(),
        ["test"] => test_command::run(&[]),
        ["test", "--", filters @ ..] | ["test", filters @ ..] => test_command::run(filters),
        ["with-servers", "--", command @ ..] if !command.is_empty() => test_command::with_servers(command),
        ["layers"] => layers::run(),
        ["tidy"] => tidy::run(),
        ["bench", "dump", options @ ..] => bench::dump(options),
        ["bench", "load", options @ ..] => bench::load::run(bench::load::Journey::Load, options),
        ["bench", "copy", options @ ..] => bench::load::run(bench::load::Journey::Copy, options),
        ["chaos"] => test_command::chaos("100"),
        ["chaos", "--matrix"] => test_command::matrix(),
        ["chaos", "--cut-off"] => test_command::cut_off(),
        ["chaos", rounds] => test_command::chaos(rounds),
        ["kill-load"] => test_command::kill_load("50"),
        ["pairs"] => test_command::pairs(),
        ["hot-read"] => test_command::hot_read(),
        ["model"] => test_command::model(),
        ["quartz"] => test_command::quartz(),
        ["simulate"] => test_command::simulate(test_command::SCHEDULES),
        ["simulate", schedules] => test_command::simulate(schedules),
        ["kill-load", kills] => test_command::kill_load(kills),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::Usage(USAGE.to_owned())),
    }
}
