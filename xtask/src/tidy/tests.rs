//! Each rule can fail, and says where; what is right passes.

use super::*;

const GOOD: &str = "//! Says what it is for.\n\nfn f() {}\n";

fn text_findings(path: &str, text: &str) -> Vec<(usize, String)> {
    rules::text(Path::new(path), text)
        .into_iter()
        .map(|finding| (finding.line, finding.what))
        .collect()
}

/// The one finding in `text`, which must be at `line` and hold `words`.
fn assert_finds(path: &str, text: &str, line: usize, words: &str) {
    let findings = text_findings(path, text);
    assert_eq!(findings.len(), 1, "{text:?}: {findings:?}");
    assert_eq!(findings[0].0, line, "{findings:?}");
    assert!(findings[0].1.contains(words), "{findings:?}");
}

#[test]
fn a_good_file_has_no_findings() {
    assert_eq!(text_findings("crates/x/src/a.rs", GOOD), []);
    assert_eq!(
        text_findings(
            "crates/x/src/lib.rs",
            "#![doc = include_str!(\"../README.md\")]\n"
        ),
        []
    );
    assert_eq!(
        text_findings("crates/x/src/lib.rs", "#![forbid(x)]\n//! Doc.\n"),
        []
    );
}

#[test]
fn five_hundred_lines_are_the_most() {
    let fits = format!("//! Doc.\n{}", "\n".repeat(499));
    assert_eq!(text_findings("a.rs", &fits), []);
    assert_finds("a.rs", &format!("{fits}\n"), 0, "501 lines");
}

#[test]
fn a_module_opens_with_its_doc() {
    assert_finds(
        "a.rs",
        "use std::fmt;\n//! Late.\n",
        0,
        "does not open with `//!`",
    );
    assert_finds("a.rs", "// A remark.\n", 0, "does not open with `//!`");
    assert_eq!(text_findings("crates/x/src/a/tests.rs", "use super::*;\n"), []);
}

#[test]
fn words_of_the_unfinished_are_found_in_code_and_comments() {
    for word in [
        concat!("// TO", "DO: later"),
        concat!("// FIX", "ME"),
        concat!("db", "g!(x)"),
        concat!("to", "do!()"),
        concat!("unimple", "mented!()"),
        concat!("#[ig", "nore = \"slow\"]"),
    ] {
        assert_finds("a.rs", &format!("//! Doc.\n{word}\n"), 2, "`; ");
    }
    assert_eq!(
        text_findings("a.rs", "//! Doc.\nlet METHODOLOGY = my_todo!(1);\n"),
        []
    );
}

#[test]
fn tests_do_not_sleep_but_code_may() {
    let line = concat!("    std::thread::sleep", "(d);\n");
    assert_eq!(text_findings("crates/x/src/a.rs", &format!("//! D.\n{line}")), []);
    let port = concat!(
        "//! D.\nasync fn sleep",
        "(&self) {}\nclock.sleep",
        "(d).await;\n"
    );
    assert_eq!(text_findings("tests/it/main.rs", port), []);
    assert_finds("crates/x/src/a/tests.rs", &format!("//! D.\n{line}"), 2, "sleeps");
    assert_finds("tests/it/main.rs", &format!("//! D.\n{line}"), 2, "sleeps");
    assert_finds(
        "crates/x/src/a.rs",
        &format!("//! D.\n#[cfg(test)]\nmod tests {{\n{line}"),
        4,
        "sleeps",
    );
}

#[test]
fn folders_of_one_machine_are_found_in_any_text() {
    for path in [
        concat!("/wo", "rk/x"),
        concat!("/ro", "ot/.cargo"),
        concat!("/ho", "me/me/x"),
    ] {
        assert_finds("README.md", &format!("see {path}\n"), 1, "one machine");
        assert_finds(".ci/run", &format!("cd \"{path}\"\n"), 1, "one machine");
    }
    assert_eq!(text_findings("README.md", concat!("target/wo", "rk/x\n")), []);
}

#[test]
fn white_space_at_the_end_of_a_line_is_found() {
    assert_finds("a.md", "one \ntwo\n", 1, "white space");
    assert_finds("a.toml", "x = 1\t\n", 1, "white space");
}

#[test]
fn names_without_an_idea_are_found() {
    for name in [
        "crates/x/src/mod.rs",
        "crates/x/src/utils.rs",
        "crates/x/src/a/helpers.rs",
        "common.rs",
        "misc.rs",
    ] {
        assert!(rules::name(Path::new(name)).is_some(), "{name}");
    }
    for name in [
        "crates/x/src/model.rs",
        "docs/common.md",
        "crates/x/src/utilization.rs",
    ] {
        assert_eq!(rules::name(Path::new(name)), None);
    }
}

#[test]
fn a_crate_takes_the_lints_and_has_a_readme() {
    let good = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";
    let path = Path::new("crates/x/Cargo.toml");
    assert_eq!(rules::manifest(path, good, |_| true), []);
    let no_readme = rules::manifest(path, good, |asked| asked != Path::new("crates/x/README.md"));
    assert_eq!(no_readme.len(), 1);
    assert!(no_readme[0].what.contains("README.md"));
    let own_lints = rules::manifest(path, "[lints.rust]\nunsafe_code = \"allow\"\n", |_| true);
    assert_eq!(own_lints.len(), 1);
    assert!(own_lints[0].what.contains("lints"));
    assert_eq!(
        rules::manifest(Path::new("Cargo.toml"), "[workspace]\n", |_| false),
        []
    );
}

#[test]
fn dead_links_are_found_from_where_the_file_stands() {
    let is_there = |path: &Path| path == Path::new("docs/a.md") || path == Path::new("README.md");
    let links = |path: &str, text: &str| markdown::dead_links(Path::new(path), text, is_there);
    assert_eq!(
        links(
            "README.md",
            "[a](docs/a.md#part) [b](https://example.com/x) [c](#here)\n"
        ),
        []
    );
    assert_eq!(links("docs/a.md", "[up](../README.md)\n"), []);
    assert_eq!(links("README.md", "`[a](gone.md)`\n```\n[a](gone.md)\n```\n"), []);
    let dead = links("docs/a.md", "fine\n[up](README.md)\n");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].line, 2);
    assert_eq!(
        links("README.md", "[out](../shared/x.md)\n").len(),
        1,
        "a clone has no such folder"
    );
}

#[test]
fn only_text_that_people_write_is_read() {
    for path in ["crates/x/src/a.rs", ".ci/run", "docs/a.md", "deny.toml"] {
        assert!(rules::is_text(Path::new(path)), "{path}");
    }
    for path in [
        "tests/data/x.md",
        "a.mv.db",
        "Cargo.lock",
        "crates/x/tests/golden/a.md",
    ] {
        assert!(!rules::is_text(Path::new(path)), "{path}");
    }
}
