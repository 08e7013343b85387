//! The rules about names and text. Each takes a path relative to the root and what stands in the file.

use std::path::Path;

use super::Finding;

const LINES_MAX: usize = 500;

/// File names that name no idea.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "imp"];

/// Words that mark something unfinished or left behind, and what to do. Written in two halves: this file obeys too.
const STRAY: &[(&str, &str, &str)] = &[
    ("TO", "DO", "finish it, or write it into docs/roadmap.md"),
    ("FIX", "ME", "mend it, or write it into docs/roadmap.md"),
    ("db", "g!(", "remove it; what is worth seeing is a tracing event"),
    (
        "to",
        "do!(",
        "write the code; a crate with nothing real in it is not there yet",
    ),
    (
        "unimple",
        "mented!(",
        "write the code, or return an `Unsupported` error",
    ),
    (
        "#[ig",
        "nore",
        "let the test run, or let it say aloud why it skips",
    ),
];

/// Folders of one machine: they mean nothing on another.
const MACHINE_PATHS: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("C:\\Us", "ers\\"),
];

/// Whether we read this file as text. Golden data is what it is, and generated lock files are cargo's.
pub(super) fn is_text(path: &Path) -> bool {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or("");
    let data = path.starts_with("tests/data") || path.components().any(|part| part.as_os_str() == "golden");
    !data
        && (["rs", "md", "toml", "sh", "java", "js", "css", "html", "py", "yml"].contains(&extension)
            || path.starts_with(".ci"))
}

/// Rules about the name alone.
pub(super) fn name(path: &Path) -> Option<Finding> {
    let file = path.file_name()?.to_str()?;
    let what = match file.strip_suffix(".rs")? {
        "mod" => "is a mod.rs; call it after its module, beside the folder".to_owned(),
        stem if EMPTY_NAMES.contains(&stem) => format!("`{stem}` names no idea; name what is in it"),
        _ => return None,
    };
    Some(Finding {
        path: path.to_path_buf(),
        line: 0,
        what,
    })
}

/// Rules about the text.
pub(super) fn text(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |line: usize, what: String| {
        findings.push(Finding {
            path: path.to_path_buf(),
            line,
            what,
        })
    };
    let rust = path.extension().is_some_and(|extension| extension == "rs");
    let count = text.lines().count();
    if rust && count > LINES_MAX {
        find(
            0,
            format!("has {count} lines (at most {LINES_MAX}); look for the second idea in it"),
        );
    }
    // `tests.rs` is about the module it stands beside, which has said it.
    let beside_its_module = path.file_name().is_some_and(|name| name == "tests.rs");
    if rust && !beside_its_module && !opens_with_module_doc(text) {
        find(
            0,
            "does not open with `//!`; say what the module is responsible for and what it leaves to others"
                .into(),
        );
    }
    let mut in_tests = is_test_file(path);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.ends_with([' ', '\t']) {
            find(number, "white space at the end of the line; remove it".to_owned());
        }
        for (front, back) in MACHINE_PATHS {
            if holds_path(line, &format!("{front}{back}")) {
                find(
                    number,
                    format!(
                        "`{front}{back}` is a folder of one machine; take it from a variable or a temporary folder"
                    ),
                );
            }
        }
        if rust {
            in_tests |= line.trim_start().starts_with("#[cfg(test)]");
            for (front, back, instead) in STRAY {
                let word = format!("{front}{back}");
                if holds_word(line, &word) {
                    find(number, format!("`{word}`; {instead}"));
                }
            }
            if in_tests && sleeps(line) {
                find(
                    number,
                    "a test that sleeps; the clock is a port, and events can be waited for".to_owned(),
                );
            }
        }
    }
    findings
}

/// A crate has a README and takes the workspace's lints.
pub(super) fn manifest(path: &Path, text: &str, is_there: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let folder = path.parent().unwrap_or(Path::new(""));
    // The root manifest declares the lints; a fuzz target is a workspace of its own.
    if path.file_name().is_none_or(|name| name != "Cargo.toml")
        || folder == Path::new("")
        || text.contains("[workspace]")
    {
        return findings;
    }
    let lints = text.lines().skip_while(|line| line.trim() != "[lints]").nth(1);
    if lints.is_none_or(|line| line.replace(' ', "") != "workspace=true")
        && !text.contains("lints.workspace = true")
    {
        let what = "does not take the workspace's lints; add `[lints]` with `workspace = true`".to_owned();
        findings.push(Finding {
            path: path.to_path_buf(),
            line: 0,
            what,
        });
    }
    if folder.starts_with("crates") && !is_there(&folder.join("README.md")) {
        let what =
            "its crate has no README.md; write one with a runnable example, it is the crate's documentation"
                .to_owned();
        findings.push(Finding {
            path: path.to_path_buf(),
            line: 0,
            what,
        });
    }
    findings
}

/// Past a licence line, attributes or a shebang: the first thing is `//!`, or a README as documentation.
fn opens_with_module_doc(text: &str) -> bool {
    let is_doc =
        |line: &str| line.starts_with("//!") || (line.starts_with("#![doc") && line.contains("include_str!"));
    let may_come_before = |line: &str| line.is_empty() || line.starts_with("#![") || line.starts_with("#!/");
    text.lines()
        .map(str::trim)
        .find(|line| is_doc(line) || !may_come_before(line))
        .is_some_and(is_doc)
}

fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// A call of the real thing; `clock.sleep` and a fake's own `fn sleep` are the port.
fn sleeps(line: &str) -> bool {
    let word = concat!("sleep", "(");
    holds_word(line, word)
        && line
            .match_indices(word)
            .any(|(at, _)| !line[..at].ends_with('.') && !line[..at].ends_with("fn "))
}

/// `word` not inside a longer word.
fn holds_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let open = !word.starts_with(in_word);
    let closed = !word.ends_with(in_word);
    line.match_indices(word).any(|(at, _)| {
        (open || !line[..at].ends_with(in_word)) && (closed || !line[at + word.len()..].starts_with(in_word))
    })
}

/// A path that starts with `folder`, not one that has it further down (`target/work/` is nobody's machine).
fn holds_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        !line[..at]
            .ends_with(|c: char| c.is_ascii_alphanumeric() || ['_', '-', '.', '/', '}', '>'].contains(&c))
    })
}
