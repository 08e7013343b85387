//! An object of S3 as a temporary file.

use metaferry_domain::{ErrorKind, PortError};
use metaferry_uploader::Compared;

use crate::config::Config;
use crate::exit::CommandError;
use crate::output::Output;
use crate::scratch::Scratch;
use crate::{shutdown, wiring};

/// Fetches it, and compares it with what the store knows of it.
pub(super) async fn fetch(url: &str, config: &Config, output: Output) -> Result<Scratch, CommandError> {
    let object = wiring::object(config, url)?;
    let scratch = Scratch::new(config, output)?;
    let file = scratch.file();
    output.say(&format!("fetching {url}"));
    let fetched = tokio::select! {
        fetched = object.download(&file) => fetched?,
        () = shutdown::requested() => return Err(PortError::new(ErrorKind::Cancelled, "interrupted").into()),
    };
    let compared = match fetched.compared {
        Compared::Sha256 => "equal to the store's SHA-256",
        Compared::Md5 => "equal to the store's MD5",
        Compared::Size => "as long as the store says; it has no checksum of the whole",
    };
    output.say(&format!(
        "fetched {} bytes, {compared}; SHA-256 {}",
        fetched.size_bytes, fetched.sha256
    ));
    Ok(scratch)
}
