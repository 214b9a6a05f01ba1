//! Chat templates: how a conversation becomes the text that a model was trained to continue.
//!
//! A template is Jinja as `transformers` renders it: whitespace of blocks trimmed, special tokens as variables, a few
//! functions, and Python's methods of texts and maps. One thing differs on purpose: a template that asks for today's date is
//! told [`python::TODAY`], so that a prompt is a function of its conversation.

mod python;

use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{Environment, Error as Failure, ErrorKind};
use serde_json::{Map, Value, json};

use crate::checkpoint::json;
use crate::{Error, Tokenizer};

const NAME: &str = "chat_template";
const FILE: &str = "chat_template.jinja";
const CONFIG: &str = "tokenizer_config.json";

/// Special tokens that templates name.
const TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The chat template of a checkpoint, as its folder has it: not compiled, since a model that is not asked by it can do without.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    /// Special tokens by the names templates use.
    tokens: Map<String, Value>,
    /// Where it was found.
    path: PathBuf,
}

impl ChatTemplate {
    /// The template of a Hugging Face folder: `chat_template.jinja`, or that of `tokenizer_config.json`, of several the one
    /// named `default`. `None` when the folder has none.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn load(dir: &Path) -> Result<Option<Self>, Error> {
        let (file, config) = (dir.join(FILE), dir.join(CONFIG));
        let config_value = if config.exists() { json(&config)? } else { Value::Null };
        let tokens = special_tokens(&config_value);
        if file.exists() {
            let source = std::fs::read_to_string(&file)
                .map_err(|source| Error::Read { path: file.clone(), source })?;
            return Ok(Some(Self::new(&source, tokens, file)));
        }
        let source = match config_value.get(NAME) {
            Some(Value::Array(several)) => {
                let named = |entry: &&Value| entry["name"] == "default";
                several.iter().find(named).or(several.first()).and_then(|entry| entry["template"].as_str())
            }
            one => one.and_then(Value::as_str),
        };
        Ok(source.map(|source| Self::new(source, tokens, config)))
    }

    /// A template from its text; `path` is named in errors.
    pub fn new(source: &str, tokens: Map<String, Value>, path: PathBuf) -> Self {
        Self { source: source.to_owned(), tokens, path }
    }

    /// Where the template was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The template, ready to render.
    ///
    /// # Errors
    /// The text is not valid Jinja.
    pub fn compile(&self) -> Result<Chat, Error> {
        let Self { source, tokens, path } = self.clone();
        let ready = || {
            let mut environment = python::environment()?;
            environment.add_template_owned(NAME, without_generation_tags(&source))?;
            Ok(environment)
        };
        match ready() {
            Ok(environment) => Ok(Chat { environment, path, tokens }),
            Err(source) => Err(Error::ChatTemplate { path, source }),
        }
    }

    /// What `transformers` needs beside `tokenizer.json` to find template and special tokens: a `tokenizer_config.json`.
    pub(crate) fn config_text(&self) -> String {
        let mut config = self.tokens.clone();
        config.insert(NAME.into(), self.source.as_str().into());
        config.insert("tokenizer_class".into(), "PreTrainedTokenizerFast".into());
        format!("{:#}\n", Value::Object(config))
    }

    /// Writes `config_text` where [`ChatTemplate::load`] finds it, in place of a template that lies there.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), Error> {
        let (file, config) = (dir.join(FILE), dir.join(CONFIG));
        let written = |path: &Path, source| Error::Write { path: path.into(), source };
        if file.exists() {
            std::fs::remove_file(&file).map_err(|source| written(&file, source))?;
        }
        std::fs::write(&config, self.config_text()).map_err(|source| written(&config, source))
    }
}

/// A chat template that is ready to render.
#[derive(Debug)]
pub struct Chat {
    environment: Environment<'static>,
    path: PathBuf,
    tokens: Map<String, Value>,
}

impl Chat {
    /// The text of `messages`, a list of `{"role": .., "content": ..}`. With `add_generation_prompt` it ends where the
    /// model's next answer begins. `more` are further variables, such as `tools` or `enable_thinking`. The text has its own
    /// special tokens: encode it without adding others.
    ///
    /// # Errors
    /// The template raises an exception of its own, such as for roles that do not alternate, or uses what there is not.
    pub fn render(
        &self,
        messages: &Value,
        add_generation_prompt: bool,
        more: &Map<String, Value>,
    ) -> Result<String, Error> {
        let mut variables = self.tokens.clone();
        variables.extend(more.clone());
        variables.insert("messages".into(), messages.clone());
        variables.insert("add_generation_prompt".into(), add_generation_prompt.into());
        let text =
            self.environment.get_template(NAME).and_then(|template| template.render(Serde(&variables)));
        text.map_err(|source| Error::ChatTemplate { path: self.path.clone(), source })
    }

    /// The token that ends an answer: the first special one that the template writes after it. `None` where it writes none, or
    /// cannot render a question and its answer.
    pub fn end_of_turn(&self, tokenizer: &Tokenizer) -> Option<u32> {
        let answer = "Quetzalcoatlus";
        let messages = json!([{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]);
        let text = self.render(&messages, false, &Map::new()).ok()?;
        let (_, rest) = text.rsplit_once(answer)?;
        tokenizer.encode_continuation(rest).ok()?.into_iter().find(|id| tokenizer.is_special(*id))
    }
}

/// Special tokens are texts or objects whose `content` is the text.
fn special_tokens(config: &Value) -> Map<String, Value> {
    let text = |name: &str| {
        let token = config.get(name)?;
        token.as_str().or(token.get("content").and_then(Value::as_str))
    };
    TOKENS.iter().filter_map(|name| Some(((*name).to_owned(), text(name)?.into()))).collect()
}

/// `{% generation %}` marks what is learnt from in training and prints nothing: here a block that is always taken.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|end| start + end) else { break };
        let tag = &rest[start + 2..end];
        let name = tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
        out.push_str(&rest[..start + 2]);
        match name {
            "generation" => out.push_str(&tag.replacen("generation", "if true", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endif", 1)),
            _ => out.push_str(tag),
        }
        out.push_str("%}");
        rest = &rest[end + 2..];
    }
    out + rest
}

/// An exception that a template raises.
fn raised(message: String) -> Failure {
    Failure::new(ErrorKind::InvalidOperation, message)
}
