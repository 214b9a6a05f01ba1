//! How models with a chat template are asked: what a step asks becomes a user's message, and what it learns an assistant's turn.

use flow_data::IdHasher;
use flow_model::{Chat, ChatTemplate};
use flow_sampler::Precision;
use flow_spec::{Model, Weights};
use serde_json::{Map, Value as Json, json};

use crate::StepContext;

/// How the model of a step is asked: as the declared model that it is or comes from says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// Whether prompts are messages; else they are continued as they are.
    chat: bool,
    system: Option<String>,
    weights: Precision,
}

impl Manner {
    /// That of the model that `step` uses; of one begun from random weights, the plain one.
    pub(crate) fn of(step: &StepContext<'_>) -> Self {
        let origin = step.step.models.first().and_then(|used| step.plan.origin(&used.model));
        origin.and_then(|name| step.plan.models.get(name)).map(Self::declared).unwrap_or_default()
    }

    fn declared(model: &Model) -> Self {
        let weights = precision(model.weights());
        Self { chat: model.chats(), system: model.system().map(str::to_owned), weights }
    }

    /// Whether prompts are messages.
    pub(crate) fn is_chat(&self) -> bool {
        self.chat
    }

    /// What its weights are drawn from as.
    pub(crate) fn weights(&self) -> Precision {
        self.weights
    }

    /// Adds what its weights are drawn from as to the key of an answer that was drawn or scored. f32 adds nothing.
    pub(crate) fn part_of_weights(&self, key: &mut IdHasher) {
        if self.weights != Precision::F32 {
            key.part(b"\xffweights").part(format!("{:?}", self.weights).as_bytes());
        }
    }

    /// Adds how prompts are asked to the key of an answer. The plain way adds nothing.
    pub(crate) fn part(&self, key: &mut IdHasher) {
        if self.chat {
            // No stop text, which are parts of keys too, has a byte that is not UTF-8.
            key.part(b"\xffchat").part(format!("{:?}", self.system).as_bytes());
        }
    }

    /// The conversations with a model of this template; none where prompts are continued as they are.
    pub(crate) fn conversation(
        &self,
        template: Option<&ChatTemplate>,
    ) -> Result<Option<Conversation>, String> {
        if !self.chat {
            return Ok(None);
        }
        let template = template.ok_or("the model has no chat template")?;
        let chat = template.compile().map_err(|error| crate::text::chain(&error))?;
        Ok(Some(Conversation { chat, system: self.system.clone() }))
    }
}

/// Conversations in a model's chat template.
pub(crate) struct Conversation {
    chat: Chat,
    system: Option<String>,
}

impl Conversation {
    /// The text of a user's message, up to where the answer begins. Errs with the template's reason.
    pub(crate) fn question(&self, prompt: &str) -> Result<String, String> {
        self.rendered([("user", prompt)])
    }

    /// The text of these turns, roles and contents, up to where the next answer begins. A system message of their own stands in the
    /// place of the model's. Errs with the template's reason.
    pub(crate) fn rendered<'a>(
        &self,
        turns: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<String, String> {
        let message = |(role, content): (&str, &str)| json!({"role": role, "content": content});
        let mut messages: Vec<Json> = turns.into_iter().map(message).collect();
        let system =
            self.system.as_deref().filter(|_| messages.first().is_none_or(|first| first["role"] != "system"));
        messages.splice(0..0, system.map(|system| message(("system", system))));
        self.chat.render(&messages.into(), true, &Map::new()).map_err(|error| crate::text::chain(&error))
    }
}

/// The sampler's word for what weights are kept as.
pub fn precision(weights: Weights) -> Precision {
    match weights {
        Weights::F32 => Precision::F32,
        Weights::Bf16 => Precision::Bf16,
        Weights::Int8 => Precision::Int8,
    }
}

/// Why the checkpoint `model`, whose chat template this is, cannot be asked as declared; `None` where it can.
pub fn unasked(model: &Model, template: Option<&ChatTemplate>) -> Option<String> {
    let conversation = Manner::declared(model).conversation(template);
    conversation.and_then(|chat| chat.map(|chat| chat.question("?")).transpose()).err()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use super::*;

    /// ChatML, as SmolLM2 and Qwen2.5 have it.
    pub(crate) fn conversation(system: Option<&str>) -> Conversation {
        let source = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
        let template = ChatTemplate::new(source, Map::new(), PathBuf::from("memory"));
        Conversation { chat: template.compile().expect("is Jinja"), system: system.map(str::to_owned) }
    }

    #[test]
    fn a_prompt_becomes_a_message_behind_the_systems() {
        let question = |system| conversation(system).question("1+1=");
        let user = "<|im_start|>user\n1+1=<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(question(None).as_deref(), Ok(user));
        assert_eq!(
            question(Some("Be brief.")),
            Ok(format!("<|im_start|>system\nBe brief.<|im_end|>\n{user}"))
        );
    }

    #[test]
    fn a_conversation_may_have_a_system_message_of_its_own() {
        let turns = [("system", "Be kind."), ("user", "2+2=")];
        let kind = conversation(Some("Be brief.")).rendered(turns);
        assert_eq!(kind, conversation(None).rendered(turns));
        assert!(kind.is_ok_and(|text| {
            text.starts_with("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n2+2=")
        }));
    }
}
