//! Models behind servers: what is asked of them, and what becomes of what they say.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use flow_data::{Id, Value};
use flow_dataflow::{Answer, Failure};
use flow_server::{Batch, Client, Completion, Draw, Error, Fault, Params, Secret, Settings};
use flow_spec::{Api, Dialect, OnFailure, Served};

use crate::Remarks;

/// A declared model behind servers.
pub struct Server {
    settings: Settings,
    on_failure: OnFailure,
    /// The variable that should hold the key and does not.
    missing_key: Option<String>,
    client: OnceLock<Result<Client, Arc<io::Error>>>,
    remarks: Remarks,
}

impl Server {
    /// The servers of `served`; `variable` finds variables of the environment, and `remarks` take that none answers. Asks nothing.
    pub fn new(served: &Served, variable: impl Fn(&str) -> Option<String>, remarks: Remarks) -> Self {
        let key = served.api_key_env.as_ref().and_then(|name| variable(name));
        Self {
            missing_key: served.api_key_env.clone().filter(|_| key.is_none()),
            settings: settings(served, key.as_deref().map(Secret::new)),
            on_failure: served.on_failure,
            client: OnceLock::new(),
            remarks,
        }
    }

    /// How it is asked, or why it cannot be.
    ///
    /// # Errors
    /// The environment has no key.
    pub fn settings(&self) -> Result<&Settings, String> {
        match &self.missing_key {
            None => Ok(&self.settings),
            Some(name) => Err(format!(
                "the variable `{name}`, which is to hold the key of the server, is not set in the environment"
            )),
        }
    }

    /// Asks for `draws` and returns; `answer` takes what becomes of each, at its index.
    pub(crate) fn submit(
        self: &Arc<Self>,
        draws: Vec<Draw>,
        params: &flow_sampler::Params,
        answer: impl Fn(usize, Answer) + Send + Sync + 'static,
        cancelled: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        let asked = self.client().and_then(|client| Ok((client, sent(params)?)));
        match asked {
            Ok((client, params)) => {
                let server = self.clone();
                let answer = move |at: usize, outcome: Result<Completion, Error>| {
                    answer(at, outcome.map(cells).map_err(|error| failure(&error, server.on_failure)));
                };
                let (answer, cancelled) = (Box::new(answer), Box::new(cancelled));
                let server = self.clone();
                let unanswered = Box::new(move |fault: &Fault| server.remark(fault));
                client.submit(Batch { draws, params, answer, cancelled, unanswered });
            }
            Err(detail) => (0..draws.len()).for_each(|at| answer(at, Err(ends_the_run(detail.clone())))),
        }
    }

    /// Tells that no server answers, which may pass.
    fn remark(&self, fault: &Fault) {
        let Settings { model, patience, .. } = &self.settings;
        let patience = patience.as_secs();
        self.remarks.add(format!(
            "`{model}` does not answer ({fault}); asked again for up to {patience} s, see `give_up_after`"
        ));
    }

    fn client(&self) -> Result<&Client, String> {
        let settings = self.settings()?;
        let client = self.client.get_or_init(|| Client::new(settings.clone()).map_err(Arc::new));
        client.as_ref().map_err(|error| format!("cannot start a thread that asks: {error}"))
    }
}

/// The identity of a served model, part by part: how it is asked, its weights, and nothing for the tokenizer, which is the
/// server's.
pub(crate) fn parts(served: &Served) -> [Id; 3] {
    let weights = Id::of("served weights", served.weights().map(str::as_bytes));
    [Id::of("served manner", [served.manner().as_bytes()]), weights, Id::default()]
}

/// The seed of the `index`-th draw of a prompt whose first stream is `stream`: another for each draw of the prompt, below
/// 2^31, which all servers take.
pub(crate) fn seed(stream: &Id, index: u32) -> u32 {
    let [a, b, c, d, ..] = stream.0;
    u32::from_le_bytes([a, b, c, d]).wrapping_add(index) & (u32::MAX >> 1)
}

fn settings(served: &Served, key: Option<Secret>) -> Settings {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Settings {
        endpoints: served.server.all().to_vec(),
        api: match served.api {
            Api::Completions => flow_server::Api::Completions,
            Api::Chat => flow_server::Api::Chat,
        },
        dialect: match served.dialect {
            Dialect::Vllm => flow_server::Dialect::Vllm,
            Dialect::LlamaCpp => flow_server::Dialect::LlamaCpp,
            Dialect::Openai => flow_server::Dialect::OpenAi,
        },
        key,
        system: served.system.clone(),
        logprobs: served.logprobs,
        extra_body: served.extra_body.clone(),
        timeout: seconds(served.timeout),
        max_concurrency: served.max_concurrency as usize,
        max_attempts: served.max_attempts,
        patience: seconds(served.give_up_after),
        draws_per_request: served.draws_per_request as usize,
        ..Settings::new("", &served.model)
    }
}

/// The parameters as servers have them; errs where they have none.
fn sent(params: &flow_sampler::Params) -> Result<Params, String> {
    let flow_sampler::Params {
        temperature,
        top_p,
        top_k,
        min_p,
        max_tokens,
        stop,
        repetition_penalty,
        prefix,
        routing,
    } = params.clone();
    let prefix = match prefix {
        None => None,
        Some(flow_sampler::Prompt::Text(text) | flow_sampler::Prompt::Rendered(text)) => Some(text),
        Some(flow_sampler::Prompt::Tokens(_)) => return Err("a server takes no prefix of token ids".into()),
    };
    if routing.is_some() {
        return Err("a server lets nobody choose the experts that tokens visit".into());
    }
    Ok(Params { temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, stop, prefix })
}

/// The cells of a draw as the memo keeps them: completion, finish_reason, n_prompt_tokens, n_tokens, logprobs.
fn cells(completion: Completion) -> Vec<Value> {
    let count = |n: Option<u64>| Value::from(n.and_then(|n| i64::try_from(n).ok()));
    vec![
        completion.text.into(),
        completion.finish_reason.into(),
        count(completion.prompt_tokens),
        count(completion.tokens),
        completion.logprobs.map_or(Value::Null, |logprobs| Value::Floats(logprobs.into())),
    ]
}

/// What becomes of a draw that has no completion.
fn failure(error: &Error, on_failure: OnFailure) -> Failure {
    let reason = match error {
        Error::Refused(fault) if !fault.class.concerns_all() => "server_refused",
        Error::GaveUp { .. } => "server_failed",
        Error::Refused(_) | Error::Outage { .. } | Error::Unsaid(_) => {
            return ends_the_run(error.to_string());
        }
    };
    Failure { reason, detail: error.to_string(), fatal: on_failure == OnFailure::Stop }
}

/// A failure that every other request would share.
fn ends_the_run(detail: String) -> Failure {
    Failure { reason: "server", detail, fatal: true }
}

#[cfg(test)]
mod tests {
    use flow_server::{Class, Fault};

    use super::*;

    #[test]
    fn one_draws_failure_is_a_rejected_row_and_everybodys_ends_the_run() {
        let fault = |class| Fault { class, endpoint: "h".into(), detail: "d".into(), retry_after: None };
        let gave_up = Error::GaveUp { attempts: 5, fault: fault(Class::Broken) };
        let outage = Error::Outage { silent_s: 300, fault: fault(Class::Unreachable) };
        let told = |error: &Error, on_failure| {
            let failure = failure(error, on_failure);
            (failure.reason, failure.fatal)
        };
        let cases = [
            (Error::Refused(fault(Class::Refused)), "server_refused", false),
            (gave_up, "server_failed", false),
            (outage, "server", true),
            (Error::Refused(fault(Class::Denied)), "server", true),
            (Error::Refused(fault(Class::NotFound)), "server", true),
            (Error::Unsaid("top_k"), "server", true),
        ];
        for (error, reason, fatal) in cases {
            assert_eq!(told(&error, OnFailure::Reject), (reason, fatal), "{error}");
            assert_eq!(told(&error, OnFailure::Stop), (reason, true), "{error}");
        }
    }

    #[test]
    fn the_draws_of_a_prompt_have_different_seeds() {
        let stream = Id([255; 16]);
        let seeds: Vec<u32> = (0..4).map(|index| seed(&stream, index)).collect();
        assert_eq!(seeds, [u32::MAX >> 1, 0, 1, 2]);
    }

    #[test]
    fn a_key_that_is_not_there_is_named_when_it_is_needed() {
        let json = serde_json::json!({"server": "http://h/v1", "model": "m", "api_key_env": "TEACHER_KEY"});
        let served: Served = serde_json::from_value(json).expect("is one");
        let message =
            Server::new(&served, |_| None, Remarks::default()).settings().expect_err("is not set").to_owned();
        assert!(message.contains("`TEACHER_KEY`"), "{message}");
        assert!(Server::new(&served, |name| Some(format!("{name}!")), Remarks::default()).settings().is_ok());
    }
}
