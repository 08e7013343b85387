//! H2 files as the format of dumps, and what a store asks of a dump that arrived.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use metaferry_app_db::h2::{H2Source, H2Target};
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::ports::{Source, Target};
use metaferry_domain::{Cancellation, PortError};
use metaferry_h2_file::{Compression, WriteOptions};
use metaferry_store::{DumpFacts, DumpInspector, TableFacts};
use metaferry_transfer::dump::DumpFormat;
use metaferry_transfer::verify::scan;

/// Dumps are H2 files.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct H2Format {
    pub(crate) compression: Compression,
}

#[async_trait]
impl DumpFormat for H2Format {
    async fn create(&self, file: &Path) -> Result<Box<dyn Target>, PortError> {
        let options = WriteOptions {
            compression: self.compression,
            ..WriteOptions::default()
        };
        Ok(Box::new(H2Target::with_options(file, options)))
    }

    async fn open(&self, file: &Path) -> Result<Box<dyn Source>, PortError> {
        Ok(Box::new(H2Source::new(file)))
    }

    fn unfinished(&self, file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        PathBuf::from(name)
    }
}

/// Opens what a store received and reads all of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct H2Inspector;

#[async_trait]
impl DumpInspector for H2Inspector {
    async fn inspect(&self, file: &Path) -> Result<DumpFacts, PortError> {
        let snapshot = H2Source::new(file).snapshot().await?;
        let found = scan(&*snapshot, &CopyPolicy::default(), &Cancellation::new()).await?;
        let users = found
            .tables
            .iter()
            .find(|table| table.name == "core_user")
            .map_or(0, |table| table.rows);
        let tables = found
            .tables
            .into_iter()
            .map(|table| TableFacts {
                name: table.name,
                rows: table.rows,
                digest: table.digest,
            })
            .collect();
        Ok(DumpFacts {
            tables,
            users,
            dangling: found.dangling,
        })
    }
}
