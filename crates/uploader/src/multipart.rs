//! A large object: create, parts several at once, complete; going on where an earlier process stopped.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use md5::{Digest, Md5};
use metaferry_domain::part_plan::{Part, PartNumber, PartPlan};
use metaferry_domain::ports::{PartBody, PartReceipt, UploadReceipt};
use metaferry_domain::{ErrorKind, PortError};

use crate::engine::Voyage;
use crate::file_range::{md5_of, sha256_of};
use crate::presigned::md5_in;

/// An upload that was begun, by this process or an earlier one.
struct Upload {
    id: String,
    plan: PartPlan,
    arrived: BTreeMap<PartNumber, Arrived>,
}

/// A part that arrived.
struct Arrived {
    receipt: PartReceipt,
    /// Of our bytes.
    md5: [u8; 16],
}

/// What is known of an upload when a process begins.
enum Before {
    Nothing,
    Parts(Upload),
    /// It was completed and the answer lost.
    Completed(UploadReceipt),
}

/// Sends what is missing and completes.
pub(crate) async fn send(voyage: &Voyage<'_>, plan: PartPlan) -> Result<UploadReceipt, PortError> {
    let mut upload = match resumed(voyage).await? {
        Before::Completed(receipt) => return Ok(receipt),
        Before::Parts(upload) => upload,
        Before::Nothing => begin(voyage, plan).await?,
    };
    let mut renewals = 0;
    loop {
        let before = upload.arrived.len();
        let error = match send_missing(voyage, &mut upload).await {
            Ok(()) => break,
            Err(error) => error,
        };
        // A second refusal with no part in between is no expiry.
        let hopeless = renewals > 0 && upload.arrived.len() == before;
        if hopeless || renewals == voyage.config.renewals_max {
            return Err(error);
        }
        renewals += 1;
        upload = match error.kind {
            ErrorKind::Denied | ErrorKind::NotFound => renewed(voyage, upload, error).await?,
            ErrorKind::Conflict
            | ErrorKind::Precondition
            | ErrorKind::Unavailable
            | ErrorKind::Corrupt
            | ErrorKind::Unsupported
            | ErrorKind::Exhausted
            | ErrorKind::Cancelled => return Err(error),
        };
    }
    complete(voyage, &upload).await
}

async fn begin(voyage: &Voyage<'_>, plan: PartPlan) -> Result<Upload, PortError> {
    let id = voyage
        .sending()
        .run("beginning the upload", || voyage.store.create(plan.count()))
        .await?;
    begun(voyage, id, plan).await
}

async fn begun(voyage: &Voyage<'_>, id: String, plan: PartPlan) -> Result<Upload, PortError> {
    // Remembered before the first part goes, so that an abort finds it whatever happens.
    voyage.log.begun(&id, plan.part_size_bytes()).await?;
    voyage.meter.begin_again();
    Ok(Upload {
        id,
        plan,
        arrived: BTreeMap::new(),
    })
}

/// What an earlier process left and is still good.
async fn resumed(voyage: &Voyage<'_>) -> Result<Before, PortError> {
    let Some((id, part_size_bytes, remembered)) = voyage.log.resume().await? else {
        return Ok(Before::Nothing);
    };
    let plan = match voyage
        .config
        .rules
        .resume(voyage.request.size_bytes, part_size_bytes)
    {
        Ok(plan) => plan,
        Err(error) => {
            tracing::info!(%error, "the upload that was begun does not fit the file: a new one is begun");
            return Ok(Before::Nothing);
        }
    };
    let listed = voyage
        .sending()
        .run("listing the parts that arrived", || voyage.store.parts(&id))
        .await;
    let candidates = match listed {
        // The store knows better than we: a part may have arrived whose answer was lost.
        Ok(Some(listed)) => listed,
        Ok(None) => remembered,
        Err(error) if error.kind == ErrorKind::NotFound => {
            let upload = Upload {
                id,
                plan,
                arrived: trusted(voyage, plan, remembered).await?,
            };
            if let Some(receipt) = completed_before(voyage, &upload).await? {
                return Ok(Before::Completed(receipt));
            }
            tracing::info!("the store no longer has the upload that was begun: a new one is begun");
            return Ok(Before::Nothing);
        }
        Err(error) => return Err(error),
    };
    let arrived = trusted(voyage, plan, candidates).await?;
    for (number, Arrived { receipt, .. }) in &arrived {
        let offset = plan.part(*number).map(|part| part.offset).unwrap_or_default();
        voyage.meter.arrived(offset, receipt.size_bytes);
    }
    tracing::info!(arrived = arrived.len(), of = plan.count(), "an upload goes on");
    Ok(Before::Parts(Upload { id, plan, arrived }))
}

/// Those parts that hold the bytes which the file has now.
///
/// An `ETag` that is the MD5 of our bytes proves its part. Stores that encrypt give `ETag`s that look like MD5s
/// and are none: where not a single one matches, the file's own SHA-256 says whether it is still what was sent.
async fn trusted(
    voyage: &Voyage<'_>,
    plan: PartPlan,
    candidates: Vec<PartReceipt>,
) -> Result<BTreeMap<PartNumber, Arrived>, PortError> {
    let request = voyage.request;
    let mut proved = BTreeMap::new();
    let mut unproved = BTreeMap::new();
    for receipt in candidates {
        let Some(part) = plan
            .part(receipt.number)
            .filter(|part| part.size_bytes == receipt.size_bytes)
        else {
            continue;
        };
        let md5 = md5_of(&request.file, part.offset, part.size_bytes, voyage.cancel).await?;
        let into = if md5_in(&receipt.etag) == Some(md5) {
            &mut proved
        } else {
            &mut unproved
        };
        into.insert(part.number, Arrived { receipt, md5 });
    }
    if proved.is_empty() && !unproved.is_empty() {
        let now = match &request.sha256 {
            Some(_) => Some(sha256_of(&request.file, 0, request.size_bytes, voyage.cancel).await?),
            None => None,
        };
        if now.is_some() && now == request.sha256 {
            return Ok(unproved);
        }
    }
    Ok(proved)
}

/// Sends every part that has not arrived, several at once. On a failure the others are dropped; those that
/// arrived stay in `upload`.
async fn send_missing(voyage: &Voyage<'_>, upload: &mut Upload) -> Result<(), PortError> {
    let plan = upload.plan;
    let missing: Vec<Part> = plan
        .parts()
        .filter(|part| !upload.arrived.contains_key(&part.number))
        .collect();
    let id = upload.id.clone();
    let mut under_way = stream::iter(missing)
        .map(|part| send_part(voyage, &id, part))
        .buffer_unordered(voyage.config.concurrency.max(1));
    while let Some(arrived) = under_way.next().await {
        let arrived = arrived?;
        upload.arrived.insert(arrived.receipt.number, arrived);
    }
    Ok(())
}

async fn send_part(voyage: &Voyage<'_>, upload_id: &str, part: Part) -> Result<Arrived, PortError> {
    let Part {
        number,
        offset,
        size_bytes,
    } = part;
    let file = voyage.request.file.clone();
    let md5 = md5_of(&file, offset, size_bytes, voyage.cancel).await?;
    let body = PartBody {
        file,
        offset,
        size_bytes,
        md5,
    };
    let etag = voyage
        .sending()
        .run(&format!("part {number}"), || async {
            let put = voyage.store.put_part(upload_id, number, &body).await;
            // Checked after every try: a changed file explains a failure better than the store can.
            voyage.file.unchanged()?;
            put
        })
        .await?;
    let receipt = PartReceipt {
        number,
        etag,
        size_bytes,
    };
    voyage.log.part(upload_id, &receipt).await?;
    voyage.meter.arrived(offset, size_bytes);
    Ok(Arrived { receipt, md5 })
}

/// The store refused `upload`, because its URLs expired or it ended the upload: go on with fresh URLs where the
/// store renews them, else begin anew.
async fn renewed(voyage: &Voyage<'_>, upload: Upload, refusal: PortError) -> Result<Upload, PortError> {
    let plan = upload.plan;
    match voyage.store.parts(&upload.id).await {
        // The upload is there and can be looked at: what is refused is us.
        Ok(Some(_)) => return Err(refusal),
        Ok(None) => {}
        Err(error) if error.kind == ErrorKind::NotFound => {
            tracing::info!(
                refusal = refusal.chain(),
                "the store ended the upload: a new one is begun"
            );
            return begin(voyage, plan).await;
        }
        Err(error) => return Err(error),
    }
    let id = voyage
        .sending()
        .run("renewing the upload", || voyage.store.create(plan.count()))
        .await?;
    if id == upload.id {
        tracing::info!(
            arrived = upload.arrived.len(),
            of = plan.count(),
            "the store renewed the URLs of the upload"
        );
        return Ok(upload);
    }
    tracing::info!(
        refusal = refusal.chain(),
        lost = upload.arrived.len(),
        "the URLs of the upload are gone and this store renews none: all parts are sent again in a new upload"
    );
    begun(voyage, id, plan).await
}

async fn complete(voyage: &Voyage<'_>, upload: &Upload) -> Result<UploadReceipt, PortError> {
    let parts: Vec<PartReceipt> = upload
        .arrived
        .values()
        .map(|arrived| arrived.receipt.clone())
        .collect();
    let completion = voyage
        .sending()
        .run("completing the upload", || {
            voyage.store.complete(&upload.id, &parts)
        })
        .await;
    let etag = match completion {
        Ok(etag) => etag.filter(|etag| !etag.trim_matches('"').is_empty()),
        // A completion whose answer was lost ends the upload: the next try does not find it.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {
            return completed_before(voyage, upload).await?.ok_or(error);
        }
        Err(error) => return Err(error),
    };
    // Some stores give no ETag in the answer to a completion; then the object itself has it.
    let etag = match etag {
        Some(etag) => Some(etag),
        None => {
            let facts = voyage
                .sending()
                .run("looking at the object", || voyage.store.facts())
                .await?;
            facts.and_then(|facts| facts.etag)
        }
    };
    if let (Some(etag), Some(expected)) = (&etag, expected_etag(upload))
        && is_multipart_etag(etag)
        && etag.trim_matches('"') != expected
    {
        return Err(PortError::new(
            ErrorKind::Corrupt,
            format!("the store put other parts together than were sent: its ETag is {etag}, not {expected}"),
        ));
    }
    voyage.file.unchanged()?;
    Ok(UploadReceipt {
        etag,
        parts: upload.plan.count(),
        size_bytes: upload.plan.size_bytes(),
    })
}

/// The object, if it can be seen and is certainly the one of this upload.
async fn completed_before(voyage: &Voyage<'_>, upload: &Upload) -> Result<Option<UploadReceipt>, PortError> {
    let seen = match voyage
        .sending()
        .run("looking at the object", || voyage.store.facts())
        .await
    {
        Ok(seen) => seen,
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let (size_bytes, parts) = (upload.plan.size_bytes(), upload.plan.count());
    let expected = expected_etag(upload);
    Ok(seen.and_then(|facts| {
        let etag = facts.etag?;
        let ours = facts.size_bytes == size_bytes && Some(etag.trim_matches('"')) == expected.as_deref();
        ours.then_some(UploadReceipt {
            etag: Some(etag),
            parts,
            size_bytes,
        })
    }))
}

/// MD5 of the parts' MD5s, a dash, how many; `None` where parts are missing or their `ETag`s are no MD5s.
fn expected_etag(upload: &Upload) -> Option<String> {
    let mut hash = Md5::new();
    for part in upload.plan.parts() {
        let arrived = upload.arrived.get(&part.number)?;
        if md5_in(&arrived.receipt.etag) != Some(arrived.md5) {
            return None;
        }
        hash.update(arrived.md5);
    }
    Some(format!(
        "{}-{}",
        hex::encode(hash.finalize()),
        upload.plan.count()
    ))
}

fn is_multipart_etag(etag: &str) -> bool {
    let bare = etag.trim_matches('"');
    bare.split_once('-')
        .is_some_and(|(md5, count)| md5_in(md5).is_some() && count.parse::<u32>().is_ok())
}
