//! `cargo xtask tidy`: what no lint of the compiler sees.
//!
//! Each rule looks at one file's text (`rules.rs`), except those about which files are there at all. Rules that
//! need to know types (a `_ =>` over our own enum) are clippy's or the reviewer's.

mod markdown;
mod rules;

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::workspace;

/// Something to put right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: PathBuf,
    /// Counted from 1; 0 is the file as a whole.
    pub(crate) line: usize,
    /// What is wrong; what to do.
    pub(crate) what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line.max(1), self.what)
    }
}

/// `cargo xtask tidy`.
pub(crate) fn run() -> Result<(), Failure> {
    let findings = findings(&workspace::root(), &workspace::files()?)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(format!("tidy: {} to put right", findings.len())))
    }
}

fn findings(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    let is_there = |path: &Path| root.join(path).exists();
    for path in files {
        findings.extend(rules::name(path));
        if !rules::is_text(path) {
            continue;
        }
        let bytes = std::fs::read(root.join(path))
            .map_err(Failure::while_doing(format!("read {}", path.display())))?;
        let Ok(text) = String::from_utf8(bytes) else {
            let what = "is not UTF-8; save it as UTF-8".to_owned();
            findings.push(Finding {
                path: path.clone(),
                line: 0,
                what,
            });
            continue;
        };
        findings.extend(rules::text(path, &text));
        findings.extend(markdown::dead_links(path, &text, is_there));
        findings.extend(rules::manifest(path, &text, is_there));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
