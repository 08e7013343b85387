//! `restore`: a dump, a file or an object of S3, into a fresh database, which is made for it by a name template and
//! removed again if the dump does not arrive.

mod fetched;

use metaferry_app_db::h2::file_of;
use metaferry_app_db::load::{LoadOptions, UnknownColumns, Users};
use metaferry_metabase::copy_policy::Logs;
use metaferry_metabase::env::address::AppDbAddress;

use super::load::Loading;
use super::{dump, load};
use crate::cli::{DumpArgs, PlaintextArgs, RestoreArgs, SourceArgs};
use crate::config::{Config, Salvage, address};
use crate::exit::{CommandError, Ending};
use crate::output::Output;
use crate::policy::MetabasePolicy;
use crate::system::fill_in_template;
use crate::wiring;

pub(super) async fn run(args: RestoreArgs, config: &Config, output: Output) -> Result<Ending, CommandError> {
    let named = fill_in_template(&args.to)?;
    let to = address("--to", &named)?;
    dump::plain_file(&named)?;
    let name = args.from.to_string_lossy();
    // Goes with this, whatever happens.
    let fetched = if name.starts_with("s3://") {
        Some(fetched::fetch(&name, config, output).await?)
    } else {
        load::refuse_url(&name)?;
        None
    };
    let file = match &fetched {
        Some(fetched) => fetched.file(),
        None => file_of(&name),
    };
    let from = AppDbAddress::H2 {
        path: file.to_string_lossy().into_owned(),
    };
    if let AppDbAddress::H2 { path } = &to {
        let args = DumpArgs {
            source: SourceArgs {
                from: Some(format!("h2:{}", file.display())),
            },
            to: file_of(path),
            tables: args.tables,
            include_logs: true,
            plaintext: PlaintextArgs::default(),
            compress: false,
            salvage: false,
            no_verify: args.reread.no_verify,
            force: false,
        };
        return dump::run(args, config, output).await;
    }
    let source = wiring::source(&from, config.h2_files(Salvage::No))?;
    // A file that cannot be read makes no database.
    source.snapshot().await?.close().await?;
    let fresh = wiring::FreshDatabase::create(&to).await?;
    let options = LoadOptions {
        users: Users::Refuse,
        unknown: UnknownColumns::Refuse,
    };
    let loading = Loading {
        source,
        options,
        to,
        policy: MetabasePolicy::new(&args.tables, Logs::Carry),
        reread: args.reread.into(),
    };
    output.say(&format!("restoring into {}", fresh.describe()));
    match loading.run("restore", config, output).await {
        Ok(ending) => Ok(ending),
        Err(error) => {
            if let Err(left) = fresh.discard().await {
                output.say(&format!("metaferry: {}", left.chain()));
            }
            Err(error)
        }
    }
}
