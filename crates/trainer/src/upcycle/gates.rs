//! What routers begin with: chance, or what texts for each expert look like to the dense model, as mergekit's `gate_mode` has it.

use flow_model::names::EMBEDDING;
use flow_model::{Checkpoint, Config, Tensor};

use super::{From, Maker, MoeUpcycle, ROUTER_STD};
use crate::Error;
use crate::batch::Batch;
use crate::config::require;
use crate::merge::{Merge, merge};
use crate::model::Model;

/// What routers begin with. Texts are those that an expert is for, at least one for each expert; with slices for each set of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Gate {
    /// Chance.
    #[default]
    Random,
    /// In each layer the mean of what its feed-forward block reads of an expert's texts, brought to length 1. Of several models their mean
    /// reads.
    Hidden(Vec<Vec<String>>),
    /// In all layers the mean embedding of the tokens of an expert's texts, brought to length 1.
    CheapEmbed(Vec<Vec<String>>),
}

/// Rows of the router of each layer, by expert (C); none where they begin by chance.
pub(super) type Gates = Option<Vec<Vec<Vec<f32>>>>;

/// What routers of a mixture of `dense` models begin with.
pub(super) fn gates(dense: &[&Checkpoint], settings: &MoeUpcycle) -> Result<Gates, Error> {
    let (texts, hidden) = match &settings.gate {
        Gate::Random => return Ok(None),
        Gate::Hidden(texts) => (texts, true),
        Gate::CheapEmbed(texts) => (texts, false),
    };
    let sets = settings.experts / settings.alike();
    require(texts.len() == sets, "positive_prompts", texts.len(), format!("texts for {sets} experts"))?;
    let reader = match dense {
        [alone] => (*alone).clone(),
        several => merge(several, &Merge::Uniform, None)?,
    };
    let documents = texts.iter().map(|texts| documents(&reader, texts)).collect::<Result<Vec<_>, _>>()?;
    let by_expert: Vec<Vec<Vec<f32>>> = match hidden {
        true => {
            let longest = documents.iter().flatten().map(Vec::len).max().unwrap_or(0);
            let model = Model::new(&reader, longest, &[], None)?;
            documents.iter().map(|documents| read(&model, documents)).collect::<Result<_, _>>()?
        }
        false => {
            let embedding = reader.tensor(EMBEDDING)?;
            documents.iter().map(|documents| embedded(embedding, documents, &reader.config)).collect()
        }
    };
    let layers = 0..reader.config.num_hidden_layers;
    Ok(Some(layers.map(|i| by_expert.iter().map(|layers| layers[i].clone()).collect()).collect()))
}

/// The tokens of an expert's texts; what goes beyond the model's positions is cut off.
fn documents(reader: &Checkpoint, texts: &[String]) -> Result<Vec<Vec<u32>>, Error> {
    let document = |text: &String| {
        let mut tokens = reader.tokenizer.encode(text)?;
        tokens.truncate(reader.config.max_position_embeddings);
        require(
            !tokens.is_empty(),
            "positive_prompts",
            format!("{text:?}"),
            "texts with at least one token",
        )?;
        Ok(tokens)
    };
    require(!texts.is_empty(), "positive_prompts", 0, "at least one text for each expert")?;
    texts.iter().map(document).collect()
}

/// By layer the mean over texts of the mean over tokens of what the feed-forward block reads, of length 1.
fn read(model: &Model, documents: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
    let mut sums: Vec<Vec<f64>> = Vec::new();
    for tokens in documents {
        let means = model.readings(&Batch::document(tokens))?;
        sums.resize_with(means.len(), Vec::new);
        sums.iter_mut().zip(&means).for_each(|(sum, mean)| add(sum, mean));
    }
    Ok(sums.iter().map(|sum| unit(sum)).collect())
}

/// The mean over texts of the mean embedding of their tokens, of length 1, for each layer.
fn embedded(embedding: &Tensor, documents: &[Vec<u32>], config: &Config) -> Vec<Vec<f32>> {
    let width = config.hidden_size;
    let mut sum = Vec::new();
    for tokens in documents {
        let mut mean = vec![0.0; width];
        for token in tokens {
            let row = &embedding.data[*token as usize * width..][..width];
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / tokens.len() as f64);
        }
        add(&mut sum, &mean);
    }
    vec![unit(&sum); config.num_hidden_layers]
}

fn add(sum: &mut Vec<f64>, mean: &[f64]) {
    sum.resize(mean.len(), 0.0);
    sum.iter_mut().zip(mean).for_each(|(sum, x)| *sum += x);
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
        let given = self.gates.as_ref().map(|gates| &gates[i]);
        let row = |at: usize| match given {
            Some(given) if at < begun => &given[at][..],
            _ => &chance.data[at * hidden..][..hidden],
        };
        let of_experts = (0..experts).map(|e| e / alike);
        let of_null = begun..begun + self.config.block.null_experts;
        let data: Vec<f32> = of_experts.chain(of_null).flat_map(row).copied().collect();
        self.tensors.insert(name.to_owned(), Tensor::new([self.config.router_rows(), hidden], data));
    }

    /// A router by chance.
    pub(super) fn random_router(&mut self, name: &str, rows: usize) {
        let router = Tensor::normal(self.seed, name, vec![rows, self.config.hidden_size], ROUTER_STD);
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
