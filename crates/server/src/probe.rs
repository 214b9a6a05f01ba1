//! Whether endpoints can be used: each is asked for its models and for one token.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::http::Http;
use crate::{Class, Completion, Draw, Fault, Params, Settings, wire};

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one endpoint says.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The endpoint.
    pub endpoint: String,
    /// The names of the models that it lists.
    pub models: Result<Vec<String>, Fault>,
    /// One token drawn from the model with the settings of a run, and how long that took.
    pub drawn: Result<(Completion, Duration), Fault>,
}

impl Probe {
    /// Asks every endpoint of `settings`, once each.
    pub fn all(settings: &Settings) -> Vec<Self> {
        let http = Http::new(settings, PATIENCE.min(settings.timeout));
        settings.endpoints.iter().map(|endpoint| Self::of(settings, &http, endpoint)).collect()
    }

    fn of(settings: &Settings, http: &Http, endpoint: &str) -> Self {
        let endpoint = endpoint.trim_end_matches('/');
        Self {
            endpoint: endpoint.to_owned(),
            models: http.get(settings, endpoint, "/models").map(|text| names(&text)),
            drawn: draw(settings, http, endpoint),
        }
    }

    /// Whether `model` is among those listed; `None` where the endpoint lists none, as some gateways do.
    pub fn lists(&self, model: &str) -> Option<bool> {
        match &self.models {
            Ok(names) => Some(names.iter().any(|name| name == model)),
            Err(fault) if fault.class == Class::NotFound => None,
            Err(_) => Some(false),
        }
    }

    /// Whether draws of `model` can be expected to work, and to be of this model: some servers take any name.
    pub fn is_well(&self, model: &str) -> bool {
        self.drawn.is_ok() && self.lists(model) != Some(false)
    }
}

/// The names in a list of models; none where it is not one.
fn names(text: &str) -> Vec<String> {
    let json: Json = serde_json::from_str(text).unwrap_or_default();
    let models = json.get("data").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    models.iter().filter_map(|model| Some(model.get("id")?.as_str()?.to_owned())).collect()
}

fn draw(settings: &Settings, http: &Http, endpoint: &str) -> Result<(Completion, Duration), Fault> {
    let params = Params {
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        max_tokens: 1,
        stop: Vec::new(),
        prefix: None,
    };
    let started = Instant::now();
    let body = wire::body(settings, &params, &Draw { prompt: "1+1=".into(), seed: 1 }, 1);
    let text = http.post(settings, endpoint, wire::path(settings.api), &body)?;
    let took = started.elapsed();
    let completions = wire::completions(settings.api, &params, 1, &text);
    let fault = |(class, detail): (_, String)| Fault {
        class,
        endpoint: endpoint.to_owned(),
        detail: settings.redact(&detail),
        retry_after: None,
    };
    Ok((completions.map_err(fault)?.remove(0), took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_by_name() {
        assert_eq!(names(r#"{"object": "list", "data": [{"id": "a"}, {"id": "b"}, {}]}"#), ["a", "b"]);
        assert!(names("<html>").is_empty());
    }
}
