//! An application that is not Metabase migrates itself: its tables, its guard, its jobs, its own other shore.
//!
//! `cargo run -p metaferry-orchestrator --example own_app -- FOLDER`
//!
//! It begins a migration and cancels it in the middle, which leaves everything as it was; then it begins another one, which
//! arrives in `FOLDER/harbour` as an H2 file. Read `app.rs` first, then [`ports`], then [`voyage`].
#![expect(clippy::print_stdout, reason = "a program for people")]

mod app;
mod harbour;
mod snapshot;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metaferry_app_db::sqlite::SqliteState;
use metaferry_domain::MigrationState;
use metaferry_domain::event::Canceller;
use metaferry_domain::migration::Phase;
use metaferry_domain::plan::MigrationPlan;
use metaferry_domain::ports::Plaintext;
use metaferry_orchestrator::in_process::{LogNotifier, NothingOutside, RandomIds, SystemClock};
use metaferry_orchestrator::{Ended, Orchestrator, OtherShore, Ports, Settings, Warnings};
use metaferry_transfer::dump::{Existing, FileDumper, Reread};

use app::App;
use harbour::Harbour;
use snapshot::{Everything, H2Files};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: own_app FOLDER")?;
    std::fs::create_dir_all(folder.join("harbour"))?;
    let (app, harbour) = (App::new(), Arc::new(Harbour::in_folder(folder.join("harbour"))));
    let orchestrator = Orchestrator::new(ports(&app, &harbour, &folder).await?, settings(&folder));
    // What an earlier run of this program left in the middle comes first.
    orchestrator.recover().await?;
    // A person has paused this one, and it stays so whatever is migrated.
    app.jobs.pause("newsletter");

    println!("== a migration that somebody cancels");
    harbour.shut();
    let ended = voyage(&app, &orchestrator, Phase::Cancelled).await?;
    println!("ended: {}", ended.0);
    as_before(&app)?;

    println!("== a migration that arrives");
    harbour.open();
    let ended = voyage(&app, &orchestrator, Phase::Done).await?;
    println!("ended: {}", ended.0);
    as_before(&app)?;
    for (table, rows) in ended.1 {
        println!("carried: {table} {rows}");
    }
    Ok(())
}

/// What stands behind each port. Only four of them are this application's own work.
async fn ports(app: &App, harbour: &Arc<Harbour>, folder: &Path) -> Result<Ports, Box<dyn Error>> {
    // Lease, journal and rows survive a crash in a file of their own.
    let state = Arc::new(SqliteState::open(&folder.join("state.sqlite")).await?);
    let dumper = FileDumper::new(
        Arc::new(app.clone()),
        Arc::new(H2Files),
        Arc::new(Everything),
        Existing::Refuse,
        Reread::Verify,
    );
    Ok(Ports {
        rows: state.clone(),
        journal: state.clone(),
        lease: state,
        read_only: app.guard.clone(),
        scheduler: Arc::new(app.jobs.clone()),
        switch: Arc::new(NothingOutside),
        preflight: Arc::new(NothingOutside),
        undo_script: Arc::new(NothingOutside),
        dumper: Arc::new(dumper),
        uploader: harbour.clone(),
        shore: OtherShore::Bucket {
            bucket: "harbour".to_owned(),
            prefix: String::new(),
        },
        notifier: Arc::new(LogNotifier),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    })
}

fn settings(folder: &Path) -> Settings {
    Settings {
        plan: MigrationPlan::default(),
        node: "own_app".to_owned(),
        lease_term: Duration::from_secs(30),
        watch_every: Duration::from_millis(500),
        jobs_wait_max: Duration::from_secs(60),
        propagation: None,
        nodes: None,
        dump_folder: folder.to_owned(),
        dump_file: None,
        plaintext: Plaintext::Keep,
        warnings: Warnings::Refuse,
    }
}

/// One migration, its progress printed, cancelled in the upload if that is how it is to end.
async fn voyage(
    app: &App,
    orchestrator: &Orchestrator,
    wanted: Phase,
) -> Result<(Phase, Vec<(String, u64)>), Box<dyn Error>> {
    let (writes, written) = tokio::sync::oneshot::channel();
    let minutes = tokio::spawn(app.clone().take_minutes(writes, |line| println!("{line}")));
    // Before it has written its first, the migration would hold it off.
    written.await?;
    orchestrator.start().await.map_err(|not_begun| not_begun.error)?;
    let mut view = orchestrator.view().await.ok_or("it was begun")?;
    let mut shown = None;
    while view.changed().await.is_ok() {
        let state = view.borrow_and_update().state.clone();
        let now = (state.phase(), state.run().progress.percent());
        if shown != Some(now) {
            println!("progress: {} {} %", now.0, now.1);
            shown = Some(now);
        }
        if wanted == Phase::Cancelled && now.0 == Phase::Upload {
            orchestrator
                .cancel(Canceller::Caller("somebody".to_owned()))
                .await?;
        }
    }
    minutes.await?;
    match orchestrator.ended().await {
        Some(Ended::Settled(state)) if state.phase() == wanted => {
            let tables = snapshot_of(&state);
            Ok((wanted, tables))
        }
        other => Err(format!("it was to be {wanted}, and ended as {other:?}").into()),
    }
}

/// Rows carried, table by table.
fn snapshot_of(state: &MigrationState) -> Vec<(String, u64)> {
    match state {
        MigrationState::Done { arrived, .. } => {
            let tables = arrived.snapshot.tables.iter();
            tables.map(|table| (table.name.clone(), table.rows)).collect()
        }
        MigrationState::Init { .. }
        | MigrationState::Setup { .. }
        | MigrationState::Dump { .. }
        | MigrationState::Upload { .. }
        | MigrationState::RollingBack { .. }
        | MigrationState::Error { .. }
        | MigrationState::Cancelled { .. } => Vec::new(),
    }
}

/// Writes pass again, jobs run again, and what a person had paused is still paused.
fn as_before(app: &App) -> Result<(), Box<dyn Error>> {
    app.add_note("after the voyage")?;
    println!("write passed: notes");
    for job in ["digest", "newsletter"] {
        println!(
            "job {job}: {}",
            app.jobs.begin(job).map_or("held off", |_| "runs")
        );
    }
    Ok(())
}
