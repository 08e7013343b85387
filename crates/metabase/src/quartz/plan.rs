//! Pausing everything and resuming exactly what ran before, as lists of row changes. Both are decided from rows
//! read under the `TRIGGER_ACCESS` lock and applied in the same transaction, as Quartz's own `pauseAll` and `resumeAll` do.

use super::{
    ALL_GROUPS_PAUSED, Concurrency, FiredRow, FiredState, JobKey, TriggerKey, TriggerRow, TriggerState,
};
use metaferry_domain::quiesce::CheckIn;
use std::collections::BTreeSet;

/// What was paused before we paused everything. Save it durably before the pause is applied; it is all that
/// resuming needs. An adapter may keep it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct PausedBefore {
    /// Rows of `QRTZ_PAUSED_TRIGGER_GRPS`, the all-groups marker among them if it was there.
    pub groups: BTreeSet<String>,
    /// Every trigger and its state, sorted by key. A trigger can run although its group is paused, and the other
    /// way round, so the groups alone do not tell.
    pub triggers: Vec<SavedTrigger>,
}

/// A trigger as it was before we paused everything.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedTrigger {
    /// Key.
    pub key: TriggerKey,
    /// State.
    pub state: TriggerState,
}

impl PausedBefore {
    fn state(&self, key: &TriggerKey) -> Option<TriggerState> {
        let at = self.triggers.binary_search_by(|saved| saved.key.cmp(key)).ok()?;
        Some(self.triggers[at].state)
    }

    /// Would Quartz alone have stored a new trigger of that group as paused?
    fn pauses_new_triggers(&self, group: &str) -> bool {
        self.groups.contains(group) || self.groups.contains(ALL_GROUPS_PAUSED)
    }
}

/// One trigger's change. Apply it only where the state is still one of `from`, in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Which trigger.
    pub key: TriggerKey,
    /// Its state when it was read, and what nodes may make of that without the lock: Metabase's claim a trigger that
    /// waits, and do not ask for `TRIGGER_ACCESS` before.
    pub from: Vec<TriggerState>,
    /// Its state to be.
    pub to: TriggerState,
}

/// What pausing changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PausePlan {
    /// Triggers to update.
    pub states: Vec<StateChange>,
    /// Groups to insert, the all-groups marker last. None of them is there already.
    pub insert_groups: Vec<String>,
}

/// What resuming changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumePlan {
    /// Triggers to update.
    pub states: Vec<StateChange>,
    /// Groups to delete, the all-groups marker among them.
    pub delete_groups: Vec<String>,
}

impl PausePlan {
    /// Is there nothing to do? Then everything is paused already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.insert_groups.is_empty()
    }
}

impl ResumePlan {
    /// Is there nothing to do? Then everything is as it was before.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.delete_groups.is_empty()
    }
}

/// How everything is now. Call it before pausing, never after.
#[must_use]
pub fn paused_now(triggers: &[TriggerRow], paused_groups: &BTreeSet<String>) -> PausedBefore {
    let mut saved: Vec<SavedTrigger> = triggers
        .iter()
        .map(|row| SavedTrigger {
            key: row.key.clone(),
            state: row.state,
        })
        .collect();
    saved.sort_by(|a, b| a.key.cmp(&b.key));
    PausedBefore {
        groups: paused_groups.clone(),
        triggers: saved,
    }
}

/// Pauses every trigger, and through the groups and the marker every trigger to come. Applied twice, the second
/// plan is empty.
#[must_use]
pub fn pause_plan(triggers: &[TriggerRow], paused_groups: &BTreeSet<String>) -> PausePlan {
    let states = triggers
        .iter()
        .filter_map(|row| {
            let (from, to) = match row.state {
                // A node that has claimed the trigger looks again, under the lock, before it fires: it will drop it.
                TriggerState::Waiting | TriggerState::Acquired => (
                    vec![TriggerState::Waiting, TriggerState::Acquired],
                    TriggerState::Paused,
                ),
                TriggerState::Blocked => (vec![TriggerState::Blocked], TriggerState::PausedBlocked),
                TriggerState::Paused
                | TriggerState::PausedBlocked
                | TriggerState::Complete
                | TriggerState::Error
                | TriggerState::Deleted => return None,
            };
            Some(StateChange {
                key: row.key.clone(),
                from,
                to,
            })
        })
        .collect();
    let groups: BTreeSet<&str> = triggers.iter().map(|row| row.key.group.as_str()).collect();
    let insert_groups = groups
        .into_iter()
        .filter(|group| *group != ALL_GROUPS_PAUSED)
        .chain([ALL_GROUPS_PAUSED])
        .filter(|group| !paused_groups.contains(*group))
        .map(str::to_owned)
        .collect();
    PausePlan {
        states,
        insert_groups,
    }
}

/// Resumes what was not paused before. Triggers that came meanwhile are resumed too, unless they would have been
/// stored paused without us: because their group was paused before, or all were. Nothing is paused that somebody
/// else has resumed meanwhile. Applied twice, the second plan is empty.
#[must_use]
pub fn resume_plan(
    before: &PausedBefore,
    triggers: &[TriggerRow],
    paused_groups: &BTreeSet<String>,
    fired: &[FiredRow],
    check_ins: &[CheckIn],
) -> ResumePlan {
    let held = Held::new(fired, check_ins);
    let states = triggers
        .iter()
        .filter(|row| row.state.is_paused() && !stays_paused(before, &row.key))
        .map(|row| StateChange {
            key: row.key.clone(),
            from: vec![row.state],
            to: held.resumed_state(row),
        })
        .collect();
    let delete_groups = paused_groups
        .iter()
        .filter(|group| !stays_listed(before, group, triggers))
        .cloned()
        .collect();
    ResumePlan {
        states,
        delete_groups,
    }
}

fn stays_paused(before: &PausedBefore, key: &TriggerKey) -> bool {
    match before.state(key) {
        Some(TriggerState::Paused | TriggerState::PausedBlocked) => true,
        Some(TriggerState::Waiting | TriggerState::Acquired | TriggerState::Blocked) => false,
        // New, or stored again in place of one that had ended.
        None | Some(TriggerState::Complete | TriggerState::Error | TriggerState::Deleted) => {
            before.pauses_new_triggers(&key.group)
        }
    }
}

fn stays_listed(before: &PausedBefore, group: &str, triggers: &[TriggerRow]) -> bool {
    // Where all groups were paused before, Quartz itself lists the group of each trigger that it stores.
    let listed_by_quartz = || {
        before.groups.contains(ALL_GROUPS_PAUSED)
            && triggers
                .iter()
                .any(|row| row.key.group == group && before.state(&row.key).is_none())
    };
    before.groups.contains(group) || listed_by_quartz()
}

/// What nodes hold while triggers are paused.
struct Held<'a> {
    jobs: BTreeSet<&'a JobKey>,
    /// Triggers with the times that they are claimed for.
    claims: BTreeSet<(&'a TriggerKey, i64)>,
}

impl<'a> Held<'a> {
    fn new(fired: &'a [FiredRow], check_ins: &[CheckIn]) -> Self {
        // What a node claimed that is no longer listed is released only when the next one starts.
        let is_listed = |instance: &String| check_ins.iter().any(|check_in| check_in.node == *instance);
        Self {
            jobs: fired.iter().filter_map(|row| row.job.as_ref()).collect(),
            claims: (fired.iter())
                .filter(|row| row.state == FiredState::Acquired && is_listed(&row.instance))
                .filter_map(|row| Some((&row.trigger, row.scheduled_ms?)))
                .collect(),
        }
    }

    /// As `resumeAll` decides it: blocked while the job runs and must not run twice. Otherwise than there a claim stays one:
    /// its node fires or releases it, or Quartz does for a dead node. Both go by the trigger's key alone, so that they would
    /// take another node's claim for it, and the trigger could fire twice for one time. A claim for another time is of the
    /// trigger as it was before somebody stored it again, and would bring that back.
    fn resumed_state(&self, row: &TriggerRow) -> TriggerState {
        let is_claimed = || {
            row.next_fire_ms
                .is_some_and(|next_ms| self.claims.contains(&(&row.key, next_ms)))
        };
        match row.concurrency {
            Concurrency::NonConcurrent if self.jobs.contains(&row.job) => TriggerState::Blocked,
            Concurrency::NonConcurrent | Concurrency::Concurrent if is_claimed() => TriggerState::Acquired,
            Concurrency::NonConcurrent | Concurrency::Concurrent => TriggerState::Waiting,
        }
    }
}
