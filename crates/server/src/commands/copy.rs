//! `copy`: one app DB into another, of any kind. Into an H2 file it is a dump.

use metaferry_app_db::h2::file_of;
use metaferry_metabase::copy_policy::Logs;
use metaferry_metabase::env::address::AppDbAddress;

use super::{dump, load};
use crate::cli::{CopyArgs, DumpArgs, SourceArgs};
use crate::config::{Config, address};
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::policy::MetabasePolicy;
use crate::wiring;

pub(super) async fn run(args: CopyArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let to = address("--to", &args.to)?;
    dump::plain_file(&args.to)?;
    if let AppDbAddress::H2 { path } = &to {
        let args = DumpArgs {
            source: SourceArgs { from: args.from },
            to: file_of(path),
            tables: args.tables,
            include_logs: args.include_logs,
            plaintext: args.plaintext,
            compress: false,
            salvage: args.salvage,
            no_verify: args.target.reread.no_verify,
            force: args.target.force,
        };
        return dump::run(args, config, output).await;
    }
    let from = config.app_db(args.from.as_deref())?;
    if wiring::is_same(&from, &to).await? {
        return Err(CommandError::new(
            Ending::Refused,
            "--to names the app DB itself: what a copy leaves out would be lost; name another database",
        ));
    }
    let logs = if args.include_logs {
        Logs::Carry
    } else {
        Logs::LeaveOut
    };
    let loading = load::Loading {
        source: wiring::source(&from, config.h2_files(args.salvage.into()))?,
        options: load::options(args.target),
        to,
        policy: MetabasePolicy::new(&args.tables, logs).with(dump::secrecy(args.plaintext, config)?),
        reread: args.target.reread.into(),
    };
    loading.run("copy", config, output).await
}
