//! Models that exist before the run: checkpoints on this machine, and models behind servers.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::validate::{ADDRESS, PATH, VARIABLE};

/// A model that exists before the run.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Model {
    /// A checkpoint on this machine.
    Folder(Folder),
    /// A model behind OpenAI-compatible servers.
    Served(Served),
}

/// A checkpoint on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Folder {
    /// Folder in Hugging Face format: `config.json`, `*.safetensors`, `tokenizer.json`.
    #[schemars(regex(pattern = PATH))]
    pub path: String,
    /// Whether prompts are a user's messages, in the chat template of the folder. By default they are continued as they are. What is
    /// trained from this model is asked in the same way.
    #[serde(default)]
    pub chat: bool,
    /// A system message before each prompt, with `chat: true`.
    pub system: Option<String>,
    /// What the weights are drawn from as; training is exact.
    #[serde(default)]
    pub weights: Weights,
}

/// What weights are kept as while something is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// 4 bytes each, as they are.
    #[default]
    F32,
    /// 2 bytes each: rounded, but for checkpoints that are stored so.
    Bf16,
    /// 1 byte each, and a scale for each output: rounded.
    Int8,
}

impl Folder {
    /// What beside its files everything that is asked of it depends on, in words; empty where that is nothing.
    pub fn manner(&self) -> String {
        let Self { path: _, chat, system, weights } = self;
        let weights = match weights {
            Weights::F32 => None,
            Weights::Bf16 => Some("bf16 weights".to_owned()),
            Weights::Int8 => Some("int8 weights".to_owned()),
        };
        let system = system.as_ref().map(|system| format!("system {system:?}"));
        let parts = chat.then(|| "chat".to_owned()).into_iter().chain(system).chain(weights);
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// A model behind OpenAI-compatible servers. What it answers is known by `model`, `revision` and what is sent, not by address:
/// kept answers stay when a server moves.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// Base address of the server, such as `http://host:8000/v1`; or several, which serve the same model and share the work.
    pub server: Addresses,
    /// The name that the server knows the model by.
    pub model: String,
    /// Your word for the weights behind the name. Change it when they change: a server cannot tell, and kept answers would
    /// stand for both.
    pub revision: Option<String>,
    /// Which interface is asked.
    #[serde(default)]
    pub api: Api,
    /// Whose parameters the server understands beyond OpenAI's own. SGLang's are vLLM's.
    #[serde(default)]
    pub dialect: Dialect,
    /// Environment variable that holds the key. The key itself stands in no pipeline, record or message.
    #[schemars(regex(pattern = VARIABLE))]
    pub api_key_env: Option<String>,
    /// A system message before each prompt, for `api: chat`.
    pub system: Option<String>,
    /// Whether to ask for the log-probability of each token: the column `logprobs`.
    #[serde(default)]
    pub logprobs: bool,
    /// Further members of the body of each request, as the server wants them.
    #[serde(default)]
    pub extra_body: Map<String, Json>,
    /// Seconds that one request may take, waiting at the server included.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 1))]
    pub timeout: u32,
    /// Most requests under way at each address. How many are is found out: more while the server answers, half as many when
    /// it is overloaded.
    #[serde(default = "concurrency")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_concurrency: u32,
    /// How often a draw is asked for, with growing pauses, before it is given up. What a server refuses for the request's own
    /// fault is not asked again; what a server that is down or overloaded fails does not count.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1))]
    pub max_attempts: u32,
    /// Seconds for which no server may answer anything before the run ends, whatever they fail by. Finished draws are kept.
    #[serde(default = "five_minutes")]
    #[schemars(range(min = 1))]
    pub give_up_after: u32,
    /// Most draws of one prompt in one request (OpenAI's `n`). With more than one the server tells the draws apart by itself,
    /// and does not count the tokens of each.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024))]
    pub draws_per_request: u32,
    /// What becomes of a draw that was refused or given up.
    #[serde(default)]
    pub on_failure: OnFailure,
}

/// Where a model is served.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Addresses {
    /// One base address.
    One(#[schemars(regex(pattern = ADDRESS))] String),
    /// Several, which serve the same model.
    Many(
        #[schemars(length(min = 1), inner(regex(pattern = ADDRESS)), extend("uniqueItems" = true))]
        Vec<String>,
    ),
}

impl Addresses {
    /// All of them, at least one.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Many(addresses) => addresses,
        }
    }
}

/// Which interface of a server is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `/completions`: the server continues the prompt as it is.
    #[default]
    Completions,
    /// `/chat/completions`: the prompt is a user's message, in the server's chat template.
    Chat,
}

/// Whose parameters a server understands. All that can be said is said: what is not, servers take from defaults of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `top_k`, `min_p` and `repetition_penalty` as vLLM and SGLang have them.
    #[default]
    Vllm,
    /// `top_k`, `min_p` and `repeat_penalty` as llama.cpp has them.
    LlamaCpp,
    /// Only what OpenAI has: neither `top_k` nor `min_p` nor `repetition_penalty`.
    Openai,
}

/// What becomes of a draw that was refused or given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Its row is rejected with the reason, and asked for again by the next run.
    #[default]
    Reject,
    /// The run ends; finished draws are kept.
    Stop,
}

fn ten_minutes() -> u32 {
    600
}

fn five_minutes() -> u32 {
    300
}

fn concurrency() -> u32 {
    128
}

fn attempts() -> u32 {
    5
}

fn one() -> u32 {
    1
}

impl Model {
    /// The checkpoint on this machine.
    pub fn checkpoint(&self) -> Option<&Folder> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Served(_) => None,
        }
    }

    /// Whether prompts are a user's messages, in the model's chat template.
    pub fn chats(&self) -> bool {
        match self {
            Self::Folder(folder) => folder.chat,
            Self::Served(served) => served.api == Api::Chat,
        }
    }

    /// The system message before each prompt.
    pub fn system(&self) -> Option<&str> {
        match self {
            Self::Folder(folder) => folder.system.as_deref(),
            Self::Served(served) => served.system.as_deref(),
        }
    }

    /// What the weights are kept as; those of a server are its own.
    pub fn weights(&self) -> Weights {
        self.checkpoint().map(|folder| folder.weights).unwrap_or_default()
    }

    /// The folder of a checkpoint on this machine.
    pub fn folder(&self) -> Option<&str> {
        self.checkpoint().map(|folder| folder.path.as_str())
    }

    /// The model behind servers.
    pub fn served(&self) -> Option<&Served> {
        match self {
            Self::Folder(_) => None,
            Self::Served(served) => Some(served),
        }
    }
}

impl Served {
    /// What tells the weights apart, as far as can be known: the name and the revision.
    pub fn weights(&self) -> [&str; 2] {
        [&self.model, self.revision.as_deref().unwrap_or_default()]
    }

    /// What beside the weights every answer depends on, as text: how it is asked, not where and how often.
    pub fn manner(&self) -> String {
        let Self { api, system, logprobs, extra_body, .. } = self;
        let mut extra = Json::Object(extra_body.clone());
        extra.sort_all_objects();
        format!("{api:?} {system:?} {logprobs} {extra}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn served(extra: Json) -> Served {
        let mut object = json!({"server": "http://h/v1", "model": "m"});
        object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn answers_are_known_by_what_is_asked_not_where_and_how_often() {
        let identity = |extra| {
            let served = served(extra);
            (served.weights().map(str::to_owned), served.manner())
        };
        let plain = identity(json!({}));
        for same in [
            json!({"server": ["http://a/v1", "https://b/v1"]}),
            json!({"timeout": 3, "max_concurrency": 2, "max_attempts": 1, "give_up_after": 9}),
            json!({"dialect": "llama_cpp", "api_key_env": "KEY", "on_failure": "stop", "draws_per_request": 4}),
        ] {
            assert_eq!(identity(same.clone()), plain, "{same}");
        }
        let others = [
            json!({"model": "n"}),
            json!({"revision": "2"}),
            json!({"api": "chat"}),
            json!({"system": "Be brief."}),
            json!({"logprobs": true}),
            json!({"extra_body": {"a": 1, "b": 2}}),
        ];
        for other in others {
            assert_ne!(identity(other.clone()), plain, "{other}");
        }
        let one = identity(json!({"extra_body": {"a": 1, "b": 2}}));
        assert_eq!(one, identity(json!({"extra_body": {"b": 2, "a": 1}})));
    }
}
