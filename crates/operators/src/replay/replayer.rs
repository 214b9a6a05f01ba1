//! From records to draws.

use std::sync::Arc;

use flow_data::{Heap, Id, Item, Value};
use flow_dataflow::{Out, SourceError};

use crate::fields::{Field, Flaw};
use crate::input::{At, Files, Record};
use crate::known::Known;
use crate::read::{content_id, prompt_row, text};
use crate::records::{ByRecord, Numbers};

/// Where one completion of a record stands.
pub(super) struct Completion {
    pub(super) text: Field,
    pub(super) extra: Vec<Field>,
    /// The model, where the record names none.
    pub(super) model: Value,
}

/// Reads a file of recorded completions.
pub(super) struct Replayer {
    pub(super) files: Files,
    pub(super) known: Known,
    /// Most records read.
    pub(super) limit: usize,
    /// The columns of the record kind `prompt`.
    pub(super) prompt: Vec<Field>,
    pub(super) sample_index: Field,
    pub(super) model: Field,
    pub(super) completions: Vec<Completion>,
}

/// The row of a record's prompt, kept for the next one: records of one prompt often follow each other. Its cells are kept once for all of its draws.
pub(super) struct Prompt {
    /// The cells as they stood in the record.
    stood: Vec<Value>,
    item: Item,
    /// The cell `parent_ids` of its draws.
    parents: Value,
}

impl ByRecord for Replayer {
    /// The prompt of the record before: records of one prompt often follow each other.
    type Cache = Option<Arc<Prompt>>;

    fn files(&self) -> &Files {
        &self.files
    }

    fn fields(&self) -> Vec<&Field> {
        let drawn = self.completions.iter().flat_map(|one| std::iter::once(&one.text).chain(&one.extra));
        self.prompt.iter().chain([&self.sample_index, &self.model]).chain(drawn).collect()
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn rows(
        &self,
        heap: &Heap,
        at: At<'_>,
        record: &Record,
        (numbers, last): (&mut Numbers, &mut Self::Cache),
        out: &mut Out<'_>,
    ) -> Result<Result<usize, Flaw>, SourceError> {
        match self.prompt(heap, record, last) {
            Ok(prompt) => self.draws(&prompt, record, at, numbers, out),
            Err(flaw) => Ok(Err(flaw)),
        }
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

    /// Emits the record's completions and returns how many. Of several those that cannot be read are rejected one by one.
    fn draws(
        &self,
        prompt: &Prompt,
        record: &Record,
        at: At<'_>,
        numbers: &mut Numbers,
        out: &mut Out<'_>,
    ) -> Result<Result<usize, Flaw>, SourceError> {
        let mut made = 0;
        for completion in &self.completions {
            let first = numbers.count(prompt.item.row.id);
            match self.drawn(record, completion, first) {
                Ok(draws) => {
                    for draw in draws {
                        numbers.next(prompt.item.row.id);
                        let id = draw.id(&prompt.item);
                        if let Some(first) = numbers.place(id, at) {
                            return Err(at.duplicate(&draw.identity(), first));
                        }
                        out.derive(0, &prompt.item, 0, id, draw.cells(prompt));
                        made += 1;
                    }
                }
                Err(flaw) => {
                    numbers.next(prompt.item.row.id);
                    if self.completions.len() == 1 {
                        return Ok(Err(flaw));
                    }
                    flaw.reject(&format!("{} `{}`", at.written(), completion.text.name), out);
                }
            }
        }
        Ok(Ok(made))
    }

    /// The completions that `record` has at `from`, numbered from `first` where no number is recorded.
    fn drawn(&self, record: &Record, from: &Completion, first: i64) -> Result<Vec<Draw>, Flaw> {
        let model = self.model.read(record)?;
        let model = if model == Value::Null { from.model.clone() } else { model };
        let first = match self.sample_index.read(record)? {
            Value::Int(recorded) => recorded,
            _ => first,
        };
        let extra = from.extra.iter().map(|field| field.read(record)).collect::<Result<Vec<Value>, Flaw>>()?;
        let completions = from.text.read_each(record)?;
        let draw = |(completion, sample_index)| Draw {
            completion,
            model: model.clone(),
            sample_index,
            extra: extra.clone(),
        };
        Ok(completions.into_iter().zip(first..).map(draw).collect())
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
