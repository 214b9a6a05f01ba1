//! Whether models that are to be asked by their chat templates can be: told before anything runs, where their folders are here.

use std::path::Path;

use flow_model::ChatTemplate;
use flow_operators::{chain, unasked};
use flow_plan::Plan;
use flow_spec::{Diagnostic, Model, Spec};

use crate::codes;

/// The help where a folder has no template.
const NO_TEMPLATE: &str = "name a checkpoint that was trained to chat, put its `chat_template.jinja` into the folder, or leave `chat` out";

/// The help where the template refuses.
const REFUSED: &str =
    "see `flow doctor --model DIR` for what the template makes of a question; some take no `system` message";

/// Mistakes of models with `chat: true`.
pub(crate) fn mistakes(spec: &Spec, plan: &Plan) -> Vec<Diagnostic> {
    let folders =
        plan.models.iter().filter_map(|(name, model)| Some((name, model, Path::new(model.folder()?))));
    let chats = folders.filter(|(_, model, dir)| model.chats() && dir.is_dir());
    let mistakes = chats.filter_map(|(name, model, dir)| {
        let (reason, help) = mistake(model, dir)?;
        let message = format!("model `{name}` cannot be asked by a chat template: {reason}");
        let mut mistake =
            Diagnostic::new(&codes::TEMPLATE, spec.span(&format!("models.{name}.chat")), message).help(help);
        spec.redact(&mut mistake);
        Some(mistake)
    });
    mistakes.collect()
}

fn mistake(model: &Model, dir: &Path) -> Option<(String, &'static str)> {
    match ChatTemplate::load(dir) {
        Err(error) => Some((chain(&error), NO_TEMPLATE)),
        Ok(None) => Some((format!("`{}` has none", dir.display()), NO_TEMPLATE)),
        Ok(template) => Some((unasked(model, template.as_ref())?, REFUSED)),
    }
}
