//! Where everything lies on disk, and the order in which it is written.
//!
//! ```text
//! lock                                    held by the one process that uses the folder
//! signing.key                             the key of the presigned URLs, mode 0600
//! tmp/                                    bodies being received; emptied at every start
//! migrations/<id>/record.json             what is known of the migration
//! migrations/<id>/object-<uuid>           its object; the record names the valid one
//! migrations/<id>/parts-<upload>/00001-<md5>   a part, named for its number and MD5
//! ```
//!
//! A file gets its name only when it is complete and synced, and a record is replaced by rename: after a power
//! cut each is the old or the new. Calls block: callers run them on the blocking pool, under the migration's lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::StoreError;
use crate::record::{MigrationRecord, OpenUpload, RECORD_FORMAT};

/// The data folder.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Locked while the folder is open; the kernel lets go of it when the process ends, however it ends.
    _lock: File,
}

/// A file that is removed when dropped, unless it was given its final name.
#[derive(Debug)]
pub(crate) struct TempFile {
    path: PathBuf,
}

impl TempFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; a leftover goes at the next start.
        let _gone = fs::remove_file(&self.path);
    }
}

impl Folder {
    /// Makes what is missing, locks the folder and empties `tmp`.
    pub(crate) fn open(root: &Path) -> Result<Self, StoreError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Folder { what, path, source }
        };
        fs::create_dir_all(root).map_err(failed("create", root))?;
        let lock = root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock);
        let file = file.map_err(failed("open", &lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    path: root.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", &lock)(source)),
        }
        let folder = Self {
            root: root.to_owned(),
            _lock: file,
        };
        let migrations = folder.migrations();
        fs::create_dir_all(&migrations).map_err(failed("create", &migrations))?;
        let tmp = folder.root.join("tmp");
        if tmp.exists() {
            fs::remove_dir_all(&tmp).map_err(failed("empty", &tmp))?;
        }
        fs::create_dir_all(&tmp).map_err(failed("create", &tmp))?;
        Ok(folder)
    }

    pub(crate) fn signing_key(&self) -> PathBuf {
        self.root.join("signing.key")
    }

    /// A name for a body that is being received.
    pub(crate) fn temp(&self) -> TempFile {
        TempFile {
            path: self.root.join("tmp").join(Uuid::new_v4().to_string()),
        }
    }

    /// Every migration's record. Folders without one were begun by a start that died: they are nobody's.
    pub(crate) fn records(&self) -> Result<Vec<MigrationRecord>, StoreError> {
        let path = self.migrations();
        let failed = |source| StoreError::Folder {
            what: "list",
            path: path.clone(),
            source,
        };
        let mut records = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(id) = name.to_str().and_then(|name| Uuid::try_parse(name).ok()) else {
                continue;
            };
            let file = self.record_file(id);
            match self.load(id) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(StoreError::Damaged {
                        path: file,
                        why: error.to_string(),
                    });
                }
                Err(source) => {
                    return Err(StoreError::Folder {
                        what: "read",
                        path: file,
                        source,
                    });
                }
            }
        }
        Ok(records)
    }

    pub(crate) fn load(&self, id: Uuid) -> io::Result<Option<MigrationRecord>> {
        let bytes = match fs::read(self.record_file(id)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        let record: MigrationRecord =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if record.format != RECORD_FORMAT {
            return Err(damaged(format!("its format {} is not known here", record.format)));
        }
        Ok(Some(record))
    }

    pub(crate) fn save(&self, record: &MigrationRecord) -> io::Result<()> {
        let dir = self.dir(record.id);
        fs::create_dir_all(&dir)?;
        let temp = self.temp();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(temp.path())?;
        file.write_all(&serde_json::to_vec_pretty(record).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(temp.path(), dir.join("record.json"))?;
        sync_dir(&dir)?;
        sync_dir(&self.migrations())
    }

    /// A received and synced file becomes an object of the migration; answers its name there.
    pub(crate) fn keep_object(&self, id: Uuid, temp: &TempFile) -> io::Result<String> {
        let name = format!("object-{}", Uuid::new_v4());
        let dir = self.dir(id);
        fs::rename(temp.path(), dir.join(&name))?;
        sync_dir(&dir)?;
        Ok(name)
    }

    pub(crate) fn object(&self, id: Uuid, name: &str) -> PathBuf {
        self.dir(id).join(name)
    }

    /// A received and synced file becomes a part, in place of any earlier one of that number.
    pub(crate) fn keep_part(
        &self,
        id: Uuid,
        upload: Uuid,
        number: u32,
        md5: [u8; 16],
        temp: &TempFile,
    ) -> io::Result<()> {
        let dir = self.parts_dir(id, upload);
        fs::create_dir_all(&dir)?;
        let name = part_name(number, &hex::encode(md5));
        fs::rename(temp.path(), dir.join(&name))?;
        let prefix = part_name(number, "");
        for entry in fs::read_dir(&dir)? {
            let other = entry?.file_name();
            if other
                .to_str()
                .is_some_and(|other| other.starts_with(&prefix) && other != name)
            {
                fs::remove_file(dir.join(other))?;
            }
        }
        sync_dir(&dir)
    }

    /// Size of the part with that number and MD5 in hex; `None` if it is not here.
    pub(crate) fn part_size(
        &self,
        id: Uuid,
        upload: Uuid,
        number: u32,
        md5: &str,
    ) -> io::Result<Option<u64>> {
        match fs::metadata(self.parts_dir(id, upload).join(part_name(number, md5))) {
            Ok(facts) => Ok(Some(facts.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The parts with those MD5s, first number 1, one after another in one synced file.
    pub(crate) fn concatenate(&self, id: Uuid, upload: Uuid, md5s: &[String]) -> io::Result<(TempFile, u64)> {
        let temp = self.temp();
        let mut whole = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(temp.path())?;
        let mut size_bytes = 0;
        for (number, md5) in (1..).zip(md5s) {
            let mut part = File::open(self.parts_dir(id, upload).join(part_name(number, md5)))?;
            // The kernel copies, and shares the blocks where the file system can.
            size_bytes += io::copy(&mut part, &mut whole)?;
        }
        whole.sync_all()?;
        Ok((temp, size_bytes))
    }

    /// Removes objects and parts that the record does not speak of.
    pub(crate) fn remove_strays(&self, record: &MigrationRecord) -> io::Result<()> {
        let dir = self.dir(record.id);
        let object = record.object.as_ref().map(|object| object.file.as_str());
        let parts = record.upload.map(|OpenUpload { id, .. }| format!("parts-{id}"));
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with("object-") && Some(name) != object {
                fs::remove_file(dir.join(name))?;
            } else if name.starts_with("parts-") && Some(name) != parts.as_deref() {
                fs::remove_dir_all(dir.join(name))?;
            }
        }
        Ok(())
    }

    fn migrations(&self) -> PathBuf {
        self.root.join("migrations")
    }

    fn dir(&self, id: Uuid) -> PathBuf {
        self.migrations().join(id.to_string())
    }

    fn record_file(&self, id: Uuid) -> PathBuf {
        self.dir(id).join("record.json")
    }

    fn parts_dir(&self, id: Uuid, upload: Uuid) -> PathBuf {
        self.dir(id).join(format!("parts-{upload}"))
    }
}

fn part_name(number: u32, md5: &str) -> String {
    format!("{number:05}-{md5}")
}

/// A rename is durable once its directory is.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
