//! The error of a name from a pipeline that nothing here answers to.

/// A name that is not one of the known ones, as written in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} \"{given}\", expected one of: {}", known.join(", "))]
pub struct UnknownName {
    /// What was being named, such as `extract`.
    pub what: &'static str,
    /// The name as given.
    pub given: String,
    /// Every name that would have been understood.
    pub known: &'static [&'static str],
}

/// The value that stands beside `given` in `table`; `what` and `known` go into the error.
pub(crate) fn parse_name<T: Clone>(
    what: &'static str,
    known: &'static [&'static str],
    values: &[T],
    given: &str,
) -> Result<T, UnknownName> {
    let position = known.iter().position(|name| *name == given);
    position.and_then(|i| values.get(i).cloned()).ok_or_else(|| UnknownName {
        what,
        given: given.to_owned(),
        known,
    })
}
