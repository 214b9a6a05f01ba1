//! Third stage: models. What each step uses, what rounds feed back, and which steps thereby differ from round to round.

use flow_spec::{Diagnostic, Served, Span, help_with_names};

use crate::draft::Draft;
use crate::resolve::unknown_step;
use crate::{Feed, Gate, ModelRef, ModelUse, Rounds, codes};

/// The port of a gate whose rows name rounds after which none may follow.
const CLOSED: &str = "closed";

/// Refuses names that a model and a step share.
pub(crate) fn shared_names(draft: &mut Draft<'_>) {
    for at in 0..draft.steps.len() {
        let step = draft.steps[at].spec;
        if draft.spec.declares_model(&step.name) {
            let model = draft.spec.key_span(&format!("models.{}", step.name));
            let words = format!("`{}` is the name of a model and of a step", step.name);
            draft.report(
                Diagnostic::new(&codes::SHARED_NAME, step.name_span, words).related(model, "the model"),
            );
        }
    }
}

/// The members of a request that are not the user's: they say what is asked, and how the answer is read.
const RESERVED: [&str; 6] = ["messages", "model", "n", "prompt", "seed", "stream"];

/// Refuses declarations of models that contradict themselves.
pub(crate) fn declared(draft: &mut Draft<'_>) {
    let spec = draft.spec;
    for (name, model) in &spec.models {
        let mut found: Vec<(String, String, &str)> = Vec::new();
        if model.system().is_some() && !model.chats() {
            let (chat, help) = match model.served() {
                Some(_) => ("api: chat", "write `api: chat`, or put the text into the prompts"),
                None => ("chat: true", "write `chat: true`, or put the text into the prompts"),
            };
            let words = format!("`system` is a message of a chat, found without `{chat}`");
            found.push(("system".to_owned(), words, help));
        }
        found.extend(model.served().map(contradictions).unwrap_or_default());
        for (key, words, help) in found {
            let span = spec.span(&format!("models.{name}.{key}"));
            draft.report(Diagnostic::new(&codes::CONFIG, span, words).help(help));
        }
    }
}

/// What contradicts itself in the declaration of a served model: key, words and help.
fn contradictions(served: &Served) -> Vec<(String, String, &'static str)> {
    let mut found = Vec::new();
    for key in served.extra_body.keys().filter(|key| RESERVED.contains(&key.as_str())) {
        let words = format!("`{key}` is what a request says by itself, found in `extra_body`");
        found.push((
            format!("extra_body.{key}"),
            words,
            "leave it out: the steps and the model's other keys say it",
        ));
    }
    let addresses: Vec<&str> =
        served.server.all().iter().map(|address| address.trim_end_matches('/')).collect();
    if let Some(at) = (0..addresses.len()).find(|at| addresses[..*at].contains(&addresses[*at])) {
        let words = format!("the address `{}` stands twice", addresses[at]);
        found.push((format!("server.{at}"), words, "give each address once"));
    }
    found
}

/// Resolves the config keys that name models.
pub(crate) fn uses(draft: &mut Draft<'_>) {
    for at in 0..draft.steps.len() {
        let Some(shape) = &draft.steps[at].shape else { continue };
        for key in shape.models.clone() {
            if let Some(model) = model_at(draft, at, &key) {
                draft.steps[at].models.push(ModelUse { key, model });
            }
        }
    }
}

fn model_at(draft: &mut Draft<'_>, at: usize, key: &str) -> Option<ModelRef> {
    let step = &draft.steps[at];
    let pointer = format!("/{}", key.replace('.', "/"));
    let config = step.config.as_ref().filter(|config| !config.is_broken(key))?;
    let name = config.real.pointer(&pointer)?.as_str()?.to_owned();
    let span = config.node.at(key).map_or(step.spec.name_span, |node| node.span);
    if draft.spec.declares_model(&name) {
        return has_weights(draft, at, &name, span).then_some(ModelRef::Declared(name));
    }
    match draft.by_name.get(name.as_str()).copied() {
        Some(maker) => makes_model(draft, maker, span).then_some(ModelRef::Step(maker)),
        None => {
            unknown_model(draft, &name, span);
            None
        }
    }
}

/// Whether the step can do with the declared model: what makes a model needs weights to start from. Reports it if not.
fn has_weights(draft: &mut Draft<'_>, step: usize, model: &str, span: Span) -> bool {
    let served = draft.spec.models.get(model).is_some_and(|model| model.served().is_some());
    let needs =
        draft.steps[step].shape.as_ref().is_some_and(|shape| shape.makes_model || shape.needs_weights);
    if served && needs {
        let words = format!("expected a model with weights, found `{model}`, which is behind a server");
        let declared = draft.spec.key_span(&format!("models.{model}"));
        let help = "name a model that is a folder; let the served one write what it learns from";
        let diagnostic = Diagnostic::new(&codes::NO_WEIGHTS, span, words);
        draft.report(diagnostic.related(declared, "the model").help(help));
    }
    !(served && needs)
}

/// Whether the step makes a model; reports it if it is known not to.
fn makes_model(draft: &mut Draft<'_>, step: usize, span: Span) -> bool {
    let maker = &draft.steps[step];
    let Some(shape) = &maker.shape else { return false };
    let makes = shape.makes_model;
    if !makes {
        let op = maker.spec.op.as_deref().unwrap_or_default();
        let words =
            format!("expected a model, found step `{}`, whose operator `{op}` makes none", maker.spec.name);
        let help = help_with_names("", "models", &models(draft));
        draft.report(Diagnostic::new(&codes::NOT_A_MODEL, span, words).help(help));
    }
    makes
}

fn unknown_model(draft: &mut Draft<'_>, name: &str, span: Span) {
    let help = help_with_names(name, "models", &models(draft));
    draft.report(
        Diagnostic::new(&codes::UNKNOWN_MODEL, span, format!("there is no model `{name}`")).help(help),
    );
}

/// The names of all models: declared ones, then steps that make one.
fn models<'a>(draft: &Draft<'a>) -> Vec<&'a str> {
    let makers = draft.steps.iter().filter(|step| step.shape.as_ref().is_some_and(|shape| shape.makes_model));
    draft.spec.declared_models().chain(makers.map(|step| step.spec.name.as_str())).collect()
}

/// Resolves `rounds`; steps keep their positions in the text.
pub(crate) fn rounds(draft: &mut Draft<'_>) -> Option<Rounds> {
    let rounds = draft.spec.rounds.as_ref()?;
    let mut feed = Vec::new();
    for (model, step) in &rounds.feed {
        let path = format!("rounds.feed.{model}");
        if !draft.spec.declares_model(model) {
            unknown_model(draft, model, draft.spec.key_span(&path));
        }
        let span = draft.spec.span(&path);
        match draft.by_name.get(step.as_str()).copied() {
            Some(maker) if makes_model(draft, maker, span) => {
                feed.push(Feed { model: model.clone(), step: maker })
            }
            Some(_) => {}
            None => unknown_step(draft, step, span),
        }
    }
    let gate = rounds.gate.as_ref().and_then(|gate| {
        let span = draft.spec.span("rounds.gate");
        match draft.by_name.get(gate.as_str()).copied() {
            Some(step) => closes_rounds(draft, step, span),
            None => {
                unknown_step(draft, gate, span);
                None
            }
        }
    });
    let models = feed.iter().map(|feed| feed.model.clone()).collect();
    Some(Rounds { count: rounds.count.get(), models, feed, gate, on_change: rounds.on_change })
}

/// The step and its port of rounds after which none may follow; reported when it has none.
fn closes_rounds(draft: &mut Draft<'_>, step: usize, span: Span) -> Option<Gate> {
    let shape = draft.steps[step].shape.as_ref()?;
    let port = shape.ports.iter().position(|port| port.name == CLOSED);
    if port.is_none() {
        let words = format!(
            "step `{}` has no port `{CLOSED}`, by which a gate ends the rounds",
            draft.steps[step].spec.name
        );
        let help = "name a step whose operator is `gate`";
        draft.report(Diagnostic::new(&codes::UNKNOWN_PORT, span, words).help(help));
    }
    port.map(|port| Gate { step, port })
}

/// For each step whether it differs from round to round. `order` has producers first.
pub(crate) fn per_round(draft: &Draft<'_>, rounds: Option<&Rounds>, order: &[usize]) -> Vec<bool> {
    let fed = |model: &str| rounds.is_some_and(|rounds| rounds.feed.iter().any(|feed| feed.model == model));
    let mut differs = vec![false; draft.steps.len()];
    for at in order {
        let step = &draft.steps[*at];
        let by_rows = step.inlets.iter().flat_map(|inlet| &inlet.edges).any(|edge| differs[edge.step]);
        let by_model = step.models.iter().any(|used| match &used.model {
            ModelRef::Declared(name) => fed(name),
            ModelRef::Step(maker) => differs[*maker],
        });
        differs[*at] = by_rows || by_model;
    }
    differs
}
