//! A real Quartz: three nodes that fire jobs all the time while the program, a process of its own, migrates their app DB.
//! While the snapshot is taken no job begins on any node, and however the migration ends every schedule fires again: none
//! is lost or doubled beyond its misfire rule.

mod claimed;
mod cluster;
mod judge;
mod scene;
mod shared_app_db;

use cluster::{Claims, Cluster, OF_METABASE, Pace};
use judge::{Rules, none_is_lost_or_doubled};
use scene::{End, Killed, Scene};
use shared_app_db::{InMaria, SharedAppDb, postgres};

use crate::api::network::Network;
use crate::mariadb::Maria;

/// Check-ins more often than Metabase's.
const QUICK: Pace = Pace {
    check_in_ms: 2_000,
    ..OF_METABASE
};
/// Misfires as well, which take a quarter of an hour at Metabase's.
const MISFIRING: Pace = Pace {
    misfire_ms: 2_500,
    claims: Claims::UnderTheLock,
    ..QUICK
};

/// One migration.
type Trial = (End, Killed);

#[test]
fn schedules_of_a_real_cluster_stand_still_and_fire_again_postgres() {
    let network = Network::default();
    let Some(world) = postgres(&network) else { return };
    tried(
        &world,
        &network,
        QUICK,
        &[(End::Done, Killed::No), (End::Left, Killed::Idle)],
    );
}

#[test]
fn schedules_of_a_real_cluster_stand_still_and_misfire_by_their_rules_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let network = Network::default();
    tried(
        &InMaria::new(&maria, &network),
        &network,
        MISFIRING,
        &[(End::Done, Killed::No)],
    );
}

#[test]
fn what_a_node_has_claimed_fires_once_postgres() {
    let network = Network::default();
    let Some(world) = postgres(&network) else { return };
    claimed::fires_once(&world, QUICK);
}

#[test]
fn what_a_node_has_claimed_fires_once_mariadb() {
    let Some(maria) = Maria::new() else { return };
    let network = Network::default();
    claimed::fires_once(&InMaria::new(&maria, &network), QUICK);
}

/// However a migration ends; by `cargo xtask quartz`.
const WHOLE: [Trial; 7] = [
    (End::Done, Killed::No),
    (End::Cancelled, Killed::No),
    (End::Failed, Killed::No),
    (End::Recovered, Killed::No),
    (End::UndoneBySql, Killed::No),
    (End::Left, Killed::No),
    (End::Done, Killed::AtWork),
];

#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn is_whole() -> bool {
    let asked = std::env::var_os("METAFERRY_TEST_QUARTZ").is_some();
    if !asked {
        eprintln!("SKIPPED: every ending over a real Quartz is tried by `cargo xtask quartz`");
    }
    asked
}

#[test]
fn every_ending_over_a_real_cluster_postgres() {
    let network = Network::default();
    for pace in [OF_METABASE, MISFIRING] {
        let Some(world) = is_whole().then(|| postgres(&network)).flatten() else {
            return;
        };
        tried(&world, &network, pace, &WHOLE);
    }
}

/// There is no dead man's switch.
#[test]
fn every_ending_over_a_real_cluster_mariadb() {
    let trials: Vec<Trial> = WHOLE.into_iter().filter(|(end, _)| *end != End::Left).collect();
    for pace in [OF_METABASE, MISFIRING] {
        let Some(maria) = is_whole().then(Maria::new).flatten() else {
            return;
        };
        let network = Network::default();
        tried(&InMaria::new(&maria, &network), &network, pace, &trials);
    }
}

#[expect(clippy::print_stderr, reason = "the times are news")]
fn tried(place: &dyn SharedAppDb, network: &Network, pace: Pace, trials: &[Trial]) {
    let Some(cluster) = Cluster::begin(&place.properties(), pace) else {
        return;
    };
    let mut scene = Scene::new(place, network, cluster);
    assert_eq!(
        scene.paused,
        ["asleep", "asleep.one", "simple.stopped"],
        "what the test pauses itself"
    );
    for (end, killed) in trials {
        scene.ends(*end, *killed);
    }
    let firings = scene.cluster.firings();
    let rules = Rules {
        pace,
        still: &scene.still,
        killed: scene.killed,
    };
    let of_quartz = none_is_lost_or_doubled(&firings, &rules);
    if pace.misfire_ms < OF_METABASE.misfire_ms {
        assert!(
            of_quartz.misfired > 0,
            "the pause was too short to prove anything"
        );
    }
    eprintln!(
        "{} runs of {} schedules; by Quartz itself: {of_quartz:?}",
        firings.len(),
        scene.schedules().len()
    );
}
