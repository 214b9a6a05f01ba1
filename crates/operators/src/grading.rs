//! The keys that say how completions are graded, for every operator that has them.

use flow_plan::Problem;
use flow_verify::Grader;

/// The grader of a preset with single keys set; all that is wrong with them. `keys` come in the order of [`Grader::KEYS`].
pub(crate) fn grader<'a>(
    preset: Option<&str>,
    keys: impl Iterator<Item = (&'static str, &'a str)>,
) -> Result<Grader, Vec<Problem>> {
    let mut problems = Vec::new();
    let preset = preset.map_or(Ok(Grader::default()), Grader::preset);
    let mut grader = preset.unwrap_or_else(|error| {
        problems.push(Problem::new("preset", error.to_string()));
        Grader::default()
    });
    for (key, value) in keys {
        problems.extend(grader.set(key, value).err().map(|error| Problem::new(key, error.to_string())));
    }
    if problems.is_empty() { Ok(grader) } else { Err(problems) }
}
