//! One example of every event, for tables and tests: the generated `docs/state-machine.md`, the exhaustive checks
//! here, and the tests of whoever performs effects.

use std::path::PathBuf;

use uuid::Uuid;

use crate::ErrorKind;
use crate::effect::Effect;
use crate::event::{
    Canceller, Event, Fact, Intent, ObjectCheck, RowEnd, SnapshotFacts, StillnessProof, SwitchStanding,
};
use crate::lease::FencingToken;
use crate::migration::{Attempt, MigrationId, RowId};
use crate::part_plan::PartNumber;
use crate::plan::MigrationPlan;
use crate::ports::{Destination, DumpFile, PartReceipt, PausedBefore, ReadOnlyBefore, UploadReceipt};
use crate::quiesce::{Wait, WaitFor};
use crate::state::MigrationState;

/// The id that every sample is about.
pub const ID: MigrationId = MigrationId(Uuid::from_u128(1));

/// What was there before read-only went on.
#[must_use]
pub fn read_only_before() -> ReadOnlyBefore {
    ReadOnlyBefore {
        value: None,
        ours: "true".into(),
    }
}

/// What was paused before.
#[must_use]
pub fn paused_before() -> PausedBefore {
    PausedBefore { json: "[]".into() }
}

/// The announcement of an effect.
#[must_use]
pub fn intent(effect: Effect) -> Intent {
    if effect == Effect::ReadOnlyOn {
        Intent::ReadOnlyOn {
            before: read_only_before(),
        }
    } else if effect == Effect::QuiesceScheduler {
        Intent::QuiesceScheduler {
            before: paused_before(),
        }
    } else if effect == Effect::CopySnapshot {
        Intent::CopySnapshot {
            file: PathBuf::from("dump.mv.db"),
        }
    } else {
        Intent::Plain(effect)
    }
}

/// What an effect brings about when all is well; a lease comes with `token`.
#[must_use]
pub fn fact(effect: Effect, token: FencingToken) -> Fact {
    match effect {
        Effect::AcquireLease => Fact::AcquireLease { token },
        Effect::CreateAtStore => Fact::CreateAtStore {
            destination: Destination::Bucket {
                bucket: "bucket".into(),
                key: "key".into(),
            },
            external_id: "external".into(),
        },
        Effect::InsertRow => Fact::InsertRow { row: RowId(7) },
        Effect::StoreUndoScript => Fact::StoreUndoScript {
            location: "undo.sql".into(),
        },
        Effect::ArmSwitch => Fact::ArmSwitch {
            standing: SwitchStanding::Armed,
        },
        Effect::CopySnapshot => Fact::CopySnapshot {
            snapshot: SnapshotFacts::default(),
        },
        Effect::ProveReadOnlyHeld => Fact::ProveReadOnlyHeld {
            found: StillnessProof::Held,
        },
        Effect::FinishDump => Fact::FinishDump {
            file: DumpFile {
                path: PathBuf::from("dump.mv.db"),
                size_bytes: 1,
                sha256: Some("00".into()),
            },
        },
        Effect::UploadDump => Fact::UploadDump {
            receipt: UploadReceipt {
                etag: None,
                parts: 1,
                size_bytes: 1,
            },
        },
        Effect::VerifyObject => Fact::VerifyObject {
            check: ObjectCheck::Verified,
        },
        Effect::Preflight
        | Effect::ReadOnlyOn
        | Effect::AwaitReadOnly
        | Effect::QuiesceScheduler
        | Effect::AwaitRunningJobs
        | Effect::RestoreScheduler
        | Effect::RestoreReadOnly
        | Effect::DisarmSwitch
        | Effect::TellStore
        | Effect::DeleteDump
        | Effect::AbortUpload
        | Effect::WriteState(_)
        | Effect::WriteProgress
        | Effect::ReleaseLease => Fact::Plain(effect),
    }
}

/// The failure of an effect.
#[must_use]
pub fn failed(effect: Effect, kind: ErrorKind) -> Event {
    Event::EffectFailed {
        effect,
        kind,
        message: "no answer".into(),
    }
}

/// The events that are about no single effect, as they would come in `state`.
#[must_use]
pub fn events_from_outside(state: &MigrationState) -> Vec<Event> {
    let mut events = vec![
        Event::Begun {
            id: ID,
            plan: MigrationPlan::default(),
        },
        Event::UploadBegun {
            upload_id: "upload".into(),
            part_size_bytes: 100_000_000,
        },
        Event::PartArrived {
            upload_id: "upload".into(),
            receipt: PartReceipt {
                number: PartNumber(1),
                etag: "\"etag\"".into(),
                size_bytes: 100_000_000,
            },
        },
        Event::CancelRequested {
            by: Canceller::Interrupt,
        },
    ];
    for end in [RowEnd::Cancelled, RowEnd::Error, RowEnd::Done, RowEnd::Deleted] {
        events.push(Event::RowEndedOutside { end });
    }
    events.extend([
        Event::LeaseLost,
        Event::Recovered {
            attempt: state.run().attempt,
            token: next_token(state),
        },
        Event::RetryRequested,
        Event::UndoRequested,
    ]);
    events
}

/// Every event as it would come in `state`, legal there or not.
#[must_use]
pub fn events(state: &MigrationState) -> Vec<Event> {
    let mut events = events_from_outside(state);
    for effect in Effect::ALL.into_iter().chain([Effect::WriteProgress]) {
        events.push(Event::EffectStarted(intent(effect)));
        events.push(Event::EffectDone(fact(effect, next_token(state))));
        events.push(failed(effect, ErrorKind::Unavailable));
        events.push(Event::Progressed { effect, percent: 50 });
        events.push(Event::Waiting { effect, wait: wait() });
    }
    events.push(Event::Recovered {
        attempt: Attempt(99),
        token: next_token(state),
    });
    events
}

/// Nodes that are waited for.
fn wait() -> Wait {
    Wait {
        what: WaitFor::Nodes { nodes: Vec::new() },
        left_ms: 90_000,
        warnings: Vec::new(),
    }
}

/// A token above every one that the state knows.
#[must_use]
pub fn next_token(state: &MigrationState) -> FencingToken {
    FencingToken::after(state.run().newest_token)
}
