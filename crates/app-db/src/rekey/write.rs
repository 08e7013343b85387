//! Writing: table by table every value anew, then the tables that are emptied and the settings.

use metaferry_domain::PortError;
use metaferry_domain::recoding::Recoded;
use metaferry_domain::row_batch::{Cell, RowBatch};
use metaferry_domain::schema::Catalogue;
use metaferry_metabase::encryption::rekey::Rekey;

use super::{Change, KeyedRows, RekeyOptions, RekeyReport, RekeyedColumn, Walk, go_on};

/// Writes everything, in the transaction.
pub(super) async fn write<R: KeyedRows>(
    rows: &mut R,
    catalogue: &Catalogue,
    walks: &[Walk],
    rekey: &Rekey,
    options: &RekeyOptions,
    last_updated: Option<&str>,
    report: &mut RekeyReport,
) -> Result<(), PortError> {
    for walk in walks {
        write_table(rows, walk, rekey, options, report).await?;
    }
    for table in rekey.emptied() {
        if let Some(table) = catalogue.table(table) {
            let had = rows.empty(table).await?;
            report.emptied.push((table.name.key(), had));
        }
    }
    let Some(setting) = catalogue.table("setting") else {
        return Ok(());
    };
    if let Some(name) = rekey.removed_setting() {
        rows.remove_setting(name).await?;
    }
    if let Some(text) = last_updated {
        let with_aad = setting
            .column("value_with_aad")
            .map(|_| rekey.last_updated_with_aad(text));
        rows.put_last_updated(text, with_aad.as_deref()).await?;
    }
    Ok(())
}

async fn write_table<R: KeyedRows>(
    rows: &mut R,
    walk: &Walk,
    rekey: &Rekey,
    options: &RekeyOptions,
    report: &mut RekeyReport,
) -> Result<(), PortError> {
    let columns = walk.described();
    let Some(mut recoder) = rekey.recoding().table(&walk.table, &columns) else {
        return Ok(());
    };
    let mut written = vec![0_u64; walk.columns.len()];
    let mut batch = RowBatch::new(columns.len());
    let mut places = Vec::new();
    rows.open(walk).await?;
    loop {
        go_on(options)?;
        rows.next(walk, &mut batch, &mut places).await?;
        if batch.rows() == 0 {
            break;
        }
        for (row, place) in places.iter().enumerate() {
            let mut changes = Vec::new();
            for (column, written) in written.iter_mut().enumerate() {
                let cell = batch.cell(row, column);
                let Some(new) = recoder.recode(&batch, row, column, cell)? else {
                    continue;
                };
                let Some(old) = owned(cell) else { continue };
                *written += 1;
                changes.push(Change { column, old, new });
            }
            if !changes.is_empty() {
                rows.update(walk, place, &changes).await?;
            }
        }
    }
    batch.clear(columns.len());
    recoder.append(&mut batch);
    for row in 0..batch.rows() {
        let cells: Vec<Option<Recoded>> = batch.row(row).map(owned).collect();
        rows.insert(walk, &cells).await?;
    }
    report.notes.extend(recoder.notes());
    let counted = columns.iter().zip(written).filter(|(_, values)| *values > 0);
    report
        .columns
        .extend(counted.map(|(column, values)| RekeyedColumn {
            table: walk.table.name.key(),
            column: column.name.key(),
            values,
        }));
    Ok(())
}

fn owned(cell: Cell<'_>) -> Option<Recoded> {
    match cell {
        Cell::Text(text) => Some(Recoded::Text(text.to_owned())),
        Cell::Bytes(bytes) => Some(Recoded::Bytes(bytes.to_vec())),
        Cell::Null
        | Cell::Boolean(_)
        | Cell::Int(_)
        | Cell::Decimal(_)
        | Cell::Real(_)
        | Cell::Double(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::TimeTz(..)
        | Cell::Timestamp(_)
        | Cell::TimestampTz(..)
        | Cell::Uuid(_) => None,
    }
}
