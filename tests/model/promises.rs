//! What must never be broken: judged from what is durable and from who really holds the lease, never from what a node
//! believes.

use metaferry_domain::Effect;
use metaferry_domain::migration::Phase;

use crate::cluster::State;
use crate::machine::{EffectId, Happened, Machine, StateId};
use crate::world::{
    Jobs, Made, Maker, Migration, Object, Row, Setting, Stillness, Switch, Term, Told, Upload, World,
};

/// Only who holds the lease, while its term lasts, changes anything in the app DB.
pub(crate) fn lawful<const N: usize>(state: &State<N>, at: usize, what: &str) -> Result<(), String> {
    let lease = state.world.lease;
    if lease.term == Term::Lasts && lease.given == state.nodes[at].given {
        return Ok(());
    }
    Err(format!("two active: who has no lease {what}"))
}

/// Nobody takes the lease while its term lasts.
pub(crate) fn of_taking<const N: usize>(before: &State<N>, after: &State<N>) -> Result<(), String> {
    let (was, is) = (before.world.lease, after.world.lease);
    if was.term == Term::Lasts && was.given != is.given {
        return Err("two active: the lease is taken while it lasts".to_owned());
    }
    Ok(())
}

/// Whoever has written an entry stands where the journal leads.
pub(crate) fn of_memory(journal: StateId, memory: StateId) -> Result<(), String> {
    if journal == memory {
        return Ok(());
    }
    Err("the journal leads elsewhere than its writer believes".to_owned())
}

/// What one outside half may do.
pub(crate) fn of_an_act<const N: usize>(
    machine: &Machine,
    before: &State<N>,
    after: &State<N>,
    at: usize,
    effect: Effect,
) -> Result<(), String> {
    if before.world == after.world {
        return Ok(());
    }
    let slot = before.nodes[at].slot();
    if effect == Effect::AcquireLease {
        return of_taking(before, after);
    }
    let is_holder = lawful(before, at, "").is_ok();
    if app_db(before.world, effect) != app_db(after.world, effect) {
        lawful(before, at, &format!("does {effect}"))?;
    }
    let journal = before.world.of[slot].journal;
    let announced =
        journal != StateId::NONE && machine.facts(journal).running & 1 << EffectId::of(effect).0 != 0;
    if is_holder && !announced {
        return Err(format!("{effect} is done before it is announced"));
    }
    of_rows(before, after, slot, effect)?;
    let was = before.world;
    if matches!(effect, Effect::ReadOnlyOn | Effect::QuiesceScheduler) && !was.switch.armed {
        return Err("Metabase is changed, and there is no switch".to_owned());
    }
    let changed = was.setting == Setting::Ours || was.jobs == Jobs::Paused;
    if effect == Effect::DisarmSwitch && was.switch.armed && changed {
        return Err("the switch goes before what it guards".to_owned());
    }
    Ok(())
}

/// What of the world is in the app DB, but for the lease.
fn app_db(
    world: World,
    effect: Effect,
) -> (Setting, Jobs, Switch, [Row; 2], Option<[crate::world::Mark; 2]>) {
    let rows = world.of.map(|migration| migration.row);
    let marks = (effect == Effect::ReleaseLease).then(|| world.of.map(|migration| migration.mark));
    (world.setting, world.jobs, world.switch, rows, marks)
}

fn of_rows<const N: usize>(
    before: &State<N>,
    after: &State<N>,
    slot: usize,
    effect: Effect,
) -> Result<(), String> {
    let (was, is) = (before.world.of[slot].row, after.world.of[slot].row);
    if was != is
        && let Some(said) = was.says.filter(|phase| phase.is_terminal())
    {
        let again = effect == Effect::InsertRow
            && matches!(said, Phase::Error | Phase::Cancelled)
            && is.says == Some(Phase::Init)
            && is.attempt == was.attempt + 1;
        if !again {
            let now = is.says.map_or("nothing", |phase| phase.as_str());
            return Err(format!(
                "a terminal state was left: the row goes from {said} to {now}"
            ));
        }
    }
    if effect == Effect::InsertRow {
        let newest = before.world.newest_row;
        let others = newest != 0 && usize::from(newest) - 1 != slot;
        if others && was.says.is_some() && was != is {
            return Err("a migration that is not the newest is tried again".to_owned());
        }
        let node = before
            .nodes
            .iter()
            .find(|node| node.given == before.world.lease.given);
        if others && node.is_some_and(|node| node.newest_row != newest) {
            return Err("of two starts both insert a row".to_owned());
        }
        let open = after
            .world
            .of
            .iter()
            .filter(|migration| migration.row.is_open())
            .count();
        if open > 1 {
            return Err("two migrations run".to_owned());
        }
    }
    Ok(())
}

/// Only another attempt leaves a terminal state.
pub(crate) fn of_an_entry(
    machine: &Machine,
    before: StateId,
    after: StateId,
    happened: Happened,
) -> Result<(), String> {
    if before == StateId::NONE || happened == Happened::RetryRequested {
        return Ok(());
    }
    let (was, is) = (machine.facts(before), machine.facts(after));
    if was.is_terminal && was.phase != is.phase {
        return Err(format!(
            "a terminal state was left: the journal goes from {} to {}",
            was.phase, is.phase
        ));
    }
    Ok(())
}

/// What holds in every state.
pub(crate) fn of_a_state<const N: usize>(machine: &Machine, state: &State<N>) -> Result<(), String> {
    let world = &state.world;
    let mut all_settled = true;
    let mut unsettled = 0;
    for migration in &world.of {
        if migration.row.says == Some(Phase::Done) {
            arrived(migration)?;
        }
        if migration.journal == StateId::NONE {
            continue;
        }
        let facts = machine.facts(migration.journal);
        if !facts.is_settled {
            unsettled += 1;
            all_settled = false;
            continue;
        }
        let leftover = [
            (
                migration.file.made != Made::None && migration.file.made_by == Maker::Holder,
                "a dump",
            ),
            (
                migration.shores.iter().any(|shore| shore.upload == Upload::Open),
                "an open upload",
            ),
            (
                migration.row.attempt == facts.attempt
                    && migration.row.says.is_some_and(|says| says != facts.phase),
                "a row that says otherwise",
            ),
        ];
        if let Some((_, what)) = leftover.into_iter().find(|(is, _)| *is) {
            return Err(format!("settled, and {what} is left"));
        }
    }
    if unsettled > 1 {
        return Err("two migrations are not settled".to_owned());
    }
    if all_settled {
        let not_as_before = [
            (world.setting != world.wanted, "read-only"),
            (world.jobs != Jobs::Run, "the scheduler"),
            (world.switch.armed, "the switch"),
        ];
        if let Some((_, what)) = not_as_before.into_iter().find(|(is, _)| *is) {
            return Err(format!("settled, and {what} is not as before"));
        }
    }
    Ok(())
}

fn arrived(migration: &Migration) -> Result<(), String> {
    let shore = migration.shores[usize::from(migration.row.attempt) - 1];
    if shore.upload != Upload::Complete || shore.told != Told::Yes {
        return Err("done, and nothing arrived".to_owned());
    }
    match shore.object {
        Object::NotSeen => Err("done without a verified object".to_owned()),
        Object::Verified(Stillness::Disturbed) => Err("done with a dump of which users wrote".to_owned()),
        Object::Verified(Stillness::Still) => Ok(()),
    }
}
