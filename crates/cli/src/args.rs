//! The command line as types; each verb's own arguments stand in its file.

use clap::{Args, Parser, Subcommand, ValueEnum};
use flow_spec::Options;

/// Language models improve themselves on data that can be checked: YAML in, Parquet and checkpoints out.
#[derive(Debug, Parser)]
#[command(name = "flow", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 `plan --detailed-exitcode`: work to do, 4 stopped by the budget, 75 store in use, \
                        78 invalid pipeline, 130 interrupted."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Find every mistake of a pipeline, without running anything.
    Check(crate::check::Args),
    /// Examine a model: what it is, what it takes, and whether it computes what a reference says.
    Doctor(crate::doctor::Args),
    /// Show what the store holds, and for which pipelines.
    Du(crate::du::Args),
    /// Run a pipeline; what did not change is not computed again.
    Exec(crate::exec::ExecArgs),
    /// Explain the code of a mistake.
    Explain(crate::explain::Args),
    /// Remove from the store what no pipeline uses any more.
    Gc(crate::gc::Args),
    /// Draw the steps of a pipeline.
    Graph(crate::graph::Args),
    /// List the operators, or describe one.
    Ops(crate::ops::Args),
    /// Tell what a run would do and why, before it is paid for.
    Plan(crate::plan::Args),
    /// Show what a run came to: charts, tables and examples in one HTML file.
    Report(crate::report::Args),
    /// Print the JSON Schema of pipelines, for editors.
    Schema,
    /// Show rows of a step in full, as far as they are known without a run.
    Show(crate::show::Args),
    /// Run the pipeline's own tests, without any model.
    Test(crate::test::Args),
    /// Keep a pipeline up: what is edited is computed again, and published, as soon as it is saved.
    Watch(crate::exec::Args),
    /// Tell why a step would run, or ran last, or where a row comes from.
    Why(crate::why::Args),
    /// Audit the answer checker on a file of answers, with or without labels.
    Verify(crate::verify::Args),
}

impl Verb {
    /// Whether stdout is to carry JSON.
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Verb::Check(args) => args.format == Format::Json,
            Verb::Doctor(args) => args.format == Format::Json,
            Verb::Du(args) => args.format == Format::Json,
            Verb::Exec(args) => args.run.format == Format::Json,
            Verb::Gc(args) => args.format == Format::Json,
            Verb::Plan(args) => args.format == Format::Json,
            Verb::Show(args) => args.format == Format::Json,
            Verb::Test(args) => args.format == Format::Json,
            Verb::Watch(args) => args.format == Format::Json,
            Verb::Why(args) => args.format == Format::Json,
            Verb::Verify(args) => args.format == crate::verify::VerdictFormat::Json,
            Verb::Explain(_) | Verb::Graph(_) | Verb::Ops(_) | Verb::Report(_) | Verb::Schema => false,
        }
    }
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Text,
    /// One JSON value on stdout.
    Json,
}

/// Changes to the pipeline, the same for every verb that reads one.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Overlay {
    /// Apply the profile NAME of the pipeline.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Replace one value, such as `steps.attempts.n=4`. May be given several times.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl Overlay {
    /// The same with the profile `name`.
    pub(crate) fn with_profile(&self, name: &str) -> Self {
        Self { profile: Some(name.to_owned()), ..self.clone() }
    }

    /// Whether the text is meant as it stands, without a profile or a value of the command line.
    pub(crate) fn is_empty(&self) -> bool {
        self.profile.is_none() && self.set.is_empty()
    }

    /// The changes together with this process's environment. Variables that are not UTF-8 cannot be named in YAML.
    pub(crate) fn options(&self) -> Options {
        let pairs = std::env::vars_os();
        let environment =
            pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Options { profile: self.profile.clone(), set: self.set.clone(), environment: environment.collect() }
    }
}
