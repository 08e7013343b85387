//! Links in Markdown that point at files which are not there. Addresses and anchors are left to the reader.

use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Links of `text` (the file at `path`) to files that are not there. Other kinds of file have none.
pub(super) fn dead_links(path: &Path, text: &str, is_there: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.extension().is_none_or(|extension| extension != "md") {
        return findings;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let file = target.split('#').next().unwrap_or("");
            // Links to items are rustdoc's to check: a README is its crate's documentation.
            let elsewhere = target.contains("://") || target.starts_with("mailto:") || target.contains("::");
            if file.is_empty() || elsewhere {
                continue;
            }
            if !normal(&folder.join(file)).is_some_and(|path| is_there(&path)) {
                findings.push(Finding {
                    path: path.to_path_buf(),
                    line: index + 1,
                    what: format!("the link to `{target}` leads nowhere; correct it or write the file"),
                });
            }
        }
    }
    findings
}

/// What stands in `](…)`, outside inline code.
fn targets(line: &str) -> Vec<&str> {
    let prose = line.split('`').step_by(2);
    prose
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next())
        .collect()
}

/// Without `.` and `..`; none if it leaves the workspace, which a clone would not have.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}
