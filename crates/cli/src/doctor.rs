//! `flow doctor`: what a checkpoint is, what it takes, and whether this program computes what a reference says; and whether
//! the servers of a pipeline answer.

mod describe;
mod reference;
mod servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_model::{ChatTemplate, Config, TensorFiles, Tokenizer};
use flow_sampler::{Engine, Plan, Precision};
use serde::Serialize;
use serde_json::{Map, json};

use crate::args::{Format, Overlay};
use crate::columns::{columns, counted, grouped};
use crate::doctor::reference::Agreement;
use crate::du::size;
use crate::halt::{Halt, chain};
use crate::{Catalog, Exit, codes, term};

/// Arguments of `doctor`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline whose servers are asked: for their models, and for one token each.
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    file: Option<PathBuf>,
    #[command(flatten)]
    overlay: Overlay,
    /// Folder of a model, in Hugging Face format.
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Compare with a JSON file of another program's values: `input_ids`, and any of `last_logits`, `greedy_ids` and
    /// `logprobs_of_input_and_greedy`, each with one row for each prompt.
    #[arg(long, value_name = "FILE", requires = "model")]
    reference: Option<PathBuf>,
    /// Largest difference of a score or log-probability that still agrees.
    #[arg(long, value_name = "NUMBER", default_value_t = 1e-3, value_parser = tolerance)]
    tolerance: f64,
    /// Keep weights so, as the key `weights` of a model does: a reference then tells how far off they are.
    #[arg(long, value_name = "PRECISION", requires = "model", default_value = "f32", value_parser = weights)]
    weights: Precision,
    /// For people or for programs; both on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// What was found; its JSON form is what `--format json` prints.
#[derive(Debug, Serialize)]
struct Findings {
    model: String,
    /// `model_type` of `config.json`.
    family: String,
    /// Its layers, heads and experts in words.
    shape: Vec<String>,
    /// What its layers do beyond Llama's, in words.
    switches: Vec<String>,
    parameters: usize,
    /// Parameters that a token is multiplied with.
    active_parameters: usize,
    context: usize,
    /// Bytes of the weights, by what they are kept as.
    weight_bytes: BTreeMap<&'static str, usize>,
    bytes_per_position: usize,
    files: Vec<File>,
    tokenizer: Option<Vocabulary>,
    template: Option<Template>,
    reference: Option<Agreement>,
}

/// A file of weights.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    bytes: u64,
    /// BLAKE3, shortened to 128 bits.
    digest: String,
}

#[derive(Debug, Serialize)]
struct Vocabulary {
    tokens: usize,
    /// Tokens it puts before a text.
    begins: Vec<u32>,
    /// Tokens that end a text.
    ends: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Template {
    path: String,
    /// A short conversation as the template renders it, or why it does not.
    example: Result<String, String>,
    /// The token that ends a turn.
    end_of_turn: Option<u32>,
}

/// Examines a model, or the servers of a pipeline.
pub(crate) fn doctor(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    match (&args.model, &args.file) {
        (Some(dir), _) => examine(args, dir),
        (None, Some(file)) => servers::examine(catalog, file, &args.overlay, args.format),
        (None, None) => unreachable!("the command line asks for one of them"),
    }
}

fn examine(args: &Args, dir: &Path) -> Result<Exit, Halt> {
    let findings = Findings::of(args, dir)?;
    match args.format {
        Format::Json => term::json(&findings)?,
        Format::Text => term::data(&findings.text())?,
    }
    match &findings.reference {
        Some(agreement) if !agreement.holds => Ok(Exit::Failed),
        _ => Ok(Exit::Done),
    }
}

impl Findings {
    fn of(args: &Args, dir: &Path) -> Result<Self, Halt> {
        let failed = |error: &dyn std::error::Error| {
            let message = format!("cannot use the model in {}: {}", dir.display(), chain(error));
            Halt::new(Exit::Failed, &codes::MODEL, message)
        };
        let config = Config::of_folder(dir).map_err(|error| failed(&error))?;
        let reference = args.reference.as_deref().map(reference::read).transpose()?;
        let tensors = TensorFiles::open(dir, &config).map_err(|error| failed(&error))?;
        let template = ChatTemplate::load(dir).map_err(|error| failed(&error))?;
        let tokenizer = tokenizer(dir).map_err(|error| failed(&error))?;
        let tokenizer = tokenizer.map(|tokenizer| tokenizer.with_chat_template(template.clone()));
        if let Some(tokenizer) = &tokenizer {
            // The parts may be right each by itself and not fit together.
            config.fits(tokenizer).map_err(|error| failed(&error))?;
        }
        // What is compared does not end with the text.
        let endless = Config { eos_token_ids: Vec::new(), ..config.clone() };
        let engine = Engine::of_weights(&endless, &tensors, tokenizer.clone(), args.weights)
            .map_err(|error| failed(&error))?;
        let agreement = reference.map(|reference| reference.compare(&engine, &config, args.tolerance));
        Ok(Self {
            model: dir.display().to_string(),
            family: describe::model_type(dir).unwrap_or_else(|| config.family().model_type().to_owned()),
            shape: describe::shape(&config),
            switches: describe::switches(&config),
            parameters: config.num_parameters(),
            active_parameters: describe::active_parameters(&config),
            context: config.context(),
            weight_bytes: PRECISIONS
                .iter()
                .map(|(name, precision)| (*name, Plan::new(&config, *precision, 1).weight_bytes))
                .collect(),
            bytes_per_position: engine.bytes_per_position(),
            files: files(dir).map_err(|error| failed(&error))?,
            template: template.map(|template| Template::of(&template, tokenizer.as_ref())),
            tokenizer: tokenizer.as_ref().map(|tokenizer| Vocabulary {
                tokens: tokenizer.vocab_size(),
                begins: tokenizer.encode("").unwrap_or_default(),
                ends: config.clone().ending_turns(tokenizer).eos_token_ids,
            }),
            reference: agreement.transpose()?,
        })
    }

    fn text(&self) -> String {
        let mut rows = vec![("family", self.family.clone())];
        rows.extend(self.shape.iter().map(|words| ("shape", words.clone())));
        rows.extend(self.switches.iter().map(|words| ("layers", words.clone())));
        let active = match self.active_parameters == self.parameters {
            true => String::new(),
            false => format!(", {} of them for each token", whole(self.active_parameters)),
        };
        rows.push(("parameters", whole(self.parameters) + &active));
        let weights =
            PRECISIONS.map(|(name, _)| format!("{} as {name}", size(self.weight_bytes[name] as u64)));
        let (weights, position) = (weights.join(", "), size(self.bytes_per_position as u64));
        let full = size((self.bytes_per_position * self.context) as u64);
        rows.push(("memory", format!("weights of {weights}; {position} of keys and values for each token, {full} for a whole context")));
        let file = |file: &File| format!("{}, {}, {}", file.name, size(file.bytes), file.digest);
        rows.extend(self.files.iter().map(|found| ("file", file(found))));
        rows.push(("tokenizer", self.tokenizer.as_ref().map_or_else(no_tokenizer, Vocabulary::text)));
        rows.push(("template", self.template.as_ref().map_or_else(|| "none".to_owned(), Template::text)));
        rows.extend(self.reference.iter().flat_map(Agreement::text).map(|words| ("reference", words)));
        let mut before = "";
        let named = rows.into_iter().map(|(name, words)| {
            let name = if std::mem::replace(&mut before, name) == name { "" } else { name };
            vec![name.to_owned(), words]
        });
        columns(&named.collect::<Vec<_>>())
    }
}

impl Vocabulary {
    fn text(&self) -> String {
        let list = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let begins = match self.begins.is_empty() {
            true => "puts nothing before a text".to_owned(),
            false => format!("puts {} before a text", list(&self.begins)),
        };
        let ends = match self.ends.is_empty() {
            true => "no token ends a text".to_owned(),
            false => format!("a text ends with {}", list(&self.ends)),
        };
        format!("{}, {begins}, {ends}", counted(self.tokens as i64, "token"))
    }
}

impl Template {
    fn of(template: &ChatTemplate, tokenizer: Option<&Tokenizer>) -> Self {
        let messages = json!([{"role": "user", "content": "1+1=?"}]);
        let chat = template.compile();
        let end_of_turn =
            chat.as_ref().ok().zip(tokenizer).and_then(|(chat, tokenizer)| chat.end_of_turn(tokenizer));
        let example =
            chat.and_then(|chat| chat.render(&messages, true, &Map::new())).map_err(|error| chain(&error));
        Self { path: template.path().display().to_string(), example, end_of_turn }
    }

    fn text(&self) -> String {
        let end = self
            .end_of_turn
            .map_or_else(|| "no token ends a turn".to_owned(), |id| format!("turns end with {id}"));
        match &self.example {
            Ok(example) => format!("{}; a question becomes {example:?}; {end}", self.path),
            Err(reason) => format!("{}; a question cannot be rendered: {reason}", self.path),
        }
    }
}

fn no_tokenizer() -> String {
    "none: tokenizer.json is absent, so prompts can only be token ids".to_owned()
}

fn tokenizer(dir: &Path) -> Result<Option<Tokenizer>, flow_model::Error> {
    let path = dir.join("tokenizer.json");
    path.exists().then(|| Tokenizer::load(&path)).transpose()
}

fn files(dir: &Path) -> Result<Vec<File>, flow_model::Error> {
    let file = |path: PathBuf| {
        let (bytes, digest) = flow_model::file_digest(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(File { name, bytes, digest: digest.iter().map(|byte| format!("{byte:02x}")).collect() })
    };
    flow_model::weight_files(dir)?.into_iter().map(file).collect()
}

fn whole(n: usize) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}

/// What weights can be kept as.
const PRECISIONS: [(&str, Precision); 3] =
    [("f32", Precision::F32), ("bf16", Precision::Bf16), ("int8", Precision::Int8)];

fn weights(text: &str) -> Result<Precision, String> {
    let found = PRECISIONS.into_iter().find(|(name, _)| *name == text);
    found.map(|(_, precision)| precision).ok_or_else(|| "expected `f32`, `bf16` or `int8`".to_owned())
}

/// A difference that a user allows.
fn tolerance(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a number of 0 or more".to_owned())
}
