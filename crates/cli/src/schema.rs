//! `flow schema`: the JSON Schema of pipelines, for editors.

use crate::halt::Halt;
use crate::{Catalog, Exit, term};

/// Prints the schema.
pub(crate) fn schema(catalog: Catalog<'_>) -> Result<Exit, Halt> {
    term::json(&flow_plan::pipeline_schema(&flow_operators::signatures(catalog)))?;
    Ok(Exit::Done)
}
