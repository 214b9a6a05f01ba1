//! What `flow check` says of every file of `tests/pipelines`: nothing of the valid ones, `NAME.stderr` of the others.
//!
//! `UPDATE=1` rewrites the expectations. A first line `# flow: --profile p --set a=b` gives arguments, and `V=x` a
//! variable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `flow check` on a file, from the folder it lies in.
fn check(path: &Path) -> (Option<i32>, String) {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().next().and_then(|line| line.strip_prefix("# flow:")).unwrap_or_default();
    let (variables, arguments): (Vec<&str>, Vec<&str>) =
        line.split_whitespace().partition(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
    command.arg("check").arg(path.file_name().unwrap()).args(arguments);
    command.env_clear().envs(variables.iter().filter_map(|pair| pair.split_once('=')));
    let output = command.current_dir(path.parent().unwrap()).output().unwrap();
    assert!(output.stdout.is_empty(), "mistakes are told on stderr");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn pipelines(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

#[test]
fn every_mistake_is_told_as_recorded() {
    let paths = pipelines("tests/pipelines/invalid");
    assert!(paths.len() >= 40, "the cases are there");
    let mut wrong = Vec::new();
    for path in &paths {
        let expected = path.with_extension("stderr");
        let (code, told) = check(path);
        let only_warns = path.file_name().unwrap().to_string_lossy().starts_with("warning_");
        assert_eq!(code, Some(if only_warns { 0 } else { 78 }), "{}:\n{told}", path.display());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &told).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 accepts these:\n{}", wrong.join("\n"));
}

#[test]
fn valid_and_published_pipelines_have_no_mistake() {
    for folder in ["tests/pipelines/valid", "pipelines"] {
        let paths = pipelines(folder);
        assert!(!paths.is_empty(), "{folder} has pipelines");
        for path in paths {
            let nothing = "1 file checked: 0 errors, 0 warnings\n".to_owned();
            assert_eq!(check(&path), (Some(0), nothing), "{}", path.display());
        }
    }
}

#[test]
fn profiles_of_servers_ask_a_server() {
    let mut servers = 0;
    for path in pipelines("pipelines") {
        let text = fs::read_to_string(&path).unwrap();
        let options = |profile: Option<&str>| flow_spec::Options {
            profile: profile.map(str::to_owned),
            ..flow_spec::Options::default()
        };
        let plain = flow_spec::read("p.yaml", &text, &options(None)).spec.unwrap();
        if plain.profiles().iter().any(|name| name == "server") {
            let spec = flow_spec::read("p.yaml", &text, &options(Some("server"))).spec.unwrap();
            assert!(spec.models.values().any(|model| model.served().is_some()), "{}", path.display());
            servers += 1;
        }
    }
    assert!(servers >= 7, "found {servers}");
}
