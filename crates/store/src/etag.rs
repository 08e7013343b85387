//! `ETag`s as S3 makes them, of bytes that arrive and of bytes that lie on the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use md5::{Digest as _, Md5};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Of an object put whole: its MD5, quoted.
pub(crate) fn etag_of_whole(md5: [u8; 16]) -> String {
    format!("\"{}\"", hex::encode(md5))
}

/// Of an object made of parts: MD5 of the parts' MD5s, a dash, how many.
pub(crate) fn etag_of_parts(md5s: impl Iterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hash = Md5::new();
    let mut count = 0_u64;
    for md5 in md5s {
        hash.update(md5.as_ref());
        count += 1;
    }
    format!("\"{}-{count}\"", hex::encode(hash.finalize()))
}

/// What the `ETag` of a file would be: of parts of these sizes, or whole if there are none.
pub(crate) fn etag_of_file(path: &Path, part_sizes: &[u64]) -> io::Result<String> {
    let mut file = File::open(path)?;
    if part_sizes.is_empty() {
        return md5_of(&mut file).map(etag_of_whole);
    }
    let md5s = part_sizes
        .iter()
        .map(|size| md5_of(&mut (&mut file).take(*size)))
        .collect::<io::Result<Vec<_>>>()?;
    Ok(etag_of_parts(md5s.into_iter()))
}

fn md5_of(bytes: &mut impl Read) -> io::Result<[u8; 16]> {
    let mut hash = Md5::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::etag_of_file;

    /// Computed with another program: `md5sum`, and `md5sum` of the two binary sums.
    #[test]
    fn a_file_has_the_etag_that_it_was_received_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        std::fs::write(&path, b"hello world").unwrap();
        assert_eq!(
            etag_of_file(&path, &[]).unwrap(),
            "\"5eb63bbbe01eeed093cb22bb8f5acdc3\""
        );
        assert_eq!(
            etag_of_file(&path, &[5, 6]).unwrap(),
            "\"a56979024342128ecebc884e3442121b-2\""
        );
    }
}
