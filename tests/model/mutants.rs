//! Rules that are broken on purpose, each to be caught.

use metaferry_domain::event::{Event, Failure, FailureCause, ObjectCheck};
use metaferry_domain::state::RowStanding;
use metaferry_domain::{Effect, ErrorKind, IllegalEvent, MigrationState, Transition, next};
use metaferry_test_kit::explore::explore;

use crate::cluster::Cluster;
use crate::machine::{Next, TRUE};

/// More than any mutant needs.
const STATES_MAX: usize = 2_000_000;

/// What a node or a database does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    Nothing,
    /// Writes into the app DB prove no token.
    WritesUnfenced,
    /// A new lease comes with the token of the one before.
    TokenStays,
    /// Writes prove the token, and not that its term lasts.
    TermUnchecked,
    /// Who asks for the lease decides by its own clock whether the term is over.
    TakenByOwnClock,
    /// Effects are performed first, and announced with how they ended.
    ActsFirst,
    /// How an effect ended is not written.
    OutcomeUnwritten,
    /// A row that has ended is written all the same.
    RowUnguarded,
    /// Recovery looks for open rows, not for journals that are not settled.
    RecoversByRow,
    /// The lease goes back with the outcome.
    ReleasesEarly,
    /// The journal is marked as settled with the outcome.
    MarksEarly,
    /// Read-only is put back whoever has changed it.
    RestoresAlways,
    /// Read-only goes on over whatever somebody has set meanwhile.
    EngagesAlways,
    /// Another attempt opens any row.
    ReopensUnguarded,
    /// An entry goes in whatever number is taken.
    JournalUnnumbered,
    /// Who has got the lease does not look for what was left behind.
    OrphansOverlooked,
    /// Who inserts a row does not look for newer ones.
    RowsOverlooked,
    /// How the row ended before it was opened again is taken for the end of the new attempt.
    OldEndTakenForNew,
}

/// A mutant is let loose with just as many beginnings and faults as it needs.
fn caught(broken: Broken, next: Next, beginnings: u8, faults: u8) -> String {
    let mut cluster: Cluster<2> = Cluster::new(next, broken, beginnings, faults);
    match explore(&mut cluster, STATES_MAX) {
        Ok(explored) => format!("not at all: {explored:?}"),
        Err(wrong) => wrong.what,
    }
}

/// A rule of the cluster is broken, the domain is as it is.
fn by_cluster(broken: Broken, beginnings: u8, faults: u8) -> String {
    caught(broken, TRUE, beginnings, faults)
}

/// A rule of the domain is broken.
fn by_domain(next: Next, beginnings: u8, faults: u8) -> String {
    caught(Broken::Nothing, next, beginnings, faults)
}

type Answer = Result<Transition, IllegalEvent>;

/// What finds each broken rule of the nodes or of the database, with as many beginnings and faults as it takes.
#[rustfmt::skip]
#[test]
fn every_broken_rule_of_the_cluster_is_found() {
    let found = [
        (by_cluster(Broken::WritesUnfenced, 1, 1), "two active: who has no lease writes an entry"),
        (by_cluster(Broken::TokenStays, 1, 1), "two active: who has no lease writes an entry"),
        (by_cluster(Broken::TermUnchecked, 1, 1), "two active: who has no lease writes an entry"),
        (by_cluster(Broken::TakenByOwnClock, 1, 0), "two active: the lease is taken while it lasts"),
        (by_cluster(Broken::ActsFirst, 1, 0), "InsertRow is done before it is announced"),
        (by_cluster(Broken::OutcomeUnwritten, 1, 0), "the journal cannot be replayed any more"),
        (by_cluster(Broken::RowUnguarded, 1, 1), "a terminal state was left: the row goes from cancelled to setup"),
        (by_cluster(Broken::RecoversByRow, 1, 1), "it never comes to rest"),
        (by_cluster(Broken::ReleasesEarly, 1, 0), "the lease is given back before everything is settled"),
        (by_cluster(Broken::MarksEarly, 1, 1), "it never comes to rest"),
        (by_cluster(Broken::RestoresAlways, 1, 1), "settled, and read-only is not as before"),
        (by_cluster(Broken::EngagesAlways, 1, 1), "settled, and read-only is not as before"),
        (by_cluster(Broken::ReopensUnguarded, 3, 1), "a migration that is not the newest is tried again"),
        (by_cluster(Broken::JournalUnnumbered, 3, 1), "the journal cannot be replayed any more"),
        (by_cluster(Broken::OrphansOverlooked, 2, 1), "two migrations are not settled"),
        (by_cluster(Broken::RowsOverlooked, 2, 0), "of two starts both insert a row"),
        (by_cluster(Broken::OldEndTakenForNew, 2, 1), "settled, and a row that says otherwise is left"),
    ];
    for (number, (found, expected)) in found.into_iter().enumerate() {
        assert_eq!(found, expected, "the broken rule in line {number}");
    }
}

/// The same for rules of the domain, where it takes more than one node or a crash between two writes to break a promise.
#[rustfmt::skip]
#[test]
fn every_broken_rule_of_the_domain_is_found() {
    let found = [
        (by_domain(unverified, 1, 0), "done without a verified object"),
        (by_domain(swapped, 1, 0), "the switch goes before what it guards"),
        (by_domain(nothing_done, 1, 1), "the switch goes before what it guards"),
        (by_domain(scheduler_forgotten, 1, 1), "the switch goes before what it guards"),
        (by_domain(cancel_is_error, 1, 1), "settled, and a row that says otherwise is left"),
        (by_domain(error_first, 1, 1), "settled, and a row that says otherwise is left"),
    ];
    for (number, (found, expected)) in found.into_iter().enumerate() {
        assert_eq!(found, expected, "the broken rule in line {number}");
    }
}

/// `done` is written of an object that nobody looked at.
fn unverified(state: &MigrationState, event: &Event) -> Answer {
    let mut transition = next(state, event)?;
    if let MigrationState::Upload { at, check, .. } = &mut transition.state
        && *at == Effect::VerifyObject
    {
        (*at, *check) = (Effect::TellStore, Some(ObjectCheck::Verified));
    }
    Ok(transition)
}

/// The switch goes before read-only is put back.
fn swapped(state: &MigrationState, event: &Event) -> Answer {
    let mut transition = next(state, event)?;
    if let MigrationState::Dump { at, .. } = &mut transition.state
        && *at == Effect::RestoreReadOnly
    {
        *at = Effect::DisarmSwitch;
    }
    Ok(transition)
}

/// What failed is taken for not done: nothing is owed for it.
fn nothing_done(state: &MigrationState, event: &Event) -> Answer {
    let mut transition = next(state, event)?;
    if let (
        MigrationState::RollingBack { run, .. },
        Event::EffectFailed {
            effect: Effect::QuiesceScheduler,
            ..
        },
    ) = (&mut transition.state, event)
    {
        run.undo.scheduler = None;
    }
    Ok(transition)
}

/// A cancel in the row ends the attempt as an error.
fn cancel_is_error(state: &MigrationState, event: &Event) -> Answer {
    let mut transition = next(state, event)?;
    if let (
        MigrationState::Cancelled {
            run, cancelled_in, ..
        },
        Event::RowEndedOutside { .. },
    ) = (&transition.state, event)
    {
        transition.state = MigrationState::Error {
            run: run.clone(),
            failed_in: *cancelled_in,
            failure: Failure {
                cause: FailureCause::Crash(*cancelled_in),
                kind: ErrorKind::Unavailable,
                message: String::new(),
            },
        };
    }
    Ok(transition)
}

/// Whoever takes over does not know what was paused.
fn scheduler_forgotten(state: &MigrationState, event: &Event) -> Answer {
    let mut transition = next(state, event)?;
    if let (MigrationState::RollingBack { run, .. }, Event::Recovered { .. }) = (&mut transition.state, event)
    {
        run.undo.scheduler = None;
    }
    Ok(transition)
}

/// A failed attempt ends with its failure, whatever its row says.
fn error_first(state: &MigrationState, event: &Event) -> Answer {
    let mut transition = next(state, event)?;
    if let MigrationState::RollingBack { run, .. } = &mut transition.state {
        run.row.standing = RowStanding::Closed;
    }
    Ok(transition)
}
