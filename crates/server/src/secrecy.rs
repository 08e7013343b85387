//! What becomes of values that Metabase keeps encrypted: whether the key at hand is the database's own is proved before the
//! first row moves, and every column that could not be carried as asked is named at once.

use std::sync::Arc;

use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{Plaintext, RowOrder, Snapshot, TableRead};
use metaferry_domain::recoding::{Recoding, ValueRecoder};
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Column;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::encryption::DerivedKey;
use metaferry_metabase::encryption::envelope::Keyring;
use metaferry_metabase::encryption::recode::{
    Decryption, ENCRYPTABLE_MAJOR_MAX, ENCRYPTED_COLUMNS, Encryption, Sentinel, Unreadable,
};
use metaferry_metabase::encryption::rekey::SENTINEL_SINCE_MAJOR;
use metaferry_metabase::encryption::sentinel::{SENTINEL_SETTING, SentinelState, check_sentinel};
use metaferry_metabase::env::MetabaseEnv;
use metaferry_metabase::error::KeyTooShort;

use crate::exit::CommandError;
use crate::policy::setting;

/// Rows are looked through in batches of this size.
const LOOK_BYTES: usize = 1 << 18;

/// What a person wants of encrypted values.
#[derive(Debug, Clone)]
pub(crate) enum Secrecy {
    /// They go along as they are.
    Keep,
    /// There are none, or the copy is refused: whoever opens it will not have the key.
    Absent,
    /// They are decrypted.
    Decrypt {
        /// The key of `MB_ENCRYPTION_SECRET_KEY`.
        key: Option<DerivedKey>,
        /// What happens to a value that no key opens.
        unreadable: Unreadable,
    },
    /// What is plain is encrypted.
    Encrypt {
        /// The key of `MB_ENCRYPTION_SECRET_KEY`.
        key: DerivedKey,
    },
}

impl Secrecy {
    /// Decrypting with the key that the environment names, if it names one.
    pub(crate) fn decrypt(metabase: &MetabaseEnv, unreadable: Unreadable) -> Result<Self, CommandError> {
        let key = metabase.derive_encryption_key().map_err(unusable)?;
        Ok(Self::Decrypt { key, unreadable })
    }

    /// Encrypting with the key that the environment names.
    pub(crate) fn encrypt(metabase: &MetabaseEnv) -> Result<Self, CommandError> {
        match metabase.derive_encryption_key().map_err(unusable)? {
            Some(key) => Ok(Self::Encrypt { key }),
            None => Err(CommandError::usage(
                "--encrypt needs MB_ENCRYPTION_SECRET_KEY, the key that the Metabase on the target will have",
            )),
        }
    }

    /// What goes to the cloud is plain: the cloud does not have the key.
    pub(crate) fn for_the_cloud(metabase: &MetabaseEnv) -> Result<Self, CommandError> {
        match metabase.encryption_secret {
            Some(_) => Self::decrypt(metabase, Unreadable::Refuse),
            None => Ok(Self::Absent),
        }
    }

    /// The same in the words of the policy.
    pub(crate) fn plaintext(&self) -> Plaintext {
        match self {
            Self::Keep | Self::Absent | Self::Encrypt { .. } => Plaintext::Keep,
            Self::Decrypt { .. } => Plaintext::Decrypt,
        }
    }

    /// Proves that the snapshot can be carried so, and makes it part of `policy`; answers notes.
    pub(crate) async fn apply(
        &self,
        snapshot: &dyn Snapshot,
        major: Option<u32>,
        policy: &mut CopyPolicy,
    ) -> Result<Vec<String>, PortError> {
        let stored = setting(snapshot, SENTINEL_SETTING).await?;
        let recoder: Arc<dyn ValueRecoder> = match self {
            Self::Keep => {
                return Ok(match check_sentinel(stored.as_deref(), None) {
                    SentinelState::Absent | SentinelState::Unencrypted => Vec::new(),
                    SentinelState::KeyMissing | SentinelState::WrongKey | SentinelState::Verified => {
                        vec![
                            "the app DB is encrypted; whoever opens the copy needs the same MB_ENCRYPTION_SECRET_KEY"
                                .to_owned(),
                        ]
                    }
                });
            }
            Self::Absent => return own(check_sentinel(stored.as_deref(), None)).map(|()| Vec::new()),
            Self::Decrypt { key, unreadable } => {
                let keys = match key {
                    Some(key) => Some(keyring(key, snapshot).await?),
                    None => None,
                };
                own(check_sentinel(stored.as_deref(), keys.as_ref()))?;
                Arc::new(Decryption::new(keys, *unreadable))
            }
            Self::Encrypt { key } => {
                let Some(major) = major.filter(|major| *major <= ENCRYPTABLE_MAJOR_MAX) else {
                    let what = format!(
                        "what a Metabase after v{ENCRYPTABLE_MAJOR_MAX} (or of an unknown version) keeps encrypted cannot be told from outside; \
                         leave --encrypt out: that Metabase encrypts its app DB itself when it starts with the key"
                    );
                    return Err(PortError::new(ErrorKind::Unsupported, what));
                };
                let keys = keyring(key, snapshot).await?;
                own(check_sentinel(stored.as_deref(), Some(&keys)))?;
                let sentinel = if major >= SENTINEL_SINCE_MAJOR {
                    Sentinel::Written
                } else {
                    Sentinel::Unknown
                };
                Arc::new(Encryption::new(keys, Arc::new(random), sentinel))
            }
        };
        prove(snapshot, &*recoder).await?;
        policy.recoding = Some(Recoding(recoder));
        Ok(Vec::new())
    }
}

fn unusable(error: KeyTooShort) -> CommandError {
    CommandError::usage(format!("MB_ENCRYPTION_SECRET_KEY: {error}"))
}

fn own(sentinel: SentinelState) -> Result<(), PortError> {
    let what = match sentinel {
        SentinelState::Absent | SentinelState::Unencrypted | SentinelState::Verified => return Ok(()),
        SentinelState::KeyMissing => {
            "the app DB is encrypted (setting encryption-check): give its MB_ENCRYPTION_SECRET_KEY"
        }
        SentinelState::WrongKey => {
            "MB_ENCRYPTION_SECRET_KEY is not the key of this app DB: it does not open the setting encryption-check"
        }
    };
    Err(PortError::new(ErrorKind::Precondition, what))
}

/// The key, and the data keys that the database keeps under it.
pub(crate) async fn keyring(key: &DerivedKey, snapshot: &dyn Snapshot) -> Result<Keyring, PortError> {
    let mut keys = Keyring::new(key.clone());
    let Some(table) = snapshot.catalogue().table("data_encryption_key") else {
        return Ok(keys);
    };
    let place = |column: &str| table.columns.iter().position(|there| there.name.key() == column);
    let (Some(id), Some(material)) = (place("id"), place("key_material")) else {
        return Ok(keys);
    };
    let read = TableRead {
        table: table.name.key(),
        columns: vec![id, material],
        order: RowOrder::Any,
    };
    let mut reader = snapshot.read(&read).await?;
    let mut batch = RowBatch::new(2);
    loop {
        reader.next(&mut batch, LOOK_BYTES).await?;
        if batch.rows() == 0 {
            return Ok(keys);
        }
        for row in 0..batch.rows() {
            let (Cell::Int(id), Cell::Bytes(material)) = (batch.cell(row, 0), batch.cell(row, 1)) else {
                continue;
            };
            let generation = u32::try_from(id).unwrap_or(u32::MAX);
            keys.unwrap_data_key(generation, material).map_err(|error| {
                let what = format!(
                    "MB_ENCRYPTION_SECRET_KEY is not the key of this app DB: it does not open data key {id} in table data_encryption_key"
                );
                PortError::new(ErrorKind::Precondition, what).because(error)
            })?;
        }
    }
}

/// Recodes what is known to be encrypted once for nothing: what would stop the copy in its middle stops it here, named
/// column by column. Columns that nobody knows of are met on the way.
async fn prove(snapshot: &dyn Snapshot, recoder: &dyn ValueRecoder) -> Result<(), PortError> {
    let mut problems: Vec<String> = Vec::new();
    for (name, column) in ENCRYPTED_COLUMNS {
        let Some(table) = snapshot.catalogue().table(name) else {
            continue;
        };
        let wanted: Vec<usize> = (0..table.columns.len())
            .filter(|&at| {
                let key = table.columns[at].name.key();
                key == column || (name == "setting" && key == "key")
            })
            .collect();
        let columns: Vec<&Column> = wanted.iter().map(|&at| &table.columns[at]).collect();
        let Some(mut rows) = recoder.table(table, &columns) else {
            continue;
        };
        let read = TableRead {
            table: table.name.key(),
            columns: wanted,
            order: RowOrder::Any,
        };
        let mut reader = snapshot.read(&read).await?;
        let mut batch = RowBatch::new(columns.len());
        'table: loop {
            reader.next(&mut batch, LOOK_BYTES).await?;
            if batch.rows() == 0 {
                break;
            }
            for row in 0..batch.rows() {
                for at in 0..columns.len() {
                    if let Err(problem) = rows.recode(&batch, row, at, batch.cell(row, at)) {
                        problems.push(problem.chain());
                        break 'table;
                    }
                }
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(PortError::new(ErrorKind::Precondition, problems.join("; ")))
}

/// An initialisation vector: sixteen bytes of the system's randomness.
pub(crate) fn random() -> [u8; 16] {
    // Two identifiers, for each has six bits that are always the same.
    let (one, other) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&one.as_bytes()[..8]);
    bytes[8..].copy_from_slice(&other.as_bytes()[..8]);
    bytes[6] ^= one.as_bytes()[9];
    bytes[14] ^= other.as_bytes()[9];
    bytes
}
