//! The disk with the dump, and the other shore.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use metaferry_domain::effect::Effect;
use metaferry_domain::part_plan::PartNumber;
use metaferry_domain::ports::{
    CreatedMigration, Destination, DumpFile, DumpObserver, DumpReport, DumpRequest, Dumper, MultipartUrls,
    PartReceipt, SnapshotReport, StoreClient, TableReport, UploadLog, UploadObserver, UploadReceipt,
    UploadRequest, Uploader,
};
use metaferry_domain::row_batch::Instant;
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use uuid::Uuid;

use super::call::Call;
use super::disk::{Content, DumpOnDisk, FileName};
use super::durable::{Change, Durable, ObjectAtStore, PARTS, UploadAtStore, UploadStanding, micros};
use super::process::Process;
use super::world::Sloppy;

/// Bytes of every part.
const PART_BYTES: u64 = 10;

/// Steps that copying takes.
const STEPS: u64 = 4;

fn report(taken_at_us: i64) -> SnapshotReport {
    SnapshotReport {
        taken_at: Instant {
            micros: taken_at_us,
            nanos: 0,
        },
        snapshot_seconds: 0.5,
        tables: vec![TableReport {
            name: "core_user".into(),
            rows: 3,
            digest: "mf1:00000000000000000000000000000000".into(),
        }],
        left_out: Vec::new(),
        notes: Vec::new(),
    }
}

fn dump_file(path: &Path) -> DumpFile {
    DumpFile {
        path: path.to_owned(),
        size_bytes: u64::from(PARTS) * PART_BYTES,
        sha256: Some("00".repeat(32)),
    }
}

#[async_trait]
impl Dumper for Process {
    async fn copy_snapshot(
        &self,
        request: &DumpRequest,
        observer: Arc<dyn DumpObserver>,
        cancel: &Cancellation,
    ) -> Result<SnapshotReport, PortError> {
        let taken_at_us = self
            .change_outside(Call::CopySnapshot, |durable, moment| {
                self.must_be_announced(Effect::CopySnapshot, durable, moment);
                durable.files.insert(request.file.clone(), DumpOnDisk::UNFINISHED);
                if !self.acts(durable, moment) {
                    durable.strays.insert(request.file.clone());
                }
                moment.records(durable, Change::Snapshot);
                let may_write =
                    durable.paused != durable.jobs || durable.read_only.as_deref() != Some("true");
                if may_write {
                    durable.unquiet.insert(request.file.clone());
                }
                Ok(micros(moment.now_ms))
            })
            .await?;
        for step in 1..=STEPS {
            cancel.check()?;
            self.call(Call::CopyRows, |_, _| Ok(())).await?;
            observer.copied(step, step, STEPS);
        }
        *self.dump.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.clone());
        Ok(report(taken_at_us))
    }

    async fn finish(&self, cancel: &Cancellation) -> Result<DumpReport, PortError> {
        cancel.check()?;
        let begun = self.dump.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(request) = begun else {
            return Err(PortError::new(
                ErrorKind::Precondition,
                "no dump was begun in this process",
            ));
        };
        self.change_outside(Call::FinishDump, |durable, moment| {
            let wait = durable.paused == durable.jobs || durable.read_only.as_deref() == Some("true");
            if durable.unquiet.contains(&request.file) && self.acts(durable, moment) {
                let what = "a dump is finished whose rows somebody could change meanwhile";
                durable.violations.push(what.into());
            }
            // What a process does that has lost the lease is thrown away.
            if wait && self.acts(durable, moment) {
                durable
                    .violations
                    .push("users wait although every row is read".into());
            }
            on_disk(durable, &request.file)?.content = Content::Unsynced;
            Ok(())
        })
        .await?;
        self.change_outside(Call::SyncDump, |durable, _| {
            if self.world.is_careful(Sloppy::Dumper) {
                on_disk(durable, &request.file)?.content = Content::Synced;
            }
            Ok(())
        })
        .await?;
        self.change_outside(Call::NameDump, |durable, _| {
            on_disk(durable, &request.file)?.name = FileName::Renamed;
            Ok(())
        })
        .await?;
        self.change_outside(Call::SyncFolder, |durable, moment| {
            on_disk(durable, &request.file)?.name = FileName::Lasting;
            moment.records(durable, Change::Dumped);
            Ok(DumpReport {
                file: dump_file(&request.file),
                manifest: request.file.with_extension("json"),
                snapshot: report(0),
            })
        })
        .await
    }

    async fn describe(&self, file: &Path, cancel: &Cancellation) -> Result<DumpFile, PortError> {
        cancel.check()?;
        self.call(Call::DescribeDump, |durable, _| {
            on_disk(durable, file)?;
            Ok(dump_file(file))
        })
        .await
    }

    async fn discard(&self, request: &DumpRequest) -> Result<(), PortError> {
        self.change_outside(Call::DiscardDump, |durable, moment| {
            self.must_be_announced(Effect::DeleteDump, durable, moment);
            durable.unquiet.remove(&request.file);
            if durable.files.remove(&request.file).is_some() {
                moment.records(durable, Change::Discarded);
            }
            Ok(())
        })
        .await
    }
}

fn on_disk<'a>(durable: &'a mut Durable, file: &Path) -> Result<&'a mut DumpOnDisk, PortError> {
    let gone = || PortError::new(ErrorKind::NotFound, format!("{} is not there", file.display()));
    durable.files.get_mut(file).ok_or_else(gone)
}

fn key(destination: &Destination) -> String {
    match destination {
        Destination::Store { external_id, .. } => external_id.clone(),
        Destination::Bucket { key, .. } => key.clone(),
    }
}

fn upload<'a>(durable: &'a mut Durable, key: &str, id: &str) -> Result<&'a mut UploadAtStore, PortError> {
    object(durable, key)
        .uploads
        .get_mut(id)
        .ok_or_else(|| PortError::new(ErrorKind::NotFound, format!("the store knows no upload {id}")))
}

fn object<'a>(durable: &'a mut Durable, key: &str) -> &'a mut ObjectAtStore {
    durable.store.entry(key.to_owned()).or_default()
}

impl Process {
    async fn begin_upload(&self, key: &str, log: &dyn UploadLog) -> Result<String, PortError> {
        let id = Uuid::from_u128(self.world.draw()).to_string();
        self.change_outside(Call::CreateUpload, |durable, moment| {
            self.must_be_announced(Effect::UploadDump, durable, moment);
            let begun = UploadAtStore {
                parts: std::collections::BTreeSet::new(),
                standing: UploadStanding::Open,
                remembered: false,
            };
            object(durable, key).uploads.insert(id.clone(), begun);
            Ok(())
        })
        .await?;
        log.begun(&id, PART_BYTES).await?;
        // The journal has it: no call, a note for the test.
        upload(&mut self.world.lock(), key, &id)?.remembered = true;
        Ok(id)
    }

    async fn put_part(
        &self,
        file: &Path,
        key: &str,
        id: &str,
        number: PartNumber,
    ) -> Result<PartReceipt, PortError> {
        self.change_outside(Call::PutPart, |durable, _| {
            let there = *on_disk(durable, file)?;
            if there != DumpOnDisk::FINISHED {
                let what = format!("part {number} of a dump was sent that is {there:?}");
                durable.violations.push(what);
            }
            let there = upload(durable, key, id)?;
            if there.standing == UploadStanding::Aborted {
                return Err(PortError::new(ErrorKind::NotFound, "the upload was aborted"));
            }
            there.parts.insert(number);
            *object(durable, key).sent.entry(number).or_default() += 1;
            Ok(PartReceipt {
                number,
                etag: format!("\"{number}\""),
                size_bytes: PART_BYTES,
            })
        })
        .await
    }
}

#[async_trait]
impl Uploader for Process {
    async fn upload(
        &self,
        request: &UploadRequest,
        log: Arc<dyn UploadLog>,
        observer: Arc<dyn UploadObserver>,
        cancel: &Cancellation,
    ) -> Result<UploadReceipt, PortError> {
        let key = key(&request.destination);
        let (id, have) = match log.resume().await? {
            Some((id, _, parts)) => (id, parts),
            None => (self.begin_upload(&key, &*log).await?, Vec::new()),
        };
        for number in (1..=PARTS).map(PartNumber) {
            cancel.check()?;
            if !have.iter().any(|part| part.number == number) {
                let receipt = self.put_part(&request.file, &key, &id, number).await?;
                log.part(&id, &receipt).await?;
            }
            observer.sent(u64::from(number.0) * PART_BYTES, request.size_bytes);
        }
        self.change_outside(Call::CompleteUpload, |durable, _| {
            let there = upload(durable, &key, &id)?;
            let parts_there = there.parts.len();
            if there.standing == UploadStanding::Aborted || parts_there != PARTS as usize {
                return Err(PortError::new(
                    ErrorKind::Corrupt,
                    format!("{parts_there} parts of {PARTS} are there"),
                ));
            }
            there.standing = UploadStanding::Completed;
            object(durable, &key).size_bytes = Some(request.size_bytes);
            Ok(UploadReceipt {
                etag: Some("\"etag\"".into()),
                parts: PARTS,
                size_bytes: request.size_bytes,
            })
        })
        .await
    }

    async fn verify(&self, request: &UploadRequest, _: &UploadReceipt) -> Result<bool, PortError> {
        let key = key(&request.destination);
        self.call(Call::VerifyObject, |durable, _| {
            let object = object(durable, &key);
            if object.size_bytes != Some(request.size_bytes) {
                return Err(PortError::new(ErrorKind::Corrupt, "the object has another size"));
            }
            object.verified += 1;
            Ok(true)
        })
        .await
    }

    async fn abort(&self, destination: &Destination, log: Arc<dyn UploadLog>) -> Result<(), PortError> {
        let key = key(destination);
        let Some((id, ..)) = log.resume().await? else {
            return Ok(());
        };
        self.change_outside(Call::AbortUpload, |durable, moment| {
            if let Some(there) = object(durable, &key).uploads.get_mut(&id)
                && there.standing == UploadStanding::Open
            {
                there.standing = UploadStanding::Aborted;
                moment.records(durable, Change::Aborted);
            }
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl StoreClient for Process {
    async fn create(&self, _: &str) -> Result<CreatedMigration, PortError> {
        let external_id = Uuid::from_u128(self.world.draw()).to_string();
        self.change_outside(Call::CreateAtStore, |durable, _| {
            durable
                .store
                .insert(external_id.clone(), ObjectAtStore::default());
            Ok(CreatedMigration {
                upload_url: format!("https://store.example/{external_id}?X-Amz-Signature=secret"),
                external_id: external_id.clone(),
            })
        })
        .await
    }

    async fn multipart(&self, _: &str, _: u32) -> Result<MultipartUrls, PortError> {
        Err(PortError::new(
            ErrorKind::Unsupported,
            "the fake uploader needs no URLs",
        ))
    }

    async fn complete(&self, _: &str, _: &str, _: &[(PartNumber, String)]) -> Result<(), PortError> {
        Err(PortError::new(
            ErrorKind::Unsupported,
            "the fake uploader completes by itself",
        ))
    }

    async fn uploaded(&self, external_id: &str) -> Result<(), PortError> {
        self.change_outside(Call::TellStore, |durable, moment| {
            self.must_be_announced(Effect::TellStore, durable, moment);
            object(durable, external_id).told += 1;
            moment.records(durable, Change::Told);
            Ok(())
        })
        .await
    }
}
