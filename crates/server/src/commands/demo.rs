//! `demo`: a sample app DB through a whole migration, on embedded parts: an H2 file as the app DB, the state machine
//! as `migrate` runs it, and a store of its own that opens and restores what it received.

mod folder;
mod other_shore;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use metaferry_app_db::h2::{H2Source, H2Target, file_of};
use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::event::Canceller;
use metaferry_domain::plan::{DumpRetention, Strictness};
use metaferry_domain::ports::{Source, Target};
use metaferry_domain::state::{Arrived, MigrationState};
use metaferry_domain::{Cancellation, ErrorKind, PortError};
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_orchestrator::{Ended, NotBegun, Warnings};
use metaferry_sample::{SampleOptions, SampleSource};
use metaferry_transfer::copy::{CopyReport, copy};
use metaferry_transfer::dump::PolicyMaker;
use metaferry_transfer::verify::{Scan, scan};
use tokio_util::sync::CancellationToken;

use self::folder::Folder;
use self::other_shore::EmbeddedStore;
use self::report::Crossing;
use crate::cli::{DemoArgs, TableArgs};
use crate::config::Config;
use crate::exit::{CommandError, Ending};
use crate::output::{Output, Progress};
use crate::policy::MetabasePolicy;
use crate::{shutdown, wiring};

/// The seed of the sample: everybody's demo shows the same digests.
const SEED: u64 = 20_251;
/// The tag that the store is told, unless the environment names one.
const VERSION: &str = "v0.55.0";

pub(super) async fn run(args: DemoArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let began = Instant::now();
    let folder = Folder::open(args.dir.as_deref())?;
    let interrupt = Interrupt::watch();
    let crossed = cross(folder.path(), args.scale, config, output, &interrupt).await;
    let kept = folder.close()?;
    let crossing = crossed?;
    if let Some(kept) = kept {
        output.say(&format!("everything is in {}", kept.display()));
    }
    output.result(&crossing.text(), &crossing.json(began.elapsed().as_secs_f64()));
    Ok(if crossing.is_equal() {
        Ending::Done
    } else {
        Ending::Different
    })
}

/// Every step of the way, in a folder of its own.
async fn cross(
    folder: &Path,
    scale: f64,
    config: &Config,
    output: Output,
    interrupt: &Interrupt,
) -> Result<Crossing, CommandError> {
    let address = AppDbAddress::H2 {
        path: folder.join("metabase.db").to_string_lossy().into_owned(),
    };
    let file = file_of(&folder.join("metabase.db").to_string_lossy());
    let sample = SampleSource::new(SampleOptions { seed: SEED, scale });
    output.say(&format!(
        "1. a sample app DB of {} tables and {} rows is made: {}",
        sample.catalogue().tables.len(),
        sample.rows(),
        file.display()
    ));
    copy_all(&sample, &file, &interrupt.cancel).await?;

    let restored = folder.join("restored.mv.db");
    let mut store = EmbeddedStore::open(&folder.join("store"), &restored).await?;
    output.say(&format!("2. a store listens on {}", store.url()));

    let here = Config {
        metabase: metaferry_metabase::env::MetabaseEnv {
            app_db: address.clone(),
            store_api_url: store.url().to_owned(),
            migration_dump_file: None,
            migration_dump_version: None,
            encryption_secret: None,
            read_only_mode: None,
            ..config.metabase.clone()
        },
        data_dir: folder.join("data"),
        metabase_version: Some(
            config
                .metabase_version
                .clone()
                .unwrap_or_else(|| VERSION.to_owned()),
        ),
        ..config.clone()
    };
    let arrived = migrate(&here, &address, output, interrupt).await?;
    output.say(&format!(
        "4. the store opens what arrived ({} bytes, {:?}) and restores it: {}",
        arrived.file.size_bytes,
        arrived.check,
        restored.display()
    ));
    let received = tokio::select! {
        received = store.restored() => received?,
        () = interrupt.token.cancelled() => return Err(interrupted()),
    };
    store.close().await?;

    output.say("5. both shores are read and compared");
    let source = H2Source::new(&file).snapshot().await?;
    let policy = MetabasePolicy::usual().decide(&*source).await?.policy;
    let left = scan(&*source, &policy, &interrupt.cancel)
        .await
        .map_err(PortError::from)?;
    source.close().await?;
    let right = read_all(&restored, &interrupt.cancel).await?;
    Ok(Crossing::new(left, received, right, arrived))
}

/// The state machine, wired as for `migrate`.
async fn migrate(
    config: &Config,
    address: &AppDbAddress,
    output: Output,
    interrupt: &Interrupt,
) -> Result<Arrived, CommandError> {
    let choices = wiring::Choices {
        purpose: wiring::Purpose::Migrate,
        to: "store".to_owned(),
        strength: metaferry_domain::migration::ReadOnlyStrength::Flag,
        read_only_max: wiring::READ_ONLY_MAX,
        nodes: None,
        retention: DumpRetention::Delete,
        strictness: Strictness::Lenient,
        warnings: Warnings::Refuse,
        tables: TableArgs {
            include: Vec::new(),
            exclude: Vec::new(),
        },
    };
    let orchestrator = wiring::shores(config, address, choices).await?.orchestrator;
    let row = orchestrator
        .start()
        .await
        .map_err(|NotBegun { error, .. }| error)?;
    output.say(&format!(
        "3. migration {} has begun: snapshot, dump, upload",
        row.external_id
    ));
    let ended = orchestrator.ended();
    tokio::pin!(ended);
    let ended = tokio::select! {
        ended = &mut ended => ended,
        () = interrupt.token.cancelled() => {
            orchestrator.cancel(Canceller::Interrupt).await?;
            ended.await
        }
    };
    match ended {
        Some(Ended::Settled(state) | Ended::Stuck(state)) => match *state {
            MigrationState::Done { arrived, .. } => Ok(arrived),
            MigrationState::Cancelled { .. } => Err(interrupted()),
            state @ (MigrationState::Init { .. }
            | MigrationState::Setup { .. }
            | MigrationState::Dump { .. }
            | MigrationState::Upload { .. }
            | MigrationState::RollingBack { .. }
            | MigrationState::Error { .. }) => {
                let why = state
                    .failure()
                    .map_or_else(|| "it did not end".to_owned(), |failure| failure.message.clone());
                Err(CommandError::new(
                    Ending::Failed,
                    format!("the migration failed: {why}"),
                ))
            }
        },
        Some(Ended::LeaseLost) | None => Err(CommandError::new(Ending::Failed, "the migration was lost")),
    }
}

/// Copies everything, tables, rows and views, into a new H2 file.
async fn copy_all(source: &dyn Source, file: &Path, cancel: &Cancellation) -> Result<CopyReport, PortError> {
    let snapshot = source.snapshot().await?;
    let mut target: Box<dyn Target> = Box::new(H2Target::new(file));
    let progress = Arc::new(Progress::new("copy"));
    let copied = copy(
        &*snapshot,
        &mut *target,
        &CopyPolicy::default(),
        progress.clone(),
        cancel,
    )
    .await?;
    target.finish().await?;
    progress.end();
    snapshot.close().await?;
    Ok(copied)
}

/// Rows and digest of every table of an H2 file, and its foreign keys.
async fn read_all(file: &Path, cancel: &Cancellation) -> Result<Scan, PortError> {
    let snapshot = H2Source::new(file).snapshot().await?;
    let found = scan(&*snapshot, &CopyPolicy::default(), cancel).await?;
    snapshot.close().await?;
    Ok(found)
}

/// SIGINT or SIGTERM, for those who ask and those who wait.
#[derive(Debug)]
struct Interrupt {
    cancel: Cancellation,
    token: CancellationToken,
}

impl Interrupt {
    fn watch() -> Self {
        let (cancel, token) = (Cancellation::new(), CancellationToken::new());
        let (asked, waited) = (cancel.clone(), token.clone());
        tokio::spawn(async move {
            shutdown::requested().await;
            asked.cancel();
            waited.cancel();
        });
        Self { cancel, token }
    }
}

fn interrupted() -> CommandError {
    PortError::new(ErrorKind::Cancelled, "interrupted").into()
}

#[cfg(test)]
mod tests;
