//! From records to draws.

use std::sync::Arc;

use flow_data::{Heap, Id, IdMap, Item, Value};
use flow_dataflow::{Out, Source, SourceError};

use crate::fields::{Field, Flaw, Reading};
use crate::input::{InputFile, Record};
use crate::known::Known;
use crate::read::{content_id, prompt_row, text};

/// Where one completion of a record stands.
pub(super) struct Completion {
    pub(super) text: Field,
    pub(super) extra: Vec<Field>,
    /// The model, where the record names none.
    pub(super) model: Value,
}

/// Reads a file of recorded completions.
pub(super) struct Replayer {
    pub(super) file: InputFile,
    pub(super) known: Known,
    /// Most records read.
    pub(super) limit: usize,
    /// The columns of the record kind `prompt`.
    pub(super) prompt: Vec<Field>,
    pub(super) sample_index: Field,
    pub(super) model: Field,
    pub(super) completions: Vec<Completion>,
}

/// What has been read so far.
#[derive(Default)]
struct Replayed {
    /// Completions by prompt.
    n_draws: IdMap<i64>,
    /// Where each draw stands.
    places: IdMap<u64>,
    /// The prompt of the record before: records of one prompt often follow each other.
    last: Option<Arc<Prompt>>,
}

/// The row of a record's prompt: its cells are kept once for all of its draws.
struct Prompt {
    /// The cells as they stood in the record.
    stood: Vec<Value>,
    item: Item,
    /// The cell `parent_ids` of its draws.
    parents: Value,
}

impl Source for Replayer {
    fn load(&self, heap: &Heap, out: &mut Out<'_>) -> Result<(), SourceError> {
        let drawn = self.completions.iter().flat_map(|one| std::iter::once(&one.text).chain(&one.extra));
        let fields = self.prompt.iter().chain([&self.sample_index, &self.model]).chain(drawn);
        let mut reading = Reading::new(&self.file, fields);
        let mut replayed = Replayed::default();
        for record in reading.records()?.take(self.limit) {
            let (at, record) = record?;
            let record = record.map_err(|detail| Flaw { reason: "malformed", detail });
            let prompt = record.and_then(|record| {
                reading.note(&record);
                Ok((self.prompt(heap, &record, &mut replayed.last)?, record))
            });
            match prompt {
                Ok((prompt, record)) => self.draws(&prompt, &record, at, &mut replayed, out)?,
                Err(flaw) => flaw.reject(&self.file.place(at), out),
            }
        }
        reading.finish()
    }
}

impl Replayer {
    /// The record's prompt; that of `last` where the cells are the same.
    fn prompt(
        &self,
        heap: &Heap,
        record: &Record,
        last: &mut Option<Arc<Prompt>>,
    ) -> Result<Arc<Prompt>, Flaw> {
        let same = |(field, cell): (&Field, &Value)| field.read(record).is_ok_and(|found| found == *cell);
        if let Some(prompt) = last.as_ref().filter(|last| self.prompt.iter().zip(&last.stood).all(same)) {
            return Ok(prompt.clone());
        }
        let stood = self.prompt.iter().map(|field| field.read(record)).collect::<Result<Vec<Value>, Flaw>>()?;
        let mut cells = stood.clone();
        self.known.cut(&mut cells)?;
        if cells[0] == Value::Null {
            cells[0] = content_id(&cells[1], 0);
        }
        let item = Item::new(heap, 0, prompt_row(&cells[0]), cells);
        let parents = Value::texts([item.row.id.to_string().as_str()]);
        let prompt = Arc::new(Prompt { stood, item, parents });
        *last = Some(prompt.clone());
        Ok(prompt)
    }

    /// Emits the record's completions; those that cannot be read are rejected one by one.
    fn draws(
        &self,
        prompt: &Prompt,
        record: &Record,
        at: u64,
        replayed: &mut Replayed,
        out: &mut Out<'_>,
    ) -> Result<(), SourceError> {
        for completion in &self.completions {
            let n_draws = replayed.n_draws.entry(prompt.item.row.id).or_default();
            let index = *n_draws;
            *n_draws += 1;
            match self.draw(record, completion, index) {
                Ok(draw) => {
                    let id = draw.id(&prompt.item);
                    if let Some(first) = replayed.places.insert(id, at) {
                        return Err(self.file.duplicate(&draw.identity(), first, at));
                    }
                    out.derive(0, &prompt.item, 0, id, draw.cells(prompt));
                }
                Err(flaw) => flaw.reject(&format!("{} `{}`", self.file.place(at), completion.text.name), out),
            }
        }
        Ok(())
    }

    /// The completion `from` of `record`, the `index`-th of its prompt.
    fn draw(&self, record: &Record, from: &Completion, index: i64) -> Result<Draw, Flaw> {
        let model = self.model.read(record)?;
        Ok(Draw {
            completion: from.text.read(record)?,
            model: if model == Value::Null { from.model.clone() } else { model },
            sample_index: match self.sample_index.read(record)? {
                Value::Int(recorded) => recorded,
                _ => index,
            },
            extra: from.extra.iter().map(|field| field.read(record)).collect::<Result<_, _>>()?,
        })
    }
}

/// A recorded draw.
struct Draw {
    completion: Value,
    model: Value,
    sample_index: i64,
    extra: Vec<Value>,
}

impl Draw {
    fn id(&self, prompt: &Item) -> Id {
        let parts = [&prompt.row.id.0[..], text(&self.model).as_bytes(), &self.sample_index.to_le_bytes()];
        Id::of("replayed", parts)
    }

    /// The identity in words.
    fn identity(&self) -> String {
        match &self.model {
            Value::Text(model) => {
                format!("sample index {} of one prompt by model `{model}`", self.sample_index)
            }
            _ => format!("sample index {} of one prompt", self.sample_index),
        }
    }

    /// The cells of the record `draw`, of which little is known, then the further ones.
    fn cells(self, prompt: &Prompt) -> Vec<Value> {
        let parents = prompt.parents.clone();
        let [finish_reason, n_prompt_tokens, n_tokens, logprobs, seed] = [const { Value::Null }; 5];
        let index = self.sample_index.into();
        let draw = [
            parents,
            self.completion,
            finish_reason,
            n_prompt_tokens,
            n_tokens,
            logprobs,
            self.model,
            seed,
            index,
        ];
        draw.into_iter().chain(self.extra).collect()
    }
}
