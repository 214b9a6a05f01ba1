//! Draws as request bodies, and completions out of answers: OpenAI's `/completions` and `/chat/completions`.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use crate::{Api, Class, Dialect, Settings};

/// One completion to draw.
#[derive(Clone, Debug)]
pub struct Draw {
    /// The text to continue, or the user's message. Draws of one prompt share it.
    pub prompt: Arc<str>,
    /// Sent as `seed`: draws of one prompt need different ones. Below 2^31, which every server takes.
    pub seed: u32,
}

/// How tokens are chosen; the names and their meanings are OpenAI's and vLLM's.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// 0 always takes the likeliest token.
    pub temperature: f64,
    /// Above 0 to 1; 1 keeps all.
    pub top_p: f64,
    /// 0 keeps all.
    pub top_k: usize,
    /// 0 to 1; 0 keeps all.
    pub min_p: f64,
    /// 1 changes nothing.
    pub repetition_penalty: f64,
    /// At least 1.
    pub max_tokens: usize,
    /// Texts that end a completion and are cut from it.
    pub stop: Vec<String>,
    /// What the completion begins with.
    pub prefix: Option<String>,
}

/// What was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The text, its prefix included.
    pub text: String,
    /// `stop`, `length`, or another word of the server's.
    pub finish_reason: Option<String>,
    /// Tokens of the prompt, if the server says so.
    pub prompt_tokens: Option<u64>,
    /// Tokens drawn, if the server says so.
    pub tokens: Option<u64>,
    /// Natural-log probabilities of the drawn tokens, if they were asked for and there is no prefix.
    pub logprobs: Option<Vec<f32>>,
}

/// The parameters that only some dialects have, and that differ from what they mean when absent.
pub(crate) fn unsaid(dialect: Dialect, api: Api, params: &Params) -> Option<&'static str> {
    let set = [
        ("top_k", params.top_k != 0),
        ("min_p", params.min_p != 0.0),
        ("repetition_penalty", params.repetition_penalty != 1.0),
        // A completion's prefix is the end of its prompt; a chat has to know that its last message goes on.
        ("prefix", params.prefix.is_some() && api == Api::Chat),
    ];
    let mut set = set.into_iter().filter(|(_, set)| *set).map(|(name, _)| name);
    if dialect == Dialect::OpenAi { set.next() } else { None }
}

/// The path below an endpoint's address.
pub(crate) fn path(api: Api) -> &'static str {
    match api {
        Api::Completions => "/completions",
        Api::Chat => "/chat/completions",
    }
}

/// The body that asks for `n` draws like `draw`.
pub(crate) fn body(settings: &Settings, params: &Params, draw: &Draw, n: usize) -> Json {
    let mut body = Map::new();
    let mut say = |key: &str, value: Json| drop(body.insert(key.to_owned(), value));
    say("model", settings.model.as_str().into());
    match settings.api {
        Api::Completions => {
            let prefix = params.prefix.as_deref().unwrap_or_default();
            say("prompt", format!("{}{prefix}", draw.prompt).into());
            if settings.logprobs {
                say("logprobs", 1.into());
            }
        }
        Api::Chat => {
            say("messages", messages(settings, params, &draw.prompt));
            if params.prefix.is_some() {
                say("continue_final_message", true.into());
                say("add_generation_prompt", false.into());
            }
            if settings.logprobs {
                say("logprobs", true.into());
            }
        }
    }
    let most = match (settings.api, settings.dialect) {
        (Api::Chat, Dialect::OpenAi) => "max_completion_tokens",
        _ => "max_tokens",
    };
    say(most, params.max_tokens.into());
    say("temperature", params.temperature.into());
    say("top_p", params.top_p.into());
    say("seed", draw.seed.into());
    if n > 1 {
        say("n", n.into());
    }
    if !params.stop.is_empty() {
        say("stop", json!(params.stop));
    }
    let own = match settings.dialect {
        Dialect::Vllm => Some(("repetition_penalty", -1)),
        Dialect::LlamaCpp => Some(("repeat_penalty", 0)),
        Dialect::OpenAi => None,
    };
    if let Some((penalty, all)) = own {
        say("top_k", if params.top_k == 0 { all.into() } else { params.top_k.into() });
        say("min_p", params.min_p.into());
        say(penalty, params.repetition_penalty.into());
    }
    settings.extra_body.iter().for_each(|(key, value)| say(key, value.clone()));
    body.into()
}

fn messages(settings: &Settings, params: &Params, prompt: &str) -> Json {
    let message = |role: &str, text: &str| json!({"role": role, "content": text});
    let system = settings.system.iter().map(|text| message("system", text));
    let prefix = params.prefix.iter().map(|text| message("assistant", text));
    system.chain([message("user", prompt)]).chain(prefix).collect()
}

/// The completions in an answer to a request for `n`, at most so many, in the order of their `index`. Errs with the class of
/// the failure and what was found; fewer than `n` are no error here.
pub(crate) fn completions(
    api: Api,
    params: &Params,
    n: usize,
    text: &str,
) -> Result<Vec<Completion>, (Class, String)> {
    let malformed = |what: String| (Class::Malformed, what);
    let answer: Json =
        serde_json::from_str(text).map_err(|error| malformed(format!("the answer is not JSON ({error})")))?;
    let choices = answer.get("choices").and_then(Json::as_array);
    let choices = choices.ok_or_else(|| malformed("the answer has no list `choices`".to_owned()))?;
    if choices.is_empty() {
        return Err((Class::WrongCount, format!("no completion, {n} were asked for")));
    }
    let mut choices: Vec<&Json> = choices.iter().collect();
    choices.sort_by_key(|choice| choice.get("index").and_then(Json::as_u64));
    let usage = |key: &str| answer.pointer(&format!("/usage/{key}")).and_then(Json::as_u64);
    // What the server counts is the sum over all of its completions.
    let drawn = usage("completion_tokens").filter(|_| choices.len() == 1);
    let read = |choice: &&Json| {
        let (text, tokens) = match api {
            Api::Completions => (choice.get("text"), choice.pointer("/logprobs/token_logprobs")),
            Api::Chat => (choice.pointer("/message/content"), choice.pointer("/logprobs/content")),
        };
        let finish_reason = choice.get("finish_reason").and_then(Json::as_str).map(str::to_owned);
        let text = match text {
            Some(Json::String(text)) => text.as_str(),
            // A message without content, such as one that a filter stopped.
            Some(Json::Null) if finish_reason.is_some() => "",
            _ => return Err(malformed("a completion has no text".to_owned())),
        };
        let logprobs = tokens.and_then(Json::as_array).and_then(|tokens| logprobs(tokens));
        Ok(Completion {
            text: format!("{}{text}", params.prefix.as_deref().unwrap_or_default()),
            finish_reason,
            prompt_tokens: usage("prompt_tokens"),
            tokens: drawn.or(logprobs.as_ref().map(|logprobs| logprobs.len() as u64)),
            logprobs: logprobs.filter(|_| params.prefix.is_none()),
        })
    };
    choices.iter().take(n).map(read).collect()
}

/// Log-probabilities as both interfaces give them: numbers, or objects that hold one. `None` where one is missing.
fn logprobs(tokens: &[Json]) -> Option<Vec<f32>> {
    let number = |token: &Json| token.as_f64().or_else(|| token.get("logprob")?.as_f64());
    tokens.iter().map(|token| Some(number(token)? as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params {
            temperature: 0.5,
            top_p: 0.75,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_tokens: 16,
            stop: Vec::new(),
            prefix: None,
        }
    }

    fn draw() -> Draw {
        Draw { prompt: "1+1=".into(), seed: 7 }
    }

    #[test]
    fn a_completion_is_asked_with_everything_said() {
        let settings = Settings { logprobs: true, ..Settings::new("http://h/v1", "m") };
        let params = Params { stop: vec!["\n".into()], ..params() };
        let expected = json!({
            "model": "m", "prompt": "1+1=", "logprobs": 1, "max_tokens": 16, "temperature": 0.5, "top_p": 0.75, "seed": 7,
            "n": 4, "stop": ["\n"], "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0
        });
        assert_eq!(body(&settings, &params, &draw(), 4), expected);
    }

    #[test]
    fn a_message_is_asked_in_the_dialect_of_the_server() {
        let extra = json!({"chat_template_kwargs": {"enable_thinking": false}, "top_p": 1.0});
        let settings = Settings {
            api: Api::Chat,
            dialect: Dialect::OpenAi,
            system: Some("Be brief.".into()),
            extra_body: extra.as_object().cloned().unwrap(),
            ..Settings::new("http://h/v1", "m")
        };
        let params = Params { prefix: Some("It is".into()), ..params() };
        let expected = json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "1+1="},
                {"role": "assistant", "content": "It is"}
            ],
            "continue_final_message": true, "add_generation_prompt": false,
            "max_completion_tokens": 16, "temperature": 0.5, "top_p": 1.0, "seed": 7,
            "chat_template_kwargs": {"enable_thinking": false}
        });
        assert_eq!(body(&settings, &params, &draw(), 1), expected);
        let llama = Settings { dialect: Dialect::LlamaCpp, ..settings };
        let said = body(&llama, &Params { top_k: 5, repetition_penalty: 1.5, ..params }, &draw(), 1);
        assert_eq!(
            (&said["top_k"], &said["repeat_penalty"], &said["max_tokens"]),
            (&json!(5), &json!(1.5), &json!(16))
        );
    }

    #[test]
    fn what_a_dialect_cannot_say_is_named() {
        assert_eq!(unsaid(Dialect::OpenAi, Api::Chat, &params()), None);
        assert_eq!(unsaid(Dialect::OpenAi, Api::Chat, &Params { min_p: 0.1, ..params() }), Some("min_p"));
        let begun = Params { prefix: Some("So".into()), ..params() };
        let of_prefix = [Api::Chat, Api::Completions].map(|api| unsaid(Dialect::OpenAi, api, &begun));
        assert_eq!(of_prefix, [Some("prefix"), None]);
        assert_eq!(unsaid(Dialect::LlamaCpp, Api::Chat, &Params { min_p: 0.1, ..params() }), None);
    }

    #[test]
    fn completions_are_read_in_their_order() {
        let answer = json!({
            "choices": [
                {"index": 1, "text": "b", "finish_reason": "length", "logprobs": {"token_logprobs": [-0.5, -1.0]}},
                {"index": 0, "text": "a", "finish_reason": "stop", "logprobs": {"token_logprobs": [-0.25]}},
                {"index": 2, "text": "c", "finish_reason": "stop", "logprobs": null}
            ],
            "usage": {"prompt_tokens": 3, "completion_tokens": 9}
        });
        let found = completions(Api::Completions, &params(), 2, &answer.to_string()).unwrap();
        let completion = |text: &str, reason: &str, logprobs: &[f32]| Completion {
            text: text.into(),
            finish_reason: Some(reason.into()),
            prompt_tokens: Some(3),
            tokens: Some(logprobs.len() as u64),
            logprobs: Some(logprobs.to_vec()),
        };
        assert_eq!(found, [completion("a", "stop", &[-0.25]), completion("b", "length", &[-0.5, -1.0])]);
    }

    #[test]
    fn a_message_is_read_with_its_prefix() {
        let answer = json!({
            "choices": [{"index": 0, "message": {"role": "assistant", "content": " 2."}, "finish_reason": "stop",
                         "logprobs": {"content": [{"token": "2", "logprob": -0.5}, {"token": ".", "logprob": -0.125}]}}],
            "usage": {"prompt_tokens": 8, "completion_tokens": 3}
        });
        let read =
            |params: &Params| completions(Api::Chat, params, 1, &answer.to_string()).unwrap().remove(0);
        assert_eq!(read(&params()).logprobs, Some(vec![-0.5, -0.125]));
        let begun = read(&Params { prefix: Some("It is".into()), ..params() });
        assert_eq!((begun.text.as_str(), begun.tokens, begun.logprobs), ("It is 2.", Some(3), None));
    }

    #[test]
    fn what_is_not_an_answer_is_told_apart() {
        let class = |text: &str| completions(Api::Completions, &params(), 1, text).unwrap_err().0;
        for text in ["", "<html>", "{\"choices\": [", "{}", "[]", r#"{"choices": 3}"#, r#"{"choices": [{}]}"#]
        {
            assert_eq!(class(text), Class::Malformed, "{text}");
        }
        assert_eq!(class(r#"{"choices": []}"#), Class::WrongCount);
        assert_eq!(class(r#"{"choices": [{"text": null}]}"#), Class::Malformed);
        let filtered = r#"{"choices": [{"message": {"content": null}, "finish_reason": "content_filter"}]}"#;
        assert_eq!(completions(Api::Chat, &params(), 1, filtered).unwrap()[0].text, "");
    }
}
