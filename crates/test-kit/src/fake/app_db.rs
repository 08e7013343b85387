//! Lease, journal and rows in memory, by the rules of the domain.

use async_trait::async_trait;
use metaferry_domain::lease::{FencingToken, HeldLease, Lease, LeaseRecord, take};
use metaferry_domain::migration::{MigrationId, Phase, RowId};
use metaferry_domain::ports::{
    GuardedUpdate, JournalRecord, JournalStore, LeaseStore, MigrationRow, MigrationRows, MigrationSummary,
    NewMigrationRow,
};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::{Cancellation, ErrorKind, PortError};

use super::aftermath::Replayed;
use super::call::Call;
use super::durable::{Change, Durable, Journal, micros, signed};
use super::process::{Moment, Process};

#[async_trait]
impl LeaseStore for Process {
    async fn acquire(&self, holder: &str, term_ms: u64) -> Result<Lease, PortError> {
        let lease = self
            .call(Call::Acquire, |durable, moment| {
                let Some(token) = take(durable.lease, signed(moment.now_ms)) else {
                    let by = &durable.holder.0;
                    return Err(PortError::new(
                        ErrorKind::Conflict,
                        format!("the lease is held by {by}"),
                    ));
                };
                if let Some(before) = durable.lease {
                    let over_at_ms = before.ends_at_ms.map_or(moment.now_ms, i64::unsigned_abs);
                    durable.former_leases.entry(before.token).or_insert(over_at_ms);
                }
                durable.lease = Some(LeaseRecord {
                    token,
                    ends_at_ms: Some(signed(moment.now_ms.saturating_add(term_ms))),
                });
                durable.holder = (holder.to_owned(), term_ms);
                moment.records(durable, Change::Lease(token));
                Ok(Lease {
                    token,
                    holder: holder.to_owned(),
                    term_ms,
                })
            })
            .await?;
        self.holds(lease.token);
        Ok(lease)
    }

    async fn renew(&self, lease: &Lease) -> Result<(), PortError> {
        self.call(Call::Renew, |durable, moment| {
            durable.prove(lease.token, moment.now_ms)?;
            let term_ms = durable.holder.1;
            if let Some(record) = &mut durable.lease {
                record.ends_at_ms = Some(signed(moment.now_ms.saturating_add(term_ms)));
            }
            Ok(())
        })
        .await
    }

    async fn release(&self, lease: &Lease) -> Result<(), PortError> {
        self.call(Call::Release, |durable, moment| {
            if durable.prove(lease.token, moment.now_ms).is_ok() {
                durable.end_lease(moment.now_ms, moment.now_ms);
                moment.records(durable, Change::Released(lease.token));
            }
            Ok(())
        })
        .await
    }

    async fn current(&self) -> Result<Option<HeldLease>, PortError> {
        self.call(Call::CurrentLease, |durable, moment| {
            let (holder, term_ms) = durable.holder.clone();
            let held = durable
                .lease
                .filter(|record| record.is_held(signed(moment.now_ms)));
            let left_ms = |record: LeaseRecord| {
                let ends_at_ms = record.ends_at_ms.unwrap_or_default().unsigned_abs();
                ends_at_ms.saturating_sub(moment.now_ms)
            };
            Ok(held.map(|record| HeldLease {
                lease: Lease {
                    token: record.token,
                    holder,
                    term_ms,
                },
                left_ms: left_ms(record),
            }))
        })
        .await
    }
}

#[async_trait]
impl JournalStore for Process {
    async fn append(
        &self,
        token: FencingToken,
        id: MigrationId,
        record: &JournalRecord,
    ) -> Result<(), PortError> {
        self.call(Call::Append, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            let journal = match durable.journals.iter_mut().find(|journal| journal.id == id) {
                Some(journal) => journal,
                None => {
                    durable.journals.push(Journal {
                        id,
                        settled: false,
                        entries: std::collections::BTreeMap::new(),
                        replayed: Replayed::default(),
                    });
                    durable.journals.last_mut().expect("it was just pushed")
                }
            };
            match journal.entries.get(&record.sequence) {
                Some(there) if *there != record.json => Err(PortError::new(
                    ErrorKind::Conflict,
                    format!("entry {} was written by somebody else", record.sequence),
                )),
                Some(_) => Ok(()),
                None => {
                    journal.settled = false;
                    journal.replayed.add(&record.json);
                    journal.entries.insert(record.sequence, record.json.clone());
                    Ok(())
                }
            }
        })
        .await
    }

    async fn read(&self, id: MigrationId) -> Result<Vec<JournalRecord>, PortError> {
        self.call(Call::ReadJournal, |durable, _| {
            let journal = durable.journals.iter().find(|journal| journal.id == id);
            let entries = journal.into_iter().flat_map(|journal| &journal.entries);
            Ok(entries
                .map(|(sequence, json)| JournalRecord {
                    sequence: *sequence,
                    json: json.clone(),
                })
                .collect())
        })
        .await
    }

    async fn settle(&self, token: FencingToken, id: MigrationId) -> Result<(), PortError> {
        self.call(Call::Settle, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            for journal in durable.journals.iter_mut().filter(|journal| journal.id == id) {
                journal.settled = true;
            }
            Ok(())
        })
        .await
    }

    async fn migrations(&self, limit: u32) -> Result<Vec<MigrationSummary>, PortError> {
        self.call(Call::Migrations, |durable, _| {
            let newest = durable.journals.iter().rev().take(limit as usize);
            Ok(newest
                .map(|journal| MigrationSummary {
                    id: journal.id,
                    settled: journal.settled,
                })
                .collect())
        })
        .await
    }
}

#[async_trait]
impl MigrationRows for Process {
    async fn insert(
        &self,
        token: FencingToken,
        row: &NewMigrationRow,
        _: &Cancellation,
    ) -> Result<MigrationRow, PortError> {
        self.call(Call::Insert, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            if let Some(there) = durable
                .rows
                .iter()
                .find(|there| there.external_id == row.external_id)
            {
                return Ok(there.clone());
            }
            let now = Instant {
                micros: micros(moment.now_ms),
                nanos: 0,
            };
            let inserted = MigrationRow {
                id: RowId(durable.newest_key + 1),
                external_id: row.external_id.clone(),
                upload_url: row.upload_url.clone(),
                phase: Phase::Init,
                progress: 0,
                created_at: now,
                updated_at: now,
            };
            durable.newest_key += 1;
            durable.rows.push(inserted.clone());
            written(durable, moment, &inserted);
            Ok(inserted)
        })
        .await
    }

    async fn reopen(
        &self,
        token: FencingToken,
        id: RowId,
        row: &NewMigrationRow,
        _: &Cancellation,
    ) -> Result<GuardedUpdate, PortError> {
        self.call(Call::Reopen, |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            let is_newest = durable.rows.last().is_some_and(|newest| newest.id == id);
            let Some(there) = durable.rows.iter_mut().find(|there| there.id == id) else {
                return Ok(GuardedUpdate::Missing);
            };
            let is_ours_already = there.phase == Phase::Init && there.external_id == row.external_id;
            let may_be = match there.phase {
                Phase::Error | Phase::Cancelled => true,
                Phase::Init => is_ours_already,
                Phase::Setup | Phase::Dump | Phase::Upload | Phase::Done => false,
            };
            if !is_newest || !may_be {
                return Ok(GuardedUpdate::Ended(there.phase));
            }
            there.phase = Phase::Init;
            there.progress = 0;
            there.external_id.clone_from(&row.external_id);
            there.upload_url.clone_from(&row.upload_url);
            there.updated_at.micros = micros(moment.now_ms);
            let there = there.clone();
            written(durable, moment, &there);
            Ok(GuardedUpdate::Written)
        })
        .await
    }

    async fn update_guarded(
        &self,
        token: FencingToken,
        id: RowId,
        phase: Phase,
        progress: u8,
    ) -> Result<GuardedUpdate, PortError> {
        self.call(Call::Update(phase), |durable, moment| {
            durable.prove(token, moment.now_ms)?;
            let Some(there) = durable.rows.iter_mut().find(|there| there.id == id) else {
                return Ok(GuardedUpdate::Missing);
            };
            if there.phase.is_terminal() {
                return Ok(GuardedUpdate::Ended(there.phase));
            }
            there.phase = phase;
            there.progress = progress;
            there.updated_at.micros = micros(moment.now_ms);
            let there = there.clone();
            written(durable, moment, &there);
            Ok(GuardedUpdate::Written)
        })
        .await
    }

    async fn get(&self, id: RowId) -> Result<Option<MigrationRow>, PortError> {
        self.call(Call::GetRow, |durable, _| {
            Ok(durable.rows.iter().find(|row| row.id == id).cloned())
        })
        .await
    }

    async fn newest(&self, limit: u32) -> Result<Vec<MigrationRow>, PortError> {
        self.call(Call::NewestRows, |durable, _| {
            Ok(durable.rows.iter().rev().take(limit as usize).cloned().collect())
        })
        .await
    }

    async fn cancel_all(&self) -> Result<u64, PortError> {
        self.call(Call::CancelAll, |durable, moment| {
            Ok(durable.cancel_rows(moment.process, moment.now_ms))
        })
        .await
    }
}

/// Records a row as it is now, and what must not be: `done` of something that has not arrived.
fn written(durable: &mut Durable, moment: Moment, row: &MigrationRow) {
    moment.records(
        durable,
        Change::Row {
            id: row.id,
            phase: row.phase,
            progress: row.progress,
        },
    );
    if row.phase == Phase::Done {
        let arrived = durable
            .store
            .get(&row.external_id)
            .is_some_and(|object| object.size_bytes.is_some() && object.verified > 0 && object.told > 0);
        if !arrived {
            durable.violations.push(format!(
                "row {} says done before it arrived, was verified and the store was told",
                row.id.0
            ));
        }
    }
}
