//! What can be written in YAML: one file each, and one line of registration here.
//!
//! A new operator is a file with a header (what it does, ports, rejects, cost, an example), a config, and the
//! weakest kind of stage that can do it; then its line in the catalog below.

mod alike;
mod assemble;
pub mod cells;
pub mod codes;
mod conversation;
mod declared;
mod defaults;
mod drawer;
mod drawing;
mod draws;
mod env;
mod fields;
mod fit;
mod grading;
mod input;
mod known;
mod metric;
mod models;
mod operator;
mod random;
mod records;
mod sampling;
mod served;
mod statistics;
mod template;
#[cfg(test)]
mod testing;
mod text;

pub use assemble::{assemble, feeds};
pub use conversation::{precision, unasked};
pub use env::{BuildError, Env, Remarks};
pub use fit::misfits;
pub use flow_trainer::unstorable;
pub use models::{CheckpointError, Models};
pub use operator::{Definition, Op, Operator, StepContext};
pub use served::Server;
pub use text::chain;
pub use train::course::Pace;
pub use train::{adapters, begun, destination, pace, upcycling};
pub use write::{Publication, Settled, publication};

macro_rules! catalog {
    ($($file:ident::$operator:ident),* $(,)?) => {
        $(mod $file;)*

        /// Every operator, in the order rows meet them.
        pub static CATALOG: &[&dyn Operator] = &[$(&Op::<$file::$operator>::NEW),*];
    };
}

catalog! {
    read::Read,
    generate::Generate,
    replay::Replay,
    render::Render,
    filter::Filter,
    corrupt::Corrupt,
    sample::Sample,
    extract::Extract,
    verify::Verify,
    critique::Critique,
    refine::Refine,
    collect::Collect,
    aggregate::Aggregate,
    vote::Vote,
    dedup::Dedup,
    decontaminate::Decontaminate,
    balance::Balance,
    write::Write,
    branch::Branch,
    merge::Merge,
    train::Train,
    command::Command,
    evaluate::Evaluate,
    measure::Measure,
    perplexity::Perplexity,
    compare::Compare,
    gate::Gate,
}

/// A catalog as planning sees it: [`CATALOG`], or one with operators of your own beside it.
pub fn signatures<'a>(catalog: &[&'a dyn Operator]) -> Vec<&'a dyn flow_plan::Signature> {
    catalog.iter().map(|operator| *operator as &dyn flow_plan::Signature).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_catalog_keeps_its_promises() {
        let names: BTreeSet<_> = CATALOG.iter().map(|operator| operator.name()).collect();
        assert_eq!(names.len(), CATALOG.len(), "names are unique");
        for operator in CATALOG {
            let (name, header) = (operator.name(), operator.header());
            assert!(header.starts_with(&format!("//! `{name}` ")), "{name}: the header opens with the name");
            for part in ["//! Ports: ", "//! Rejects: ", "//! Cost: ", "//! ```yaml\n"] {
                assert!(header.contains(part), "{name}: the header has `{part}`");
            }
            let problems = flow_plan::audit(&[*operator as &dyn flow_plan::Signature]);
            assert!(problems.is_empty(), "{name}: {problems:?}");
        }
    }
}
