//! Keeps the process small. The C library gives every thread an arena of its own, and threads that wait for disks come
//! and go: at scale 10 of the bench a dump held 106 MiB, and with two arenas 69 MiB, at the same speed.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// glibc reads it once, before `main`.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Begins this program again with two arenas, unless somebody chose a number. Same process, same arguments; where that
/// cannot be done it goes on as it is, only larger.
pub(crate) fn bound() {
    if !cfg!(target_env = "gnu") || std::env::var_os(ARENAS).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let arguments = std::env::args_os();
        let name = std::env::args_os()
            .next()
            .unwrap_or_else(|| program.clone().into_os_string());
        // Returns only if it failed.
        let _ = Command::new(program)
            .arg0(name)
            .args(arguments.skip(1))
            .env(ARENAS, "2")
            .exec();
    }
}
