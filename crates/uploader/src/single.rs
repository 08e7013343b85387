//! A small object: one PUT.

use metaferry_domain::PortError;
use metaferry_domain::ports::{PartBody, UploadReceipt};

use crate::engine::Voyage;
use crate::file_range::md5_of;

/// Puts the whole file, again as often as the policy says.
pub(crate) async fn put(voyage: &Voyage<'_>) -> Result<UploadReceipt, PortError> {
    let size_bytes = voyage.request.size_bytes;
    let file = voyage.request.file.clone();
    let md5 = md5_of(&file, 0, size_bytes, voyage.cancel).await?;
    let body = PartBody {
        file,
        offset: 0,
        size_bytes,
        md5,
    };
    let etag = voyage
        .sending()
        .run("the upload", || async {
            let put = voyage.store.put(&body).await;
            voyage.file.unchanged()?;
            put
        })
        .await?;
    voyage.meter.arrived(0, size_bytes);
    Ok(UploadReceipt {
        etag,
        parts: 1,
        size_bytes,
    })
}
