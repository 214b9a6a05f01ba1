//! What a catalog must keep to, for its own test to ask.

use flow_spec::unsupported;
use serde_json::Value as Json;

use crate::Signature;

/// The faults of a catalog: names that are double or not snake_case, headers without Ports, Rejects, Cost or an
/// example, configs that are no closed map, keys without a description, schemas that checking does not understand.
pub fn audit(catalog: &[&dyn Signature]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, signature) in catalog.iter().enumerate() {
        let name = signature.name();
        let mut fault = |words: String| faults.push(format!("`{name}`: {words}"));
        if catalog[..at].iter().any(|other| other.name() == name) {
            fault("the name is taken".to_owned());
        }
        if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
            fault("the name is not snake_case".to_owned());
        }
        let missing = ["Ports:", "Rejects:", "Cost:", "```yaml"];
        let missing = missing.iter().filter(|part| !signature.header().contains(**part));
        missing.for_each(|part| fault(format!("the header has no `{part}`")));
        let schema = signature.config_schema();
        unsupported(&schema)
            .iter()
            .for_each(|part| fault(format!("the schema uses `{part}`, which is not checked")));
        if schema["type"] != "object" || schema["additionalProperties"] != Json::Bool(false) {
            fault("the config is not a struct that denies unknown fields".to_owned());
        }
        let keys = schema["properties"].as_object();
        for (key, rule) in keys.into_iter().flatten() {
            if rule.get("description").is_none() {
                fault(format!("the key `{key}` has no doc comment"));
            }
            if ["op", "from"].contains(&key.as_str()) {
                fault(format!("the key `{key}` belongs to every step"));
            }
        }
    }
    faults
}
