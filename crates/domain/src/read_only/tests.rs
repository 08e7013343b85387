use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// These futures never wait: one look finishes them, without a runtime.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waited"),
    }
}

fn policy() -> ReadOnlyPolicy {
    ReadOnlyPolicy::new()
        .exempt_table("audit_log")
        .exempt_columns("report_card", &["id", "last_used_at"])
}

#[test]
fn what_is_not_named_is_refused() {
    let refused = policy().admit("core_user", Write::Insert).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "core_user is read-only while a migration copies it: try again when it has ended"
    );
    assert!(policy().admit("core_user", Write::Delete).is_err());
}

#[test]
fn an_exempt_table_takes_every_write_in_any_case_of_its_name() {
    for write in [
        Write::Insert,
        Write::Delete,
        Write::Update {
            changed: &["details"],
        },
    ] {
        assert_eq!(policy().admit("AUDIT_LOG", write), Ok(()));
    }
}

/// The application's own test is the wrong way round (are the exempt columns among the changed ones?), which lets
/// every write to a table without exemptions pass.
#[test]
fn an_update_passes_if_it_changes_exempt_columns_only() {
    let update = |table, changed| policy().admit(table, Write::Update { changed });
    assert_eq!(update("report_card", &["Last_Used_At"]), Ok(()));
    assert_eq!(
        update("report_card", &["last_used_at", "name"])
            .unwrap_err()
            .columns,
        ["name"]
    );
    assert_eq!(
        update("report_card", &["id", "last_used_at", "name"])
            .unwrap_err()
            .columns,
        ["name"]
    );
    assert!(update("core_user", &["email"]).is_err());
    assert!(policy().admit("report_card", Write::Insert).is_err());
}

#[test]
fn an_update_that_changes_nothing_is_no_error() {
    assert_eq!(
        policy().admit("core_user", Write::Update { changed: &[] }),
        Ok(())
    );
}

#[test]
fn the_guard_gives_back_exactly_what_was_there() {
    let token = FencingToken(1);
    for value in [None, Some("false"), Some("true")] {
        let guard = InProcessReadOnly::new(policy());
        guard.set(value);
        let before = now(guard.before()).unwrap();
        now(guard.engage(token, ReadOnlyStrength::Flag, &before, &Cancellation::new())).unwrap();
        assert!(guard.admit("core_user", Write::Insert).is_err());
        assert_eq!(guard.admit("audit_log", Write::Insert), Ok(()));
        assert_eq!(
            now(guard.prove(ReadOnlyStrength::Flag, &before)).unwrap(),
            ReadOnlyProof::Held
        );
        now(guard.restore(token, &before)).unwrap();
        assert_eq!(now(guard.before()).unwrap().value.as_deref(), value);
    }
}

#[test]
fn a_value_that_somebody_else_wrote_stays() {
    let guard = InProcessReadOnly::new(policy());
    let before = now(guard.before()).unwrap();
    now(guard.engage(
        FencingToken(1),
        ReadOnlyStrength::Flag,
        &before,
        &Cancellation::new(),
    ))
    .unwrap();
    guard.set(Some("false"));
    let proof = now(guard.prove(ReadOnlyStrength::Flag, &before)).unwrap();
    assert_eq!(
        proof,
        ReadOnlyProof::SwitchedOff {
            value: Some("false".into())
        }
    );
    now(guard.restore(FencingToken(1), &before)).unwrap();
    assert_eq!(now(guard.before()).unwrap().value.as_deref(), Some("false"));
}

/// What went wrong before: it was written over, and what was restored in the end was the value from before theirs.
#[test]
fn a_value_that_somebody_else_wrote_is_not_switched_over() {
    let guard = InProcessReadOnly::new(policy());
    let before = now(guard.before()).unwrap();
    guard.set(Some("false"));
    let refused = now(guard.engage(
        FencingToken(1),
        ReadOnlyStrength::Flag,
        &before,
        &Cancellation::new(),
    ))
    .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.what.contains("it is false now"), "{refused}");
    assert_eq!(now(guard.before()).unwrap().value.as_deref(), Some("false"));
}

#[test]
fn enforcing_is_refused_because_nobody_could() {
    let guard = InProcessReadOnly::new(policy());
    let before = now(guard.before()).unwrap();
    let refused = now(guard.engage(
        FencingToken(1),
        ReadOnlyStrength::Enforced,
        &before,
        &Cancellation::new(),
    ))
    .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Unsupported);
}
