//! Who may depend on whom: the table of the house style as data, compared with what cargo resolves.
//!
//! Looks at normal and build dependencies with all features on. Dev-dependencies are free here; the crates that
//! have owners are held to them by `deny.toml`, which counts dev-dependencies too.

mod table;

use std::collections::{BTreeMap, BTreeSet};

use crate::failure::Failure;
use crate::workspace;
use table::Row;

/// Direct dependencies by package: `metaferry-` packages and all others, as named by cargo.
type Edges = BTreeMap<String, BTreeSet<String>>;

/// `cargo xtask layers`.
pub(crate) fn run() -> Result<(), Failure> {
    let findings = findings()?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "layers: {} wrong; the table is xtask/src/layers/table.rs (a new edge is added there, with its reason, in the same commit)",
        findings.len()
    )))
}

fn findings() -> Result<Vec<String>, Failure> {
    let edges = parse_edges(&cargo_tree(&[
        "--workspace",
        "--depth",
        "1",
        "--prefix",
        "depth",
        "--format",
        "{p}",
    ])?);
    let domain = cargo_tree(&[
        "--package",
        "metaferry-domain",
        "--prefix",
        "none",
        "--format",
        "{p} [{f}]",
    ])?;
    let mut findings = compare(&table::rows(), &edges);
    findings.extend(impure(&domain));
    Ok(findings)
}

fn cargo_tree(args: &[&str]) -> Result<String, Failure> {
    let output = workspace::cargo()
        .args([
            "tree",
            "--quiet",
            "--edges",
            "normal,build",
            "--all-features",
            "--no-dedupe",
            "--charset",
            "ascii",
        ])
        .args(args)
        .output()
        .map_err(Failure::while_doing("run cargo tree"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Failed(format!("cargo tree failed: {}", said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads lines such as `0metaferry-api v0.1.0 (…)` and `1axum v0.8.9`.
fn parse_edges(tree: &str) -> Edges {
    let mut edges = Edges::new();
    let mut current = None;
    for line in tree.lines() {
        let (depth, rest) = line.split_at(line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len()));
        let Some(name) = rest.split_whitespace().next() else {
            continue;
        };
        match (depth, &current) {
            ("0", _) => {
                edges.entry(name.to_owned()).or_default();
                current = Some(name.to_owned());
            }
            ("1", Some(package)) => {
                edges.entry(package.clone()).or_default().insert(name.to_owned());
            }
            _ => {}
        }
    }
    edges
}

/// What in `edges` is not in the table. A row whose crate is not there yet is no finding.
fn compare(rows: &[Row], edges: &Edges) -> Vec<String> {
    let mut findings = Vec::new();
    for (package, dependencies) in edges {
        let Some(row) = rows.iter().find(|row| row.package() == *package) else {
            findings.push(format!("{package}: has no line in the table; add one"));
            continue;
        };
        for dependency in dependencies {
            let allowed = match rows.iter().find(|other| other.package() == *dependency) {
                Some(other) => row.ours.contains(&other.krate),
                None => {
                    row.third_party.contains(&dependency.as_str()) || table::is_open(dependency, row.krate)
                }
            };
            if !allowed {
                findings.push(format!("{package} -> {dependency}: breaks the line\n    {row}"));
            }
        }
    }
    findings
}

/// What in the whole tree of `domain` waits, listens or stores. Lines are `name vX [features]`.
fn impure(tree: &str) -> Vec<String> {
    let mut findings = BTreeSet::new();
    for line in tree.lines() {
        let Some(name) = line.split_whitespace().next() else {
            continue;
        };
        if table::IMPURE
            .iter()
            .any(|prefix| name == *prefix || name.starts_with(&format!("{prefix}-")))
        {
            findings.insert(format!(
                "metaferry-domain -> … -> {name}: the domain's whole tree holds no runtime, socket or database crate"
            ));
        }
        if name == "uuid" && line.split(['[', ',', ']']).any(|feature| feature == "v4") {
            findings
                .insert("metaferry-domain -> uuid with `v4`: ids come from the port `IdSource`".to_owned());
        }
    }
    findings.into_iter().collect()
}

#[cfg(test)]
mod tests;
