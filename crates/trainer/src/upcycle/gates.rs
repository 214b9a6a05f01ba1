//! What routers begin with: chance, or what texts for each expert look like to the dense model, as mergekit's `gate_mode` has it.

use flow_model::names::EMBEDDING;
use flow_model::{Checkpoint, Config, Tensor};

use super::{From, Maker, MoeUpcycle, ROUTER_STD};
use crate::Error;
use crate::batch::Batch;
use crate::config::require;
use crate::merge::{Merge, merge};
use crate::model::Model;

/// What routers begin with. With slices there are texts for each set of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Gate {
    /// Chance.
    #[default]
    Random,
    /// In each layer the mean of what its feed-forward block reads of an expert's texts, for a router of attentions of what attention reads,
    /// brought to length 1. Of several models their mean reads.
    Hidden(Vec<Prompts>),
    /// In all layers the mean embedding of the tokens of an expert's texts, brought to length 1.
    CheapEmbed(Vec<Prompts>),
}

/// Texts that tell what an expert is for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompts {
    /// What it is for, at least one.
    pub positive: Vec<String>,
    /// What it is not for: their mean is taken off that of the others.
    pub negative: Vec<String>,
}

/// What the routers of each layer begin with; none where they begin by chance.
pub(super) type Gates = Option<Vec<Rows>>;

/// What the routers of a layer begin with: a row (C) for each expert.
#[derive(Default)]
pub(super) struct Rows {
    experts: Vec<Vec<f32>>,
    attentions: Vec<Vec<f32>>,
}

/// By layer, what a router of attentions and one of experts read, (C) each.
type Readings = Vec<[Vec<f64>; 2]>;

/// What routers of a mixture of `dense` models begin with.
pub(super) fn gates(dense: &[&Checkpoint], settings: &MoeUpcycle) -> Result<Gates, Error> {
    let (prompts, hidden) = match &settings.gate {
        Gate::Random => return Ok(None),
        Gate::Hidden(prompts) => (prompts, true),
        Gate::CheapEmbed(prompts) => (prompts, false),
    };
    let sets = settings.experts / settings.alike();
    require(prompts.len() == sets, "positive_prompts", prompts.len(), format!("texts for {sets} experts"))?;
    let reader = match dense {
        [alone] => (*alone).clone(),
        several => merge(several, &Merge::Uniform, None)?,
    };
    let tokens = |Prompts { positive, negative }: &Prompts| {
        require(!positive.is_empty(), "positive_prompts", 0, "at least one text for each expert")?;
        let positive = documents(&reader, "positive_prompts", positive)?;
        Ok([positive, documents(&reader, "negative_prompts", negative)?])
    };
    let prompts = prompts.iter().map(tokens).collect::<Result<Vec<_>, Error>>()?;
    let longest = prompts.iter().flatten().flatten().map(Vec::len).max().unwrap_or(0);
    let model = if hidden { Some(Model::new(&reader, longest, &[], None)?) } else { None };
    let mut layers: Vec<Rows> = Vec::new();
    layers.resize_with(reader.config.num_hidden_layers, Rows::default);
    for [positive, negative] in &prompts {
        let [mut readings, against] =
            [read(&reader, model.as_ref(), positive)?, read(&reader, model.as_ref(), negative)?];
        for (sums, against) in readings.iter_mut().zip(&against) {
            sums.iter_mut().zip(against).for_each(|(sum, against)| {
                *sum = between((sum, positive.len()), (against, negative.len()));
            });
        }
        for (rows, [attention, expert]) in layers.iter_mut().zip(&readings) {
            rows.attentions.push(unit(attention));
            rows.experts.push(unit(expert));
        }
    }
    Ok(Some(layers))
}

/// The sum over documents of the mean over their tokens; nothing of no documents.
fn read(reader: &Checkpoint, model: Option<&Model>, documents: &[Vec<u32>]) -> Result<Readings, Error> {
    let mut sums = Readings::new();
    for tokens in documents {
        let means = match model {
            Some(model) => model.readings(&Batch::document(tokens))?,
            None => embedded(reader.tensor(EMBEDDING)?, tokens, &reader.config),
        };
        sums.resize_with(means.len(), Default::default);
        for (sums, means) in sums.iter_mut().zip(&means) {
            sums.iter_mut().zip(means).for_each(|(sum, mean)| add(sum, mean));
        }
    }
    Ok(sums)
}

/// Where the mean of the second sum of so many lies from that of the first, times a number.
fn between((sum, n): (&[f64], usize), (against, n_against): (&[f64], usize)) -> Vec<f64> {
    let (n, n_against) = (n as f64, n_against as f64);
    sum.iter().zip(against).map(|(x, less)| x * n_against - less * n).collect()
}

/// The tokens of `texts`; what goes beyond the model's positions is cut off.
fn documents(reader: &Checkpoint, key: &'static str, texts: &[String]) -> Result<Vec<Vec<u32>>, Error> {
    let document = |text: &String| {
        let mut tokens = reader.tokenizer.encode(text)?;
        tokens.truncate(reader.config.max_position_embeddings);
        require(!tokens.is_empty(), key, format!("{text:?}"), "texts with at least one token")?;
        Ok(tokens)
    };
    texts.iter().map(document).collect()
}

/// The mean embedding of `tokens`, for each layer.
fn embedded(embedding: &Tensor, tokens: &[u32], config: &Config) -> Readings {
    let width = config.hidden_size;
    let mut mean = vec![0.0; width];
    for token in tokens {
        let row = &embedding.data[*token as usize * width..][..width];
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / tokens.len() as f64);
    }
    vec![[mean.clone(), mean]; config.num_hidden_layers]
}

fn add(sum: &mut Vec<f64>, x: &[f64]) {
    sum.resize(x.len(), 0.0);
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}

fn unit(vector: &[f64]) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    vector.iter().map(|x| (x / length) as f32).collect()
}

impl Maker<'_> {
    /// The router of layer `i`: experts that are alike begin with one row; null experts begin by chance.
    pub(super) fn router(&mut self, i: usize, name: &str) {
        let (hidden, experts, alike) =
            (self.config.hidden_size, self.settings.experts, self.settings.alike());
        let begun = experts / alike;
        let chance =
            Tensor::normal(self.seed, name, vec![begun + self.config.block.null_experts, hidden], ROUTER_STD);
        let given = self.gates.as_ref().map(|gates| &gates[i].experts);
        let row = |at: usize| match given {
            Some(given) if at < begun => &given[at][..],
            _ => &chance.data[at * hidden..][..hidden],
        };
        let of_experts = (0..experts).map(|e| e / alike);
        let of_null = begun..begun + self.config.block.null_experts;
        let data: Vec<f32> = of_experts.chain(of_null).flat_map(row).copied().collect();
        self.tensors.insert(name.to_owned(), Tensor::new([self.config.router_rows(), hidden], data));
    }

    /// The router of the attentions of layer `i`.
    pub(super) fn attention_router(&mut self, i: usize, name: &str) {
        let shape = vec![self.config.attentions(), self.config.hidden_size];
        let router = match &self.gates {
            Some(gates) => Tensor::new(shape, gates[i].attentions.concat()),
            None => Tensor::normal(self.seed, name, shape, ROUTER_STD),
        };
        self.tensors.insert(name.to_owned(), router);
    }
}

impl MoeUpcycle {
    /// Experts that begin with the same row of the router: the slices of a set, or one.
    pub(super) fn alike(&self) -> usize {
        match self.from {
            From::FineGrained { slices } => slices - usize::from(self.shared_expert),
            _ => 1,
        }
    }
}
