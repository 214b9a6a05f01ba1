//! Loading the declared models, each once, with every failure told at its place. Those behind servers are not asked yet.

use std::io::ErrorKind;
use std::path::Path;

use flow_data::Id;
use flow_model::Error;
use flow_operators::{Models, Remarks};
use flow_spec::Model;

use crate::halt::{Halt, chain};
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// The digests of the declared models, in the order of their names. `remarks` take what those behind servers have to say later.
pub(crate) fn declare(pipeline: &Pipeline, models: &Models, remarks: &Remarks) -> Result<Vec<Id>, Halt> {
    let (mut digests, mut mistakes) = (Vec::new(), Vec::new());
    for (name, model) in &pipeline.plan.models {
        let folder = match model {
            Model::Folder(folder) => Path::new(&folder.path),
            Model::Served(served) => {
                digests.push(models.declare_served(served, |name| std::env::var(name).ok(), remarks));
                continue;
            }
        };
        match models.declare(folder) {
            Ok(digest) => digests.push(digest),
            Err(error) => {
                let message = format!("cannot load model `{name}`: {}", chain(&error));
                let mistake = pipeline.mistake(&codes::MODEL, &format!("models.{name}.path"), message);
                mistakes.push(mistake.help(help(folder, &error)));
            }
        }
    }
    if mistakes.is_empty() {
        Ok(digests)
    } else {
        Err(Halt::located(Exit::Failed, &mistakes, &pipeline.sources))
    }
}

/// What to do where the model in `folder` cannot be loaded for this reason.
fn help(folder: &Path, error: &Error) -> String {
    const FILES: &str = "a model is a folder with `config.json`, `*.safetensors` and `tokenizer.json`";
    match error {
        Error::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "let yourself read the folder and its files: `chmod -R u+rX` where they are yours".to_owned()
        }
        Error::Read { .. } if !folder.is_dir() && folder.is_relative() => {
            let here = std::env::current_dir().unwrap_or_default();
            let here = here.display();
            format!("there is no such folder in `{here}`, where `flow` runs and relative paths begin; {FILES}")
        }
        Error::Read { .. } if !folder.is_dir() => format!("there is no such folder; {FILES}"),
        Error::Architecture { .. } | Error::ConfigValue { .. } | Error::ConfigMissing { .. } => {
            "`docs/models.md` says which families of checkpoints are supported; another one can be served: `models: {NAME: {server: ..}}`"
                .to_owned()
        }
        _ => FILES.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_help_fits_the_cause() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read =
            |kind: ErrorKind| Error::Read { path: here.join("config.json"), source: io::Error::from(kind) };
        let denied = help(here, &read(ErrorKind::PermissionDenied));
        assert!(denied.contains("read the folder") && denied.contains("chmod"), "{denied}");
        let missing = help(Path::new("no/such/folder"), &read(ErrorKind::NotFound));
        assert!(missing.contains("where `flow` runs"), "{missing}");
        let incomplete = help(here, &read(ErrorKind::NotFound));
        assert!(incomplete.starts_with("a model is a folder with"), "{incomplete}");
    }
}
