//! The mistakes that only a whole plan shows: how a step goes with the steps before it and with the models it uses.

use flow_plan::{Feed, ModelRef, Plan, Problem, Step};
use flow_spec::{Api, Dialect, Served};
use serde_json::{Value as Json, json};

use crate::{Operator, StepContext};

/// The mistakes of all steps of `plan`, which was made with the signatures of `catalog`, each with the place of its step.
pub fn misfits(plan: &Plan, catalog: &[&dyn Operator]) -> Vec<(usize, Problem)> {
    let of_step = |(at, step): (usize, &Step)| {
        let context = StepContext { plan, step };
        let operator = catalog.iter().find(|operator| operator.name() == step.op);
        let own = operator.map(|operator| operator.fits(&context)).unwrap_or_default();
        own.into_iter().chain(of_server(&context)).map(move |problem| (at, problem)).collect::<Vec<_>>()
    };
    plan.steps.iter().enumerate().flat_map(of_step).chain(of_feeds(plan)).collect()
}

/// Models that are asked in their chat template in the first round and as they are in the next, or the other way round.
fn of_feeds(plan: &Plan) -> Vec<(usize, Problem)> {
    let feeds = plan.rounds.iter().flat_map(|rounds| &rounds.feed);
    let misfit = |feed: &Feed| {
        let model = ModelRef::Step(feed.step);
        let origin = plan.origin(&model).filter(|origin| *origin != feed.model)?;
        let [asked, learned] =
            [&feed.model, origin].map(|name| plan.models.get(name).map(|model| (name, model.chats())));
        let ((fed, asked), (origin, learned)) = (asked?, learned?);
        let words =
            |chats| if chats { "is asked in its chat template" } else { "continues prompts as they are" };
        let (words, other) = (words(asked), words(learned));
        let message = format!("`{fed}` {words}, and what becomes of it comes from `{origin}`, which {other}");
        let problem =
            Problem::new("start", message).with_help("declare both models with `chat: true`, or neither");
        (asked != learned).then_some((feed.step, problem))
    };
    feeds.filter_map(misfit).collect()
}

/// The keys of drawing that the server of the step's model cannot be asked for.
fn of_server(context: &StepContext<'_>) -> Vec<Problem> {
    let step = context.step;
    let served = step.models.iter().find_map(|used| match &used.model {
        ModelRef::Declared(name) => Some((name, context.plan.models.get(name)?.served()?)),
        ModelRef::Step(_) => None,
    });
    let Some((name, served)) = served else { return Vec::new() };
    let given = |key: &str| {
        let value = step.config.pointer(&format!("/{}", key.replace('.', "/")));
        value.filter(|value| !value.is_null())
    };
    let refused = ["routing", "prefix", "until.guide.prefix", "top_k", "min_p", "repetition_penalty"];
    let refused = refused.iter().filter_map(|key| Some((*key, refusal(served, key, given(key)?)?)));
    refused
        .map(|(key, (words, help))| {
            Problem::new(key, format!("`{key}` {words}, and `{name}` is behind a server")).with_help(help)
        })
        .collect()
}

/// Why a server cannot be asked for `value` of `key`, and what to do about it; none where it can.
fn refusal(served: &Served, key: &str, value: &Json) -> Option<(&'static str, &'static str)> {
    let is_openai = served.dialect == Dialect::Openai;
    let dialect = "leave it out, or name another `dialect` of the model if its server knows one";
    match key {
        "routing" => Some(("needs the model's experts", "name a model that is a folder")),
        "prefix" | "until.guide.prefix" if is_openai && served.api == Api::Chat => {
            Some(("is not in the dialect `openai` of a chat", dialect))
        }
        "top_k" | "min_p" if is_openai && *value != json!(0) && *value != json!(0.0) => {
            Some(("is not in the dialect `openai`", dialect))
        }
        "repetition_penalty" if is_openai && *value != json!(1.0) && *value != json!(1) => {
            Some(("is not in the dialect `openai`", dialect))
        }
        _ => None,
    }
}
