//! The password of an encrypted H2 file: from the environment, else asked for where a person sits at a terminal. Never
//! from the command line, which everybody on the machine sees.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use metaferry_domain::{ErrorKind, PortError};
use metaferry_h2_file::{FilePassword, OpenOptions};

/// What a file written with CIPHER=AES begins with.
const ENCRYPTED: &[u8] = b"H2encrypt\n";

/// Asked once a file.
static ASKED: Mutex<BTreeMap<PathBuf, FilePassword>> = Mutex::new(BTreeMap::new());

/// The options with the password that `file` needs, if it needs one and somebody can be asked.
pub(crate) fn with_password(file: &Path, options: OpenOptions) -> Result<OpenOptions, PortError> {
    if options.password.is_some() || !is_encrypted(file) {
        return Ok(options);
    }
    let mut asked = ASKED.lock().expect("nothing panics while it holds this");
    if let Some(password) = asked.get(file) {
        return Ok(OpenOptions {
            password: Some(password.clone()),
            ..options
        });
    }
    if !std::io::stdin().is_terminal() {
        // The reader says which variable is missing.
        return Ok(options);
    }
    let question = format!("File password of {} (not shown): ", file.display());
    let password = rpassword::prompt_password(question)
        .map(FilePassword::from)
        .map_err(|error| PortError::new(ErrorKind::Denied, "ask for the file password").because(error))?;
    asked.insert(file.to_owned(), password.clone());
    Ok(OpenOptions {
        password: Some(password),
        ..options
    })
}

fn is_encrypted(file: &Path) -> bool {
    let mut beginning = [0; ENCRYPTED.len()];
    std::fs::File::open(file)
        .and_then(|mut file| file.read_exact(&mut beginning))
        .is_ok_and(|()| beginning == ENCRYPTED)
}
