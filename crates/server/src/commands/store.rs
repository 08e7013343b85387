//! `store`: the receiving shore over a folder.

use std::sync::Arc;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_orchestrator::in_process::SystemClock;
use metaferry_store::{Store, StoreConfig, StoreDeps};
use tokio::net::TcpListener;

use crate::cli::StoreArgs;
use crate::exit::{CommandError, Ending};
use crate::h2_dump::H2Inspector;
use crate::output::Output;
use crate::shutdown;

pub(super) async fn run(args: StoreArgs, output: Output) -> Result<Ending, CommandError> {
    let mut config = StoreConfig::new(&args.data);
    config.public_url.clone_from(&args.public_url);
    let deps = StoreDeps {
        clock: Arc::new(SystemClock),
        inspector: Arc::new(H2Inspector),
        restorer: None,
    };
    let store = Store::open(config, deps).map_err(|error| {
        PortError::new(
            ErrorKind::Denied,
            format!("open the store in {}", args.data.display()),
        )
        .because(error)
    })?;
    let listener = listen(args.listen).await?;
    output.say(&format!(
        "the store listens on http://{}, over {}",
        address(&listener)?,
        args.data.display()
    ));
    store
        .serve(listener, shutdown::requested())
        .await
        .map_err(|error| PortError::new(ErrorKind::Unavailable, "serve the store").because(error))?;
    Ok(Ending::Done)
}

pub(super) async fn listen(at: std::net::SocketAddr) -> Result<TcpListener, CommandError> {
    TcpListener::bind(at).await.map_err(|error| {
        PortError::new(
            ErrorKind::Conflict,
            format!("listen on {at}; name another with --listen"),
        )
        .because(error)
        .into()
    })
}

pub(super) fn address(listener: &TcpListener) -> Result<std::net::SocketAddr, CommandError> {
    listener.local_addr().map_err(|error| {
        PortError::new(ErrorKind::Unavailable, "read the address listened on")
            .because(error)
            .into()
    })
}
