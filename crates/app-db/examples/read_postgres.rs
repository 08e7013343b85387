//! Reads every table of a Postgres database in one snapshot and says how fast that was.
//!
//! `cargo run --release -p metaferry-app-db --example read_postgres -- postgres://… [any|key] [sessions]`
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::time::Instant;

use metaferry_app_db::postgres::{PostgresServer, PostgresSource};
use metaferry_domain::ports::{RowOrder, Source as _, TableRead};
use metaferry_domain::row_batch::RowBatch;
use metaferry_metabase::env::address::AppDbAddress;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments
        .first()
        .ok_or("name a database: postgres://user@host:port/database")?;
    let AppDbAddress::Postgres(address) = AppDbAddress::from_cli_url(url)? else {
        return Err("not a Postgres address".into());
    };
    let order = match arguments.get(1).map(String::as_str) {
        None | Some("any") => RowOrder::Any,
        Some("key") => RowOrder::PrimaryKey,
        Some(other) => return Err(format!("{other} is neither any nor key").into()),
    };
    let sessions = arguments.get(2).map_or(Ok(1), |sessions| sessions.parse())?;

    let started = Instant::now();
    let source = PostgresSource::new(PostgresServer::new(&address)).with_parallelism(sessions);
    let snapshot = source.snapshot().await?;
    println!(
        "snapshot of {} tables in {:?}",
        snapshot.catalogue().tables.len(),
        started.elapsed()
    );

    let started = Instant::now();
    let mut reads: Vec<(u64, TableRead)> = snapshot
        .catalogue()
        .tables
        .iter()
        .map(|table| {
            let order = if table.primary_key.is_some() {
                order
            } else {
                RowOrder::Any
            };
            let columns = (0..table.columns.len()).collect();
            (
                table.bytes_estimate,
                TableRead {
                    table: table.name.key(),
                    columns,
                    order,
                },
            )
        })
        .collect();
    reads.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let reads = std::sync::Mutex::new(reads.into_iter().map(|(_, read)| read));
    let workers = (0..snapshot.parallelism()).map(|_| async {
        let (mut rows, mut bytes) = (0, 0);
        let mut batch = RowBatch::default();
        loop {
            let Some(read) = reads.lock().expect("no panic").next() else {
                break;
            };
            let mut reader = snapshot.read(&read).await?;
            loop {
                reader.next(&mut batch, 512 << 10).await?;
                if batch.rows() == 0 {
                    break;
                }
                rows += batch.rows();
                bytes += batch.bytes();
            }
        }
        Ok::<_, Box<dyn Error>>((rows, bytes))
    });
    let totals = futures_util::future::try_join_all(workers).await?;
    let (rows, bytes) = totals
        .iter()
        .fold((0, 0), |sum, worker| (sum.0 + worker.0, sum.1 + worker.1));
    println!("{rows} rows, {bytes} bytes of batches in {:?}", started.elapsed());
    snapshot.close().await?;
    Ok(())
}
