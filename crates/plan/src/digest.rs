//! Identities of steps: equal digests mean equal work on equal inputs.

use flow_data::{Id, IdHasher};
use flow_spec::Model;
use serde_json::Value as Json;

use crate::draft::StepDraft;
use crate::{ModelRef, Outlet};

/// The digest of a step whose producers' digests stand in `digests`. `model` finds declared models.
pub(crate) fn digest<'m>(
    step: &StepDraft<'_>,
    digests: &[Id],
    model: impl Fn(&str) -> Option<&'m Model>,
) -> Option<Id> {
    let (signature, config) = (step.signature?, step.config.as_ref()?);
    let mut hasher = IdHasher::new("step");
    hasher.part(signature.name().as_bytes());
    hasher.part(&signature.version().to_le_bytes());
    hasher.part(canonical(&config.public).as_bytes());
    for inlet in &step.inlets {
        hasher.part(b"input");
        for edge in &inlet.edges {
            hasher.part(&digests[edge.step].0);
            hasher.part(&match edge.outlet {
                Outlet::Port(port) => port.to_le_bytes().to_vec(),
                Outlet::Rejected => b"rejected".to_vec(),
            });
        }
    }
    for used in &step.models {
        hasher.part(b"model");
        hasher.part(used.key.as_bytes());
        match &used.model {
            ModelRef::Declared(name) => declared(&mut hasher, model(name)?),
            ModelRef::Step(maker) => {
                hasher.part(&digests[*maker].0);
            }
        }
    }
    Some(hasher.finish())
}

fn declared(hasher: &mut IdHasher, model: &Model) {
    match model {
        Model::Folder(folder) => {
            hasher.part(folder.path.as_bytes());
            let manner = folder.manner();
            if !manner.is_empty() {
                hasher.part(manner.as_bytes());
            }
        }
        Model::Served(served) => {
            let [name, revision] = served.weights();
            hasher.part(name.as_bytes()).part(revision.as_bytes()).part(served.manner().as_bytes());
        }
    }
}

/// The JSON text with the keys of every map in alphabetical order.
fn canonical(json: &Json) -> String {
    let mut sorted = json.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_order_at_any_depth_does_not_matter() {
        let one = json!({"a": 1, "b": [{"x": 1, "y": 2}]});
        let other: Json = serde_json::from_str(r#"{"b": [{"y": 2, "x": 1}], "a": 1}"#).unwrap();
        assert_eq!(canonical(&one), canonical(&other));
        assert_ne!(canonical(&one), canonical(&json!({"a": 1, "b": [{"x": 2, "y": 1}]})));
    }
}
