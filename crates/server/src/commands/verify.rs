//! `verify`: two databases, rows and digests, table by table.

use metaferry_domain::copy_policy::CopyPolicy;
use metaferry_domain::{Cancellation, PortError};
use metaferry_h2_file::OpenOptions;
use metaferry_metabase::copy_policy::Changelog;
use metaferry_metabase::encryption::recode::Unreadable;
use metaferry_metabase::env::address::AppDbAddress;
use metaferry_transfer::TransferError;
use metaferry_transfer::copy::SNAPSHOTS_MAX;
use metaferry_transfer::dump::PolicyMaker;
use metaferry_transfer::verify::{Likeness, Scan, TableComparison, compare_scans, scan};

use crate::cli::VerifyArgs;
use crate::config::{Config, address};
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::policy::{MetabasePolicy, not_empty};
use crate::secrecy::Secrecy;
use crate::wiring;

pub(super) async fn run(args: VerifyArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let (left, right) = (address("--left", &args.left)?, address("--right", &args.right)?);
    let extent = match (args.raw, &config.metabase.encryption_secret) {
        (true, _) => Extent::Raw,
        (false, None) => Extent::Carried(Secrecy::Keep),
        // Two encryptions of a value differ always; what is compared is what they hold.
        (false, Some(_)) => Extent::Carried(Secrecy::decrypt(&config.metabase, Unreadable::Carry)?),
    };
    let open = || config.h2_files(args.salvage.into());
    let (left, right) = tokio::try_join!(side(&left, &extent, open()), side(&right, &extent, open()))?;
    let notes = [("left", left.notes), ("right", right.notes)];
    let (left, right) = (left.scan, right.scan);
    let likeness = match extent {
        Extent::Raw => Likeness::Whole,
        Extent::Carried(_) => Likeness::Rows,
    };
    let comparisons = compare_scans(&left, &right, likeness);
    let equal = comparisons.iter().all(TableComparison::is_equal);
    let whole = equal && left.dangling.is_empty() && right.dangling.is_empty();
    let ending = if whole { Ending::Done } else { Ending::Different };
    let mut words = text(&comparisons, &left, &right);
    for (side, notes) in &notes {
        words.extend(notes.iter().map(|note| format!("\nnote: {side}: {note}")));
    }
    let mut object = json(&comparisons, &left, &right, ending);
    object["notes"] = notes
        .into_iter()
        .map(|(side, notes)| (side.to_owned(), notes.into()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    output.result(&words, &object);
    Ok(ending)
}

/// What of a database is compared.
#[derive(Debug)]
enum Extent {
    /// What a copy carries.
    Carried(Secrecy),
    /// Everything.
    Raw,
}

/// One of the two databases.
struct Side {
    scan: Scan,
    /// On the state in which it was found.
    notes: Vec<String>,
}

async fn side(address: &AppDbAddress, extent: &Extent, h2_files: OpenOptions) -> Result<Side, CommandError> {
    let source = wiring::source(address, h2_files)?;
    let mut snapshots = 1;
    loop {
        let snapshot = source.snapshot().await?;
        let policy = match extent {
            Extent::Raw => {
                not_empty(snapshot.catalogue())?;
                CopyPolicy::default()
            }
            // A target that Metabase has set up keeps its own schema history, and each kind of database has its own
            // changes.
            Extent::Carried(secrecy) => {
                let policy = MetabasePolicy {
                    changelog: Changelog::LeaveOut,
                    ..MetabasePolicy::usual().with(secrecy.clone())
                };
                policy.decide(&*snapshot).await?.policy
            }
        };
        match scan(&*snapshot, &policy, &Cancellation::new()).await {
            Ok(scan) => {
                let notes = snapshot.notes();
                snapshot.close().await?;
                return Ok(Side { scan, notes });
            }
            Err(TransferError::SnapshotLost) if snapshots < SNAPSHOTS_MAX => snapshots += 1,
            Err(error) => return Err(PortError::from(error).into()),
        }
    }
}

fn text(comparisons: &[TableComparison], left: &Scan, right: &Scan) -> String {
    let mut lines = Vec::new();
    for table in comparisons.iter().filter(|table| !table.is_equal()) {
        let side = |report: &Option<metaferry_domain::ports::TableReport>| {
            report.as_ref().map_or_else(
                || "absent".to_owned(),
                |r| format!("{} rows, {}", r.rows, r.digest),
            )
        };
        let mut line = format!(
            "{}: left {}; right {}",
            table.name,
            side(&table.left),
            side(&table.right)
        );
        for difference in &table.shape {
            line.push_str(&format!("; {difference}"));
        }
        lines.push(line);
    }
    for (name, dangling) in [("left", &left.dangling), ("right", &right.dangling)] {
        lines.extend(dangling.iter().map(|violation| format!("{name}: {violation}")));
    }
    if lines.is_empty() {
        let rows: u64 = left.tables.iter().map(|table| table.rows).sum();
        return format!("equal: {} tables, {rows} rows", comparisons.len());
    }
    lines.join("\n")
}

fn json(comparisons: &[TableComparison], left: &Scan, right: &Scan, ending: Ending) -> serde_json::Value {
    let tables: Vec<serde_json::Value> = comparisons
        .iter()
        .map(|table| {
            serde_json::json!({
                "name": table.name,
                "equal": table.is_equal(),
                "left": table.left,
                "right": table.right,
                "shape": table.shape,
            })
        })
        .collect();
    serde_json::json!({
        "equal": ending == Ending::Done,
        "tables": tables,
        "dangling": {"left": left.dangling, "right": right.dangling},
    })
}
