//! Chat templates: how a conversation becomes the text that a model was trained to continue.
//!
//! A template is Jinja as `transformers` renders it: whitespace of blocks trimmed, special tokens as variables, a few
//! functions, and Python's methods of texts and maps. One thing differs on purpose: a template that asks for today's date is
//! told [`python::TODAY`], so that a prompt is a function of its conversation.

mod python;

use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{Environment, Error as Failure, ErrorKind};
use serde_json::{Map, Value};

use crate::Error;
use crate::checkpoint::json;

const NAME: &str = "chat_template";
const FILE: &str = "chat_template.jinja";
const CONFIG: &str = "tokenizer_config.json";

/// Special tokens that templates name.
const TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The chat template of a checkpoint.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Where it was found.
    path: PathBuf,
    /// Special tokens by the names templates use.
    tokens: Map<String, Value>,
}

impl ChatTemplate {
    /// The template of a Hugging Face folder: `chat_template.jinja`, or that of `tokenizer_config.json`, of several the one
    /// named `default`. `None` when the folder has none.
    ///
    /// # Errors
    /// A file cannot be read, or the template is not valid Jinja.
    pub fn load(dir: &Path) -> Result<Option<Self>, Error> {
        let (file, config) = (dir.join(FILE), dir.join(CONFIG));
        let config_value = if config.exists() { json(&config)? } else { Value::Null };
        let tokens = special_tokens(&config_value);
        if file.exists() {
            let source = std::fs::read_to_string(&file)
                .map_err(|source| Error::Read { path: file.clone(), source })?;
            return Self::new(&source, tokens, file).map(Some);
        }
        let source = match config_value.get(NAME) {
            Some(Value::Array(several)) => {
                let named = |entry: &&Value| entry["name"] == "default";
                several.iter().find(named).or(several.first()).and_then(|entry| entry["template"].as_str())
            }
            one => one.and_then(Value::as_str),
        };
        source.map(|source| Self::new(source, tokens, config)).transpose()
    }

    /// A template from its text; `path` is named in errors.
    ///
    /// # Errors
    /// The text is not valid Jinja.
    pub fn new(source: &str, tokens: Map<String, Value>, path: PathBuf) -> Result<Self, Error> {
        let ready = || {
            let mut environment = python::environment()?;
            environment.add_template_owned(NAME, without_generation_tags(source))?;
            Ok(environment)
        };
        match ready() {
            Ok(environment) => Ok(Self { environment, path, tokens }),
            Err(source) => Err(Error::ChatTemplate { path, source }),
        }
    }

    /// Where the template was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

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
