//! `merge` makes one model of several that come from one seed: their average, or a mixture of experts.
//!
//! Takes rows of checkpoints, those of `branch` or of several `train` steps, and joins all of a round in the order of their
//! domains. `uniform` and `weighted` average the weights (arXiv 2203.05482); `task_vectors` adds to `base` what each model
//! learned beyond it, times `scale` (arXiv 2212.04089). `btx` makes each model's feed-forward block an expert and averages the
//! rest (arXiv 2403.07816); `bam` makes its attention an expert too, softly mixed, with keys and values of its own or shared
//! (arXiv 2408.08274). A mixture then wants training: name this step as the `start` of a `train` step.
//!
//! Ports: `out`, one row per round (record `checkpoint`). Steps and `rounds.feed` name this step as a model.
//!
//! Rejects: none; models that do not fit together end the run.
//!
//! Cost: reads every model once; memoised by models, settings and seed.
//!
//! ```yaml
//! mixture: {op: merge, from: experts, method: bam, shared_key_value: false}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_data::{Id, IdHasher, Item, Type, Value, kind};
use flow_dataflow::{Body, EffectOp, Failure, KeyedOp, Out, Perform, Request, Stage};
use flow_model::Checkpoint;
use flow_plan::{Input, Outlet, Problem, Shape};
use flow_spec::help_with_names;
use flow_trainer::{From, Merge as Average, MoeUpcycle, Prompts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::branch::{Branch, untrained};
use crate::train::Train;
use crate::train::learner::digest;
use crate::train::mixture::{Gate, Ways, aux_loss, z_loss};
use crate::{BuildError, Definition, Env, Models, StepContext};

/// Options of `merge`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How models become one.
    method: Method,
    /// With `weighted`: the weight of each domain, 0 or more; divided by their sum.
    #[serde(default)]
    weights: BTreeMap<String, f64>,
    /// With `task_vectors`: the model that the others were trained from.
    #[serde(skip_serializing)]
    base: Option<String>,
    /// With `task_vectors`: what each change is multiplied by.
    #[serde(default = "crate::defaults::unit")]
    scale: f64,
    /// With `btx` and `bam`: routed experts each token visits, at least 1; by default 2, with `bam` 1.
    #[schemars(range(min = 1))]
    experts_per_token: Option<u32>,
    /// With `btx` and `bam`, in place of `experts_per_token`: a token visits the fewest most probable experts whose probabilities reach this
    /// sum, above 0 to 1 (arXiv 2403.07652).
    #[schemars(range(min = 0.000_001, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    /// With `btx` and `bam`: further experts of the router that compute nothing (AdaMoE, arXiv 2406.13233).
    #[schemars(range(max = 1024))]
    #[serde(default, skip_serializing_if = "crate::train::mixture::is_none")]
    null_experts: u32,
    /// With `btx` and `bam`: by how much a step of training moves the bias that each expert is chosen with towards an even load, 0 to 1 (arXiv
    /// 2408.15664). Not with `top_p` and `null_experts`.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias_update_rate: Option<f64>,
    /// With `btx` and `bam`: whether the chosen probabilities are divided by their sum. By default they are with `btx` where a
    /// token visits more than one.
    norm_topk_prob: Option<bool>,
    /// With `bam`: whether attention experts share the average of keys and values, instead of having their own.
    #[serde(default)]
    shared_key_value: bool,
    /// With `bam`: attention experts that count for a token, those with the largest weights, at least 1; by default all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    attention_experts_per_token: Option<u32>,
    /// With `btx` and `bam`: what routers begin with, of experts and of attentions.
    #[serde(default, skip_serializing_if = "Gate::is_random")]
    gate: Gate,
    /// With `gate: hidden` and `cheap_embed`: for each domain a list of texts that its expert is for; the mean of the models reads them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    positive_prompts: BTreeMap<String, Vec<String>>,
    /// The same of texts that it is not for, of any of the domains; their mean is taken off that of the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    negative_prompts: BTreeMap<String, Vec<String>>,
    /// With `btx` and `bam`: weight of the load-balance loss.
    #[serde(default = "crate::train::mixture::aux_loss")]
    #[schemars(range(min = 0.0))]
    router_aux_loss_coef: f64,
    /// With `btx` and `bam`: weight of the router z-loss.
    #[serde(default = "crate::train::mixture::z_loss")]
    #[schemars(range(min = 0.0))]
    router_z_loss_coef: f64,
    /// Begins routers; by default the pipeline's seed.
    #[serde(skip_serializing)]
    seed: Option<u64>,
}

/// How models become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    /// The average of all.
    Uniform,
    /// The average by weights.
    Weighted,
    /// The base and the sum of all changes.
    TaskVectors,
    /// Feed-forward experts; the rest is averaged.
    Btx,
    /// Feed-forward and attention experts; the rest is averaged.
    Bam,
}

/// The operator.
pub(crate) struct Merge;

impl Definition for Merge {
    const NAME: &'static str = "merge";
    const VERSION: u32 = 2;
    const SOURCE: &'static str = include_str!("merge.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = config.mistakes();
        problems.extend(inputs[0].column_of("from", "model", &[Type::Text]).err());
        if config.method == Method::Weighted {
            problems.extend(inputs[0].column_of("from", "domain", &[Type::Text]).err());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let shape = Shape::new(kind("checkpoint").columns().clone()).making_model().ending();
        Ok(if config.base.is_some() { shape.using("base") } else { shape })
    }

    fn fits(config: &Config, step: &StepContext<'_>) -> Vec<Problem> {
        match domains(step) {
            Some(domains) => config.misfits(&domains),
            None => Vec::new(),
        }
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let columns = step.columns();
        let gather = Gather { model: step.column("model"), domain: columns.index("domain") };
        let seed = config.seed.unwrap_or(step.plan.seed);
        let merger = Merger { config, seed, version: step.step.version, models: env.models.clone() };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(gather)), Stage::Effect(Arc::new(merger))]))
    }
}

impl Merge {
    /// The mixture that a step with these keys makes of the fewest models that it can join; none where it averages them.
    pub(crate) fn mixture(config: &Json) -> Option<MoeUpcycle> {
        let config: Config = flow_plan::config_of(config).ok()?;
        let joins = matches!(config.method, Method::Btx | Method::Bam);
        let visited = [config.experts_per_token, config.attention_experts_per_token].into_iter().flatten().max();
        let models = visited.unwrap_or(2).max(2) as usize;
        joins.then(|| config.mixture(&vec!["".into(); models]))
    }
}

impl Config {
    /// Keys that the method does not know, or lacks.
    fn mistakes(&self) -> Vec<Problem> {
        let mixture = matches!(self.method, Method::Btx | Method::Bam);
        let only = |given: bool, known: bool, key: &str, methods: &str| {
            (given && !known).then(|| Problem::new(key, format!("`{key}` belongs to the method {methods}")))
        };
        let bam = self.method == Method::Bam;
        let weighted = self.method == Method::Weighted;
        let vectors = self.method == Method::TaskVectors;
        let mut problems: Vec<Problem> = [
            only(!self.weights.is_empty(), weighted, "weights", "`weighted`"),
            only(self.base.is_some(), vectors, "base", "`task_vectors`"),
            only(self.experts_per_token.is_some(), mixture, "experts_per_token", "`btx` or `bam`"),
            only(self.top_p.is_some(), mixture, "top_p", "`btx` or `bam`"),
            only(self.null_experts > 0, mixture, "null_experts", "`btx` or `bam`"),
            only(self.bias_update_rate.is_some(), mixture, "bias_update_rate", "`btx` or `bam`"),
            only(self.norm_topk_prob.is_some(), mixture, "norm_topk_prob", "`btx` or `bam`"),
            only(self.shared_key_value, bam, "shared_key_value", "`bam`"),
            only(self.attention_experts_per_token.is_some(), bam, "attention_experts_per_token", "`bam`"),
            only(self.scale != 1.0, vectors, "scale", "`task_vectors`"),
            only(!self.gate.is_random(), mixture, "gate", "`btx` or `bam`"),
            only(!self.positive_prompts.is_empty(), mixture, "positive_prompts", "`btx` or `bam`"),
            only(!self.negative_prompts.is_empty(), mixture, "negative_prompts", "`btx` or `bam`"),
            only(self.router_aux_loss_coef != aux_loss(), mixture, "router_aux_loss_coef", "`btx` or `bam`"),
            only(self.router_z_loss_coef != z_loss(), mixture, "router_z_loss_coef", "`btx` or `bam`"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let ways = Ways {
            experts_per_token: self.experts_per_token.is_some(),
            top_p: self.top_p.is_some(),
            null_experts: self.null_experts > 0,
            bias: self.bias_update_rate.is_some(),
        };
        problems.extend(ways.mistakes(""));
        if mixture {
            let has_prompts =
                !self.positive_prompts.is_empty() || (self.gate.is_random() && !self.negative_prompts.is_empty());
            problems.extend(self.gate.mistake(has_prompts, "positive_prompts"));
        }
        let named: Vec<&str> = self.positive_prompts.keys().map(String::as_str).collect();
        let strange = |domain: &&String| !self.gate.is_random() && !self.positive_prompts.contains_key(*domain);
        for domain in self.negative_prompts.keys().filter(strange) {
            let words = format!("`{domain}` has no texts in `positive_prompts`");
            let problem = Problem::new(&format!("negative_prompts.{domain}"), words);
            problems.push(problem.with_help(help_with_names(domain, "domains", &named)));
        }
        for (domain, _) in self.positive_prompts.iter().filter(|(_, texts)| texts.is_empty()) {
            problems.push(Problem::new(&format!("positive_prompts.{domain}"), "expected at least one text, found none"));
        }
        if weighted && !(self.weights.values().all(|weight| *weight >= 0.0) && self.weights.values().sum::<f64>() > 0.0) {
            problems.push(Problem::new("weights", "expected a weight of 0 or more for each domain, not all of them 0"));
        }
        if vectors && self.base.is_none() {
            let problem = Problem::new("base", "`task_vectors` needs the model that the others were trained from");
            problems.push(problem.with_help("name it as `base`"));
        }
        problems
    }

    /// Keys that do not go with the models of a round, whose domains these are, empty where a model has none.
    fn misfits(&self, domains: &[String]) -> Vec<Problem> {
        let mut problems = Vec::new();
        if domains.len() < 2 {
            problems.push(Problem::new("from", format!("expected two models or more to join, found {}", domains.len())));
        }
        if let Some(per_token) = self.experts_per_token.filter(|per_token| *per_token as usize > domains.len()) {
            let words = format!("expected at most {}, one expert for each model, found {per_token}", domains.len());
            problems.push(Problem::new("experts_per_token", words));
        }
        if self.method == Method::Weighted {
            problems.extend(unlike_domains("weights", "weight", &self.weights, domains));
        }
        if !self.gate.is_random() {
            problems.extend(unlike_domains("positive_prompts", "texts", &self.positive_prompts, domains));
        }
        problems
    }

    /// The mixture that models of these domains become.
    fn mixture(&self, domains: &[Arc<str>]) -> MoeUpcycle {
        let from = match self.method {
            Method::Bam => From::Bam {
                shared_key_value: self.shared_key_value,
                attention_experts_per_token: self.attention_experts_per_token.map(|kept| kept as usize),
            },
            _ => From::Btx,
        };
        let usual = if self.method == Method::Bam { 1 } else { 2 };
        MoeUpcycle {
            from,
            experts: domains.len(),
            gate: self.gate.gate(domains.iter().map(|domain| self.prompts(domain)).collect()),
            experts_per_token: self.experts_per_token.unwrap_or(usual) as usize,
            top_p: self.top_p,
            null_experts: self.null_experts as usize,
            bias_update_rate: self.bias_update_rate,
            norm_topk_prob: self.norm_topk_prob,
            router_aux_loss_coef: self.router_aux_loss_coef,
            router_z_loss_coef: self.router_z_loss_coef,
            ..MoeUpcycle::default()
        }
    }

    /// The texts that tell what the expert of a domain is for.
    fn prompts(&self, domain: &str) -> Prompts {
        let texts = |of: &BTreeMap<String, Vec<String>>| of.get(domain).cloned().unwrap_or_default();
        Prompts { positive: texts(&self.positive_prompts), negative: texts(&self.negative_prompts) }
    }
}

/// What a map by domain at `key` lacks, and has beside the domains.
fn unlike_domains<T>(key: &str, what: &str, map: &BTreeMap<String, T>, domains: &[String]) -> Vec<Problem> {
    let missing = domains.iter().filter(|domain| !map.contains_key(*domain));
    let missing = missing.map(|domain| Problem::new(key, format!("the domain `{domain}` has no {what}")));
    let names: Vec<&str> = domains.iter().map(String::as_str).collect();
    let strange = map.keys().filter(|domain| !domains.contains(domain)).map(|domain| {
        let problem = Problem::new(&format!("{key}.{domain}"), format!("there is no domain `{domain}`"));
        problem.with_help(help_with_names(domain, "domains", &names))
    });
    missing.chain(strange).collect()
}

/// The domains of the models that arrive in a round, empty where a model has none; `None` where that is not known before.
fn domains(step: &StepContext<'_>) -> Option<Vec<String>> {
    let mut domains = Vec::new();
    for edge in step.step.inputs.iter().flat_map(|inlet| &inlet.edges) {
        let maker = &step.plan.steps[edge.step];
        match maker.op {
            _ if edge.outlet != Outlet::Port(0) => return None,
            Branch::NAME => domains.extend(Branch::domains(&maker.config)?),
            Train::NAME | Merge::NAME => domains.push(String::new()),
            _ => return None,
        }
    }
    Some(domains)
}

/// One row a round: the models and their domains, in the order of the domains.
struct Gather {
    model: usize,
    domain: Option<usize>,
}

impl KeyedOp for Gather {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let domain = |item: &Item| self.domain.and_then(|at| Some(item.text(at)?.to_owned())).unwrap_or_default();
        let model = |item: &Item| item.text(self.model).unwrap_or_default().to_owned();
        let mut models: Vec<(String, String)> = items.iter().map(|item| (domain(item), model(item))).collect();
        models.sort_unstable();
        let parts = models.iter().flat_map(|(domain, model)| [domain.as_bytes(), model.as_bytes()]);
        let id = Id::of("models", parts);
        let (domains, models): (Vec<_>, Vec<_>) = models.into_iter().unzip();
        let texts = |texts: &[String]| Value::texts(texts.iter().map(String::as_str));
        out.create(0, items[0].row.round, id, vec![texts(&models), texts(&domains)]);
    }
}

struct Merger {
    config: Config,
    seed: u64,
    version: u32,
    models: Arc<Models>,
}

impl EffectOp for Merger {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let config = serde_json::to_string(&self.config).expect("a config is maps with text keys");
        let mut key = IdHasher::new("merge");
        key.part(&self.version.to_le_bytes()).part(&model.unwrap_or_default().0).part(&item.row.id.0);
        key.part(&self.seed.to_le_bytes()).part(config.as_bytes());
        if self.config.gate == Gate::Hidden {
            key.part(flow_trainer::instruction_set().as_bytes()); // it decides the last bits of what a model reads
        }
        Ok(vec![Request { key: key.finish(), item: item.clone(), model, index: 0 }])
    }

    fn machine(&self) -> Option<Id> {
        let reads = self.config.gate == Gate::Hidden;
        reads.then(|| Id::of("machine", [flow_trainer::instruction_set().as_bytes()]))
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        for (at, request) in requests.iter().enumerate() {
            let answer = self.merge(request);
            perform.answer(at, answer.map_err(|detail| Failure { reason: "merging", detail, fatal: true }));
        }
    }

    fn usable(&self, answer: &[Value]) -> bool {
        digest(answer).is_some_and(|digest| self.models.has(&digest))
    }

    /// The same merge gives the same bits.
    fn gives_again(&self) -> bool {
        true
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        match digest(answers[0]) {
            Some(digest) => {
                out.take(item);
                out.create(0, item.row.round, digest, answers[0].to_vec());
            }
            None => out.fail("merging", "the answer names no checkpoint"),
        }
    }
}

impl Merger {
    /// The cells of the record `checkpoint`.
    fn merge(&self, request: &Request) -> Result<Vec<Value>, String> {
        let (Value::Texts(digests), Value::Texts(domains)) = (request.item.get(0), request.item.get(1)) else {
            return Err("the rows name no models".into());
        };
        let models = digests.iter().map(|digest| self.checkpoint(digest)).collect::<Result<Vec<_>, _>>()?;
        let models: Vec<&Checkpoint> = models.iter().map(Arc::as_ref).collect();
        let base = request.model.map(|model| self.models.checkpoint(&model)).transpose();
        let base = base.map_err(|error| crate::text::chain(&error))?;
        let average = |method| flow_trainer::merge(&models, &method, base.as_deref());
        let merged = match self.config.method {
            Method::Uniform => average(Average::Uniform),
            Method::Weighted => average(Average::Weighted(self.weights(domains)?)),
            Method::TaskVectors => average(Average::TaskVectors(self.config.scale)),
            Method::Btx | Method::Bam => {
                flow_trainer::upcycle(&models, &self.config.mixture(domains), self.seed)
            }
        };
        let merged = merged.map_err(|error| crate::text::chain(&error))?;
        let n_experts = merged.config.moe.as_ref().map_or(0, |moe| moe.num_experts);
        let model = self.models.keep(merged).map_err(|error| crate::text::chain(&error))?;
        Ok(untrained(model, request.model, request.item.row.id, n_experts))
    }

    fn checkpoint(&self, digest: &str) -> Result<Arc<Checkpoint>, String> {
        let digest: Id = digest.parse().map_err(|error: flow_data::ParseIdError| error.to_string())?;
        self.models.checkpoint(&digest).map_err(|error| crate::text::chain(&error))
    }

    /// The weight of each domain.
    fn weights(&self, domains: &[Arc<str>]) -> Result<Vec<f64>, String> {
        let weight = |domain: &Arc<str>| {
            let weight = self.config.weights.get(&**domain).copied();
            weight.ok_or_else(|| format!("`weights` has none for the domain `{domain}`"))
        };
        domains.iter().map(weight).collect()
    }
}
