//! A journal as it was written before there was a dead man's switch is gone on with or undone as one of today.

use metaferry_domain::event::Event;
use metaferry_domain::journal::{JournalEntry, ReplayError, VERSION, replay};
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::{Attempt, Phase};
use metaferry_domain::{Effect, MigrationState, next, samples};

/// Written by hand: neither arming nor disarming, and a plan that says nothing of tables.
const OLDER: [&str; 36] = [
    r#"{"begun":{"id":"00000000-0000-0000-0000-000000000001",
        "plan":{"strength":"flag","scheduler":"quiesce","retention":"delete","strictness":"lenient"}}}"#,
    r#"{"effect_started":{"plain":"preflight"}}"#,
    r#"{"effect_done":{"plain":"preflight"}}"#,
    r#"{"effect_started":{"plain":"acquire_lease"}}"#,
    r#"{"effect_done":{"acquire_lease":{"token":1}}}"#,
    r#"{"effect_started":{"plain":"create_at_store"}}"#,
    r#"{"effect_done":{"create_at_store":{"destination":{"Bucket":{"bucket":"b","key":"k"}},"external_id":"x"}}}"#,
    r#"{"effect_started":{"plain":"insert_row"}}"#,
    r#"{"effect_done":{"insert_row":{"row":7}}}"#,
    r#"{"effect_started":{"plain":{"write_state":"setup"}}}"#,
    r#"{"effect_done":{"plain":{"write_state":"setup"}}}"#,
    r#"{"effect_started":{"plain":"store_undo_script"}}"#,
    r#"{"effect_done":{"store_undo_script":{"location":"undo.sql"}}}"#,
    r#"{"effect_started":{"read_only_on":{"before":{"value":"false","ours":"true"}}}}"#,
    r#"{"effect_done":{"plain":"read_only_on"}}"#,
    r#"{"effect_started":{"plain":"await_read_only"}}"#,
    r#"{"effect_done":{"plain":"await_read_only"}}"#,
    r#"{"effect_started":{"quiesce_scheduler":{"before":{"json":"{}"}}}}"#,
    r#"{"effect_done":{"plain":"quiesce_scheduler"}}"#,
    r#"{"effect_started":{"plain":"await_running_jobs"}}"#,
    r#"{"effect_done":{"plain":"await_running_jobs"}}"#,
    r#"{"effect_started":{"plain":{"write_state":"dump"}}}"#,
    r#"{"effect_done":{"plain":{"write_state":"dump"}}}"#,
    r#"{"effect_started":{"copy_snapshot":{"file":"dump.mv.db"}}}"#,
    r#"{"effect_done":{"copy_snapshot":{"snapshot":{
        "taken_at_us":1,"snapshot_ms":1,"tables":[],"left_out":[],"notes":[]}}}}"#,
    r#"{"effect_started":{"plain":"prove_read_only_held"}}"#,
    r#"{"effect_done":{"prove_read_only_held":{"found":"held"}}}"#,
    r#"{"effect_started":{"plain":"restore_scheduler"}}"#,
    r#"{"effect_done":{"plain":"restore_scheduler"}}"#,
    r#"{"effect_started":{"plain":"restore_read_only"}}"#,
    r#"{"effect_done":{"plain":"restore_read_only"}}"#,
    r#"{"effect_started":{"plain":"finish_dump"}}"#,
    r#"{"effect_done":{"finish_dump":{"file":{"path":"dump.mv.db","size_bytes":1,"sha256":"00"}}}}"#,
    r#"{"effect_started":{"plain":{"write_state":"upload"}}}"#,
    r#"{"effect_done":{"plain":{"write_state":"upload"}}}"#,
    r#"{"effect_started":{"plain":"upload_dump"}}"#,
];

fn entries(events: &[&str]) -> Vec<JournalEntry> {
    let entry = |(sequence, event): (u64, &&str)| JournalEntry {
        version: VERSION,
        sequence,
        at_ms: sequence,
        attempt: Attempt(1),
        token: (sequence >= 5).then_some(FencingToken(1)),
        event: serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}")),
    };
    (1..).zip(events).map(entry).collect()
}

fn up_to(last: &str) -> Vec<&'static str> {
    let end = OLDER
        .iter()
        .position(|event| event.contains(last))
        .expect("it is in the journal");
    OLDER[..=end].to_vec()
}

fn recovered(state: &MigrationState) -> MigrationState {
    let event = Event::Recovered {
        attempt: Attempt(1),
        token: samples::next_token(state),
    };
    next(state, &event).expect("it can be recovered").state
}

/// Performs whatever is due, and answers what that was.
fn settled(mut state: MigrationState) -> (MigrationState, Vec<Effect>) {
    let mut performed = Vec::new();
    while let Some(effect) = state.due().first().copied() {
        performed.push(effect);
        for event in [
            Event::EffectStarted(samples::intent(effect)),
            Event::EffectDone(samples::fact(effect, samples::next_token(&state))),
        ] {
            state = next(&state, &event).expect("what is due can happen").state;
        }
    }
    (state, performed)
}

#[test]
fn one_left_at_any_entry_is_settled() {
    for left in 5..=OLDER.len() {
        let state = replay(&entries(&OLDER[..left])).unwrap_or_else(|error| panic!("{left}: {error}"));
        let (state, performed) = settled(recovered(&state));
        assert!(state.is_settled(), "{left}: {state:?}");
        assert!(!performed.contains(&Effect::ArmSwitch), "{left}");
    }
}

#[test]
fn what_it_owes_is_undone_and_another_attempt_has_the_switch() {
    let state = replay(&entries(&up_to(r#"_started":{"copy_snapshot"#))).unwrap();
    assert_eq!(state.phase(), Phase::Dump);
    let (state, performed) = settled(recovered(&state));
    assert_eq!(state.phase(), Phase::Error);
    for undoing in [
        Effect::RestoreScheduler,
        Effect::RestoreReadOnly,
        Effect::DeleteDump,
    ] {
        assert!(performed.contains(&undoing), "{performed:?}");
    }
    let again = next(&state, &Event::RetryRequested).unwrap().state;
    let (state, performed) = settled(again);
    assert_eq!(state.phase(), Phase::Done);
    for of_switch in [Effect::ArmSwitch, Effect::DisarmSwitch] {
        assert!(performed.contains(&of_switch), "{performed:?}");
    }
}

#[test]
fn an_upload_of_it_goes_on() {
    let (state, performed) = settled(recovered(&replay(&entries(&OLDER)).unwrap()));
    assert_eq!(state.phase(), Phase::Done);
    assert_eq!(performed[0], Effect::UploadDump);
}

#[test]
fn nothing_but_the_switch_may_be_missing_and_no_armed_one_is_forgotten() {
    let mut without_the_wait = up_to(r#"_started":{"quiesce"#);
    without_the_wait.drain(15..17);
    let mut armed = up_to(r#"_started":{"plain":"finish_dump"#);
    armed.insert(13, r#"{"effect_started":{"plain":"arm_switch"}}"#);
    armed.insert(14, r#"{"effect_done":{"arm_switch":{"standing":"armed"}}}"#);
    for (what, events) in [("a wait", without_the_wait), ("disarming", armed)] {
        let refused = replay(&entries(&events)).unwrap_err();
        let last = events.len() as u64;
        assert!(
            matches!(refused, ReplayError::Illegal { sequence, .. } if sequence == last),
            "{what}: {refused:?}"
        );
    }
}
