//! Every file of `tests/invalid/` says what `flow check` says of it: `NAME.yaml` beside `NAME.stderr`.
//!
//! `UPDATE=1` rewrites the expectations. A first line `# flow: --profile p --set a=b` gives arguments, and `V=x` a
//! variable.

mod catalog;

use std::fs;
use std::path::{Path, PathBuf};

use flow_plan::plan;
use flow_spec::{Options, read, render};

fn options(text: &str) -> Options {
    let mut options = Options::default();
    let line = text.lines().next().and_then(|line| line.strip_prefix("# flow:")).unwrap_or_default();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "--profile" => options.profile = words.next().map(str::to_owned),
            "--set" => options.set.extend(words.next().map(str::to_owned)),
            word => {
                let (name, value) = word.split_once('=').expect("NAME=VALUE");
                options.environment.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    options
}

fn check(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let reading = read(name, &text, &options(&text));
    let mut found = reading.diagnostics;
    if let Some(spec) = reading.spec {
        let (plan, more) = plan(&spec, catalog::CATALOG);
        found.extend(more);
        assert_eq!(
            plan.is_some(),
            !found.iter().any(|one| one.is_error()),
            "{name}: a plan if and only if no error"
        );
    }
    flow_spec::settle(&mut found);
    found.iter().map(|diagnostic| render(diagnostic, &reading.sources)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_mistake_is_told_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    assert!(paths.len() >= 30, "the cases are there");
    let mut wrong = Vec::new();
    for path in &paths {
        let expected = path.with_extension("stderr");
        let told = check(path);
        assert!(!told.is_empty(), "{}: no mistake found", path.display());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 accepts these:\n{}", wrong.join("\n"));
}
