//! Every value is looked at before the first one is written.

use std::collections::BTreeSet;

use metaferry_domain::recoding::RowRecoder;
use metaferry_domain::row_batch::RowBatch;
use metaferry_domain::{ErrorKind, PortError};
use metaferry_metabase::encryption::rekey::Rekey;

use super::{KeyedRows, RekeyOptions, Walk, go_on};

/// Columns that are named when they speak against it.
const PROBLEMS_MAX: usize = 100;

/// Looks at every value, and names every column that speaks against it.
pub(super) async fn prove<R: KeyedRows>(
    rows: &mut R,
    walks: &[Walk],
    rekey: &Rekey,
    options: &RekeyOptions,
) -> Result<(), PortError> {
    let mut problems: Vec<String> = Vec::new();
    let mut batch = RowBatch::new(0);
    let mut places = Vec::new();
    for walk in walks {
        let columns = walk.described();
        let mut proofs: Vec<Box<dyn RowRecoder>> = rekey
            .proofs()
            .iter()
            .filter_map(|proof| proof.table(&walk.table, &columns))
            .collect();
        if proofs.is_empty() {
            continue;
        }
        let mut named = BTreeSet::new();
        rows.open(walk).await?;
        loop {
            go_on(options)?;
            rows.next(walk, &mut batch, &mut places).await?;
            if batch.rows() == 0 {
                break;
            }
            for (row, column) in cells(&batch) {
                if named.contains(&column) {
                    continue;
                }
                for proof in &mut proofs {
                    if let Err(problem) = proof.recode(&batch, row, column, batch.cell(row, column)) {
                        named.insert(column);
                        problems.push(problem.chain());
                        break;
                    }
                }
            }
        }
        if problems.len() >= PROBLEMS_MAX {
            problems.push("and perhaps others".to_owned());
            break;
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(PortError::new(ErrorKind::Precondition, problems.join("; ")))
}

fn cells(batch: &RowBatch) -> impl Iterator<Item = (usize, usize)> + use<> {
    let columns = batch.columns();
    (0..batch.rows()).flat_map(move |row| (0..columns).map(move |column| (row, column)))
}
