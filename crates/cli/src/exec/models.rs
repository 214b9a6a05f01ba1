//! Loading the declared models, each once, with every failure told at its place. Those behind servers are not asked yet.

use std::path::Path;

use flow_data::Id;
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
                let help = "a model is a folder with `config.json`, `*.safetensors` and `tokenizer.json`";
                mistakes.push(mistake.help(help));
            }
        }
    }
    if mistakes.is_empty() {
        Ok(digests)
    } else {
        Err(Halt::located(Exit::Failed, &mistakes, &pipeline.sources))
    }
}
