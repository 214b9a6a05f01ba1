//! `write` publishes rows as Parquet parts.
//!
//! Rows are assigned to parts by the hash range of their id, round by round, and sorted by it: a change touches only
//! the parts it falls in, and bytes do not depend on arrival. The parts of one run become visible together, under
//! `PATH/current`, when a round has settled; `_manifest.json` there lists them with digests, columns and lineage.
//!
//! Every row carries its provenance (record `provenance`) before its own columns. With `form: messages` a column
//! `messages` follows, the chat form that `datasets` and TRL train from.
//!
//! Ports: `out`, one row per part (record `part`): what `train` reads.
//!
//! Rejects: none.
//!
//! Cost: one zstd Parquet encoding of each part that changed.
//!
//! ```yaml
//! shards: {op: write, from: chosen, path: out/shards, parts: 4}
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Cell, Column, Columns, Heap, Id, Item, Row, Texts, Type, Value, kind};
use flow_dataflow::{Body, KeyedOp, Out, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_spec::PATH;
use flow_store::{Cells, Layout, Part, Parts, encode_part, parallel};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BuildError, Definition, Env, StepContext};

/// Options of `write`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Folder to publish in; by default `OUT/STEP`.
    #[schemars(regex(pattern = PATH))]
    path: Option<String>,
    /// Parts per round, a power of two from 1 to 65,536. An edit writes the parts anew that its rows fall in: a part of about
    /// 4,000 rows takes some 20 ms. Changing the number rewrites all parts.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 65536))]
    parts: u32,
    /// Whether to add a chat column.
    #[serde(default)]
    form: Form,
    /// Column with the user's turn, for `form: messages`.
    #[serde(default = "crate::defaults::prompt")]
    prompt: String,
    /// Column with the assistant's turn, for `form: messages`.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
}

/// The form of a written row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// The row's own columns: `prompt`, `completion` and what else it has.
    #[default]
    Rows,
    /// The same with a column `messages`: a list of {role, content}.
    Messages,
}

/// Whether a provenance column says what every row has, whatever its own columns are.
fn of_every_row(name: &str) -> bool {
    ["row_id", "step", "round"].contains(&name)
}

fn four() -> u32 {
    4
}

/// The operator.
pub(crate) struct Write;

impl Definition for Write {
    const NAME: &'static str = "write";
    const SOURCE: &'static str = include_str!("write.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        if !config.parts.is_power_of_two() {
            let help = format!("write {}", config.parts.next_power_of_two());
            problems.push(
                Problem::new("parts", format!("expected a power of two, found {}", config.parts))
                    .with_help(help),
            );
        }
        if config.form == Form::Messages {
            for (key, name) in [("prompt", &config.prompt), ("completion", &config.completion)] {
                problems.extend(inputs[0].column_of(key, name, &[Type::Text]).err());
            }
        }
        for column in kind("provenance").columns().visible().map(|(_, column)| column) {
            if inputs[0].columns.get(&column.name).is_some() && !of_every_row(&column.name) {
                problems.extend(inputs[0].column_of("from", &column.name, &[column.kind]).err());
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(kind("part").columns().clone()).ending())
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let parts = (!env.dry).then(|| Parts::new(&folder(&config, step)));
        let written = Written::new(&config, step);
        let writer = Writer { written, parts, n_parts: config.parts, threads: env.threads };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(writer))]))
    }
}

/// What a `write` step publishes.
pub struct Publication {
    /// Its folder.
    pub folder: PathBuf,
    /// The columns of its files.
    pub columns: Columns,
    /// The column that is a chat.
    pub chat: Option<&'static str>,
    /// Whether each round has a folder of its own.
    pub per_round: bool,
}

impl Publication {
    /// The part that a row of the record `part` names.
    pub fn part(&self, item: &Item) -> Part {
        let count = |at| u64::try_from(item.int(at).unwrap_or_default()).unwrap_or_default();
        let digest = item.row.id;
        let round = if self.per_round { format!("round-{:03}/", item.row.round) } else { String::new() };
        let path = format!("{round}part-{:02}.{digest}.parquet", count(1));
        Part { path, digest, n_rows: count(2), n_bytes: count(3) }
    }

    /// The parts that `rows` name, sorted. What has `settled` before is not read again; afterwards it is what `rows` name.
    pub fn parts(
        &self,
        heap: &Heap,
        rows: impl IntoIterator<Item = Row>,
        settled: &mut Settled,
    ) -> Vec<Part> {
        let rows: BTreeSet<Row> = rows.into_iter().collect();
        let gone: BTreeSet<Row> = settled.rows.difference(&rows).copied().collect();
        let new = rows.difference(&settled.rows).map(|row| (self.part(&Item::load(heap, *row)), *row));
        settled.parts.retain(|(_, row)| !gone.contains(row));
        settled.parts.extend(new);
        settled.parts.sort();
        settled.rows = rows;
        settled.parts.iter().map(|(part, _)| part.clone()).collect()
    }
}

/// The parts of a publication that have settled. An edit changes a few of thousands: what costs more than a look at each is done
/// for those alone.
#[derive(Debug, Default)]
pub struct Settled {
    rows: BTreeSet<Row>,
    /// Sorted, each with the row that names it.
    parts: Vec<(Part, Row)>,
}

/// What `step` publishes; none when it is no `write` step.
pub fn publication(step: &StepContext<'_>) -> Option<Publication> {
    if step.step.op != Write::NAME {
        return None;
    }
    let config: Config = flow_plan::config_of(&step.step.config).ok()?;
    let written = Written::new(&config, step);
    Some(Publication {
        folder: folder(&config, step),
        columns: written.columns,
        chat: written.chat.map(|_| MESSAGES),
        per_round: step.step.per_round,
    })
}

fn folder(config: &Config, step: &StepContext<'_>) -> PathBuf {
    match &config.path {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(&step.plan.out).join(&step.step.name),
    }
}

const MESSAGES: &str = "messages";

/// How rows become published rows.
struct Written {
    columns: Columns,
    /// For each provenance column from `parent_ids` on, where the row itself has it.
    provenance: Vec<Option<usize>>,
    step: Arc<str>,
    /// The row's other columns.
    own: Vec<usize>,
    /// Positions of the user's and the assistant's turn.
    chat: Option<(usize, usize)>,
}

impl Written {
    fn new(config: &Config, step: &StepContext<'_>) -> Self {
        let input = step.columns();
        let provenance = kind("provenance").columns();
        let own: Vec<(usize, Column)> = input
            .visible()
            .filter(|(_, column)| provenance.index(&column.name).is_none())
            .map(|(at, column)| (at, column.clone()))
            .collect();
        let chat = (config.form == Form::Messages).then(|| {
            let turn = |name: &str| input.index(name).expect("the shape has checked both columns");
            (turn(&config.prompt), turn(&config.completion))
        });
        let messages = chat.map(|_| {
            Column::new(
                MESSAGES,
                Type::Texts,
                false,
                "The prompt as the user's turn, the completion as the assistant's.",
            )
        });
        let more = own.iter().map(|(_, column)| column.clone()).chain(messages);
        let inlet = &step.step.inputs[0];
        let producers: Vec<&str> =
            inlet.edges.iter().map(|edge| step.plan.steps[edge.step].name.as_str()).collect();
        Self {
            columns: provenance.extended(&Columns::new(more)),
            provenance: provenance.names().map(|name| input.index(name)).collect(),
            step: producers.join("+").into(),
            own: own.into_iter().map(|(at, _)| at).collect(),
            chat,
        }
    }

    /// The cells of a row that its writer gives: provenance but for what the row itself has.
    fn row<'a>(&'a self, item: &'a Item) -> WrittenRow<'a> {
        let cells = item.cells();
        let turn = |at: usize| match cells.get(at) {
            Some(Cell::Text(text)) => *text,
            _ => "",
        };
        let messages = self
            .chat
            .map(|(prompt, completion)| Value::texts(["user", turn(prompt), "assistant", turn(completion)]));
        WrittenRow { written: self, row: item.row, cells, row_id: item.row.id.to_string(), messages }
    }
}

/// A row as it is written.
struct WrittenRow<'a> {
    written: &'a Written,
    row: Row,
    cells: Vec<Cell<'a>>,
    row_id: String,
    messages: Option<Value>,
}

impl Cells for WrittenRow<'_> {
    fn cell(&self, at: usize) -> Cell<'_> {
        let Written { provenance, own, step, .. } = self.written;
        let here = |at: usize| self.cells.get(at).copied().unwrap_or(Cell::Null);
        let given = |at: usize| provenance[at].map_or(Cell::Null, here);
        match at {
            0 => Cell::Text(&self.row_id),
            1 => match given(1) {
                Cell::Null => Cell::Texts(Texts::default()),
                parents => parents,
            },
            2 => Cell::Text(step),
            3 => Cell::Int(self.row.round.into()),
            at if at < provenance.len() => given(at),
            at => match own.get(at - provenance.len()) {
                Some(own) => here(*own),
                None => self.messages.as_ref().map_or(Cell::Null, Cell::from),
            },
        }
    }
}

struct Writer {
    written: Written,
    /// Where they are kept; nowhere when they are only named.
    parts: Option<Parts>,
    n_parts: u32,
    threads: usize,
}

/// Rows that a thread is started for.
const ROWS_OF_A_THREAD: usize = 128;

impl Writer {
    /// Which hash range an id falls in: its leading bits.
    fn part_of(&self, id: &Id) -> u64 {
        id.leading().checked_shr(u64::BITS - self.n_parts.trailing_zeros()).unwrap_or(0)
    }
}

impl Writer {
    fn stage(&self, bytes: &[u8]) -> Result<Id, flow_store::Error> {
        self.parts.as_ref().map_or_else(|| Ok(Parts::digest(bytes)), |parts| parts.stage(bytes))
    }
}

impl KeyedOp for Writer {
    fn key(&self, item: &Item) -> Id {
        Id::of("part", [self.part_of(&item.row.id).to_le_bytes().as_slice()])
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let threads = self.threads.min(items.len() / ROWS_OF_A_THREAD);
        let rows = parallel::map(items, threads, |item| self.written.row(item));
        let layout = Layout { chat: self.written.chat.map(|_| MESSAGES), metadata: &[] };
        let encoded = encode_part(&self.written.columns, &rows, &layout, self.threads);
        let staged = encoded.and_then(|bytes| Ok((self.stage(&bytes)?, bytes.len())));
        match staged {
            Ok((digest, n_bytes)) => {
                items.iter().for_each(|item| out.take(item));
                let index = self.part_of(&items[0].row.id);
                let cells = vec![
                    digest.to_string().into(),
                    (index as i64).into(),
                    (rows.len() as i64).into(),
                    (n_bytes as i64).into(),
                ];
                out.create(0, items[0].row.round, digest, cells);
            }
            Err(error) => out.fail("not_written", crate::text::chain(&error)),
        }
    }
}
