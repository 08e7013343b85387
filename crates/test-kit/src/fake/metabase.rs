//! The running Metabase: its read-only setting, its scheduler, its preflight.

use std::collections::BTreeSet;

use async_trait::async_trait;
use metaferry_domain::effect::Effect;
use metaferry_domain::event::SwitchStanding;
use metaferry_domain::lease::FencingToken;
use metaferry_domain::migration::ReadOnlyStrength;
use metaferry_domain::ports::{
    DeadMansSwitch, Finding, Notice, Notifier, PausedBefore, Preflight, ReadOnlyBefore, ReadOnlyGuard,
    ReadOnlyProof, Scheduler, UndoScript,
};
use metaferry_domain::quiesce::{NodeEvidence, RunningJobs};
use metaferry_domain::{Cancellation, PortError};

use super::call::Call;
use super::durable::{Change, Switch};
use super::process::Process;

const OURS: &str = "true";

/// Between the names of paused jobs in what is remembered.
const BETWEEN: char = '|';

#[async_trait]
impl ReadOnlyGuard for Process {
    async fn before(&self) -> Result<ReadOnlyBefore, PortError> {
        self.call(Call::ReadOnlyBefore, |durable, _| {
            Ok(ReadOnlyBefore {
                value: durable.read_only.clone(),
                ours: OURS.into(),
            })
        })
        .await
    }

    async fn engage(
        &self,
        token: FencingToken,
        _: ReadOnlyStrength,
        before: &ReadOnlyBefore,
        _: &Cancellation,
    ) -> Result<(), PortError> {
        self.call(Call::Engage, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            before.still_holds(durable.read_only.as_deref())?;
            self.must_be_announced(Effect::ReadOnlyOn, durable, moment);
            durable.must_be_guarded();
            durable.read_only = Some(OURS.into());
            moment.records(durable, Change::ReadOnly(durable.read_only.clone()));
            Ok(())
        })
        .await
    }

    async fn nodes(&self) -> Result<NodeEvidence, PortError> {
        self.call(Call::Nodes, |durable, _| Ok(durable.nodes.clone()))
            .await
    }

    async fn unconvinced(&self) -> Result<Vec<String>, PortError> {
        self.call(Call::Nodes, |durable, _| Ok(durable.unconvinced.clone()))
            .await
    }

    async fn still_writing(&self, _: ReadOnlyStrength) -> Result<u64, PortError> {
        self.call(Call::StillWriting, |_, _| Ok(0)).await
    }

    async fn watch(&self, _: ReadOnlyStrength) -> Result<(), PortError> {
        self.call(Call::WatchWrites, |_, _| Ok(())).await
    }

    async fn prove(&self, _: ReadOnlyStrength, before: &ReadOnlyBefore) -> Result<ReadOnlyProof, PortError> {
        self.call(Call::Prove, |durable, _| {
            if durable.read_only.as_deref() == Some(before.ours.as_str()) {
                return Ok(ReadOnlyProof::Held);
            }
            let value = durable.read_only.clone();
            Ok(ReadOnlyProof::SwitchedOff { value })
        })
        .await
    }

    async fn restore(&self, token: FencingToken, before: &ReadOnlyBefore) -> Result<(), PortError> {
        self.call(Call::RestoreReadOnly, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            self.must_be_announced(Effect::RestoreReadOnly, durable, moment);
            if durable.read_only.as_deref() == Some(before.ours.as_str()) {
                durable.read_only.clone_from(&before.value);
                moment.records(durable, Change::ReadOnly(durable.read_only.clone()));
            }
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Scheduler for Process {
    async fn before(&self) -> Result<PausedBefore, PortError> {
        self.call(Call::SchedulerBefore, |durable, _| {
            let names: Vec<&str> = durable.paused.iter().map(String::as_str).collect();
            Ok(PausedBefore {
                json: names.join(&BETWEEN.to_string()),
            })
        })
        .await
    }

    async fn quiesce(
        &self,
        token: FencingToken,
        _: &PausedBefore,
        _: &Cancellation,
    ) -> Result<(), PortError> {
        self.call(Call::Quiesce, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            self.must_be_announced(Effect::QuiesceScheduler, durable, moment);
            durable.must_be_guarded();
            durable.paused = durable.jobs.clone();
            moment.records(durable, Change::Paused(durable.paused.len()));
            Ok(())
        })
        .await
    }

    async fn running_jobs(&self) -> Result<Vec<RunningJobs>, PortError> {
        self.call(Call::RunningJobs, |durable, _| Ok(durable.running_jobs.clone()))
            .await
    }

    async fn restore(&self, token: FencingToken, before: &PausedBefore) -> Result<(), PortError> {
        self.call(Call::RestoreScheduler, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            self.must_be_announced(Effect::RestoreScheduler, durable, moment);
            let names = before.json.split(BETWEEN).filter(|name| !name.is_empty());
            durable.paused = names.map(str::to_owned).collect::<BTreeSet<_>>();
            moment.records(durable, Change::Paused(durable.paused.len()));
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl DeadMansSwitch for Process {
    async fn obstacle(&self) -> Result<Option<String>, PortError> {
        Ok(None)
    }

    async fn arm(&self, token: FencingToken, _: &Cancellation) -> Result<SwitchStanding, PortError> {
        self.call(Call::ArmSwitch, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            self.must_be_announced(Effect::ArmSwitch, durable, moment);
            durable.switch = Switch::Armed;
            Ok(SwitchStanding::Armed)
        })
        .await
    }

    async fn disarm(&self, token: FencingToken) -> Result<(), PortError> {
        self.call(Call::DisarmSwitch, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            self.must_be_announced(Effect::DisarmSwitch, durable, moment);
            durable.must_be_put_back();
            durable.switch = Switch::None;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Preflight for Process {
    async fn check(&self) -> Result<Vec<Finding>, PortError> {
        self.call(Call::Preflight, |durable, _| Ok(durable.findings.clone()))
            .await
    }
}

#[async_trait]
impl UndoScript for Process {
    async fn store(&self, token: FencingToken) -> Result<String, PortError> {
        self.call(Call::StoreUndoScript, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            Ok("/metaferry/undo.sql".into())
        })
        .await
    }
}

#[async_trait]
impl Notifier for Process {
    async fn notify(&self, notice: &Notice) -> Result<(), PortError> {
        self.call(Call::Notify, |durable, _| {
            durable.notices.push(notice.clone());
            Ok(())
        })
        .await
    }
}
