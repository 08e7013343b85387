//! The program begins again as soon as it has begun, where that makes it smaller or keeps a secret. Same process, same
//! arguments; where it cannot be done it goes on as it is.
//!
//! The C library gives every thread an arena of its own, and threads that wait for disks come and go: at scale 10 of the
//! bench a dump held 106 MiB, and with two arenas 69 MiB, at the same speed.
//!
//! Everybody on the machine sees the arguments of a process, and only its owner the environment: so passwords in URLs go
//! from those to this.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use metaferry_metabase::env::address::AppDbAddress;

/// glibc reads it once, before `main`.
const ARENAS: &str = "MALLOC_ARENA_MAX";
/// Arguments as they were given, by their number, as JSON.
pub(crate) const UNMASKED: &str = "METAFERRY_UNMASKED_ARGUMENTS";

/// The arguments as they were given. Begins the program again first, if there is a reason to.
pub(crate) fn arguments() -> Vec<OsString> {
    let given: Vec<OsString> = std::env::args_os().collect();
    let mut shown = given.clone();
    let mut secret: BTreeMap<usize, &str> = BTreeMap::new();
    for (at, argument) in given.iter().enumerate() {
        if let Some((argument, masked)) = argument.to_str().and_then(|text| Some((text, masked(text)?))) {
            shown[at] = masked.into();
            secret.insert(at, argument);
        }
    }
    let arenas = cfg!(target_env = "gnu") && std::env::var_os(ARENAS).is_none();
    if let Ok(program) = std::env::current_exe()
        && (arenas || !secret.is_empty())
    {
        let mut again = Command::new(program);
        if let Some((name, arguments)) = shown.split_first() {
            again.arg0(name).args(arguments);
        }
        if arenas {
            again.env(ARENAS, "2");
        }
        if !secret.is_empty() {
            again.env(UNMASKED, serde_json::json!(secret).to_string());
        }
        // Returns only if it failed.
        let _ = again.exec();
    }
    let unmasked: BTreeMap<usize, String> = std::env::var(UNMASKED)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    given
        .into_iter()
        .enumerate()
        .map(|(at, argument)| match unmasked.get(&at) {
            // Not those of a program that this one was started by.
            Some(secret) if masked(secret).is_some_and(|masked| *masked == *argument) => secret.into(),
            Some(_) | None => argument,
        })
        .collect()
}

/// The same argument with the passwords of a URL masked, also of `--flag=URL`; `None` if it shows none.
fn masked(argument: &str) -> Option<String> {
    match argument.split_once('=') {
        Some((flag, url)) if flag.starts_with("--") => {
            AppDbAddress::masked_url(url).map(|masked| format!("{flag}={masked}"))
        }
        Some(_) | None => AppDbAddress::masked_url(argument),
    }
}

/// A text that may quote arguments, with each that shows a password masked.
pub(crate) fn without_passwords(text: &str, arguments: &[OsString]) -> String {
    let mut shown = text.to_owned();
    for argument in arguments {
        let argument = argument.to_string_lossy();
        // A flag's value is also quoted alone.
        let value = argument.split_once('=').map(|(_, value)| value);
        for quoted in std::iter::once(&*argument).chain(value) {
            if let Some(masked) = masked(quoted) {
                shown = shown.replace(quoted, &masked);
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{masked, without_passwords};

    #[test]
    fn a_text_that_quotes_arguments_shows_no_password() {
        let arguments = [
            "metaferry",
            "--from=mysql://me:hunter2@host/db",
            "postgres://a:b@c/d",
        ];
        let text =
            "invalid value 'mysql://me:hunter2@host/db', unexpected argument 'postgres://a:b@c/d' found";
        assert_eq!(
            without_passwords(text, &arguments.map(Into::into)),
            "invalid value 'mysql://me:***@host/db', unexpected argument 'postgres://a:***@c/d' found"
        );
    }

    #[test]
    fn urls_are_masked_with_and_without_their_flag() {
        assert_eq!(
            masked("--from=mysql://me:hunter2@host/db").as_deref(),
            Some("--from=mysql://me:***@host/db")
        );
        assert_eq!(
            masked("postgres://me:a=b@host/db").as_deref(),
            Some("postgres://me:***@host/db")
        );
        assert_eq!(masked("--to=out.mv.db"), None);
    }
}
