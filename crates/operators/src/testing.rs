//! One step on given rows: data in, data out, on a real dataflow that accounts for every row.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_data::{Column, Columns, Heap, Id, Item, Type, Value, kind};
use flow_dataflow::{
    Body, InputId, Memo, MemoError, MemoryMemo, ModelSlot, ModelWire, Network, Node, Out, Port, Rounds,
    Session, SessionOptions, Source, SourceError, Wire,
};
use flow_plan::{Arity, Input, Plan, Problem, Shape, Signature};
use flow_spec::Options;
use serde_json::{Map, Value as Json, json};

use crate::cells::{fit, from_json, to_json};
use crate::{BuildError, CATALOG, Env, Models, Operator, Remarks, StepContext, signatures};

/// The rows on each port, `rejected` among them, each a JSON object without its null cells.
pub(crate) type Ports = BTreeMap<String, Vec<Json>>;

/// Columns by the names of record kinds, and further ones as `name:type`.
pub(crate) fn columns(words: &str) -> Columns {
    let columns = words.split_whitespace().map(|word| match word.split_once(':') {
        None => kind(word).columns().clone(),
        Some((name, kind)) => {
            let kind: Type = serde_json::from_value(kind.into()).expect("a type");
            Columns::new([Column::new(name, kind, true, "Given by the test.")])
        }
    });
    columns.reduce(|all, more| all.extended(&more)).expect("at least one word")
}

/// What the step `yaml` (its keys without `from`) makes of `rows`, which have `columns`. A key `round` sets a row's
/// round; ids rise with the position.
pub(crate) fn run(columns: &Columns, rows: &[Json], yaml: &str) -> Ports {
    run_on(columns, rows, yaml, Arc::new(MemoryMemo::default()))
}

/// The same where the model answers every request by `completion`.
pub(crate) fn run_answered(columns: &Columns, rows: &[Json], yaml: &str, completion: &str) -> Ports {
    let draw = vec![completion.into(), "stop".into(), 1.into(), 1.into(), Value::Floats([].into())];
    run_remembered(columns, rows, yaml, draw)
}

/// The same where `answer` is remembered for every request.
pub(crate) fn run_remembered(columns: &Columns, rows: &[Json], yaml: &str, answer: Vec<Value>) -> Ports {
    run_on(columns, rows, yaml, Arc::new(OneAnswer(answer)))
}

/// The rows of the source `yaml`.
pub(crate) fn load(yaml: &str) -> Result<Ports, SourceError> {
    let (plan, source) = source(yaml);
    let step = &plan.steps[0];
    let heap = Heap::new();
    let mut out = Out::new(&heap, 0);
    source.load(&heap, &mut out)?;
    let rows = out.rows().iter().map(|(_, row)| Item::load(&heap, *row));
    let rows = rows.map(|item| object(&step.ports[0].columns, &item)).collect();
    let rejected = out.rejected().map(|row| object(&step.rejected, &Item::load(&heap, row))).collect();
    Ok(Ports::from([("out".to_owned(), rows), ("rejected".to_owned(), rejected)]))
}

/// The source `yaml`.
pub(crate) fn source(yaml: &str) -> (Plan, Arc<dyn Source>) {
    let plan = plan(None, yaml).expect("the step has no mistake");
    let step = &plan.steps[0];
    let Ok(Body::Source(source)) = operator(step.op).body(&StepContext { plan: &plan, step }, &env()) else {
        panic!("{} is no source", step.op)
    };
    (plan, source)
}

/// The mistakes of the step `yaml`: the marked text, the message and the help of each.
pub(crate) fn mistakes(columns: Option<&Columns>, yaml: &str) -> Vec<String> {
    plan(columns, yaml).map(|_| Vec::new()).unwrap_or_else(|mistakes| mistakes)
}

/// Sets up the step `yaml` behind rows of these columns.
pub(crate) fn set_up(columns: &Columns, yaml: &str) -> Result<(), BuildError> {
    let plan = plan(Some(columns), yaml).expect("the step has no mistake");
    let step = plan.steps.last().expect("the step");
    operator(step.op).body(&StepContext { plan: &plan, step }, &env()).map(|_| ())
}

/// A file of the shared data; says that the test is skipped when it is absent.
#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
pub(crate) fn shared_data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

fn run_on(columns: &Columns, rows: &[Json], yaml: &str, memo: Arc<dyn Memo>) -> Ports {
    let plan = plan(Some(columns), yaml).expect("the step has no mistake");
    let heap = Arc::new(Heap::new());
    let outlets = (0..plan.steps[1].ports.len()).map(|port| Some(port as Port)).chain([None]);
    let capture = outlets.clone().map(|port| (1, port)).collect();
    let options = SessionOptions { workers: 2, capture, ..SessionOptions::default() };
    let mut session = Session::start(network(&plan), heap.clone(), memo, options).expect("threads start");
    for (at, row) in rows.iter().enumerate() {
        session.update(InputId::Rows(0), item(&heap, columns, at, row).row, 1);
    }
    if !plan.steps[1].models.is_empty() {
        let model = Id::of("model", []);
        session.update(InputId::Model(0), flow_data::Row { round: 0, id: model, body: model }, 1);
    }
    session.tick(&mut |_| ControlFlow::Continue(())).expect("the step settles");
    let counts = &session.counts()[1];
    assert_eq!((counts.input, counts.unaccounted), (rows.len() as i64, 0), "every row is accounted for");
    outlets.map(|port| read(&plan, &session, port)).collect()
}

fn read(plan: &Plan, session: &Session, port: Option<Port>) -> (String, Vec<Json>) {
    let step = &plan.steps[1];
    let (name, columns) = match port {
        Some(port) => (&*step.ports[usize::from(port)].name, &step.ports[usize::from(port)].columns),
        None => ("rejected", &step.rejected),
    };
    let rows = session.rows(1, port);
    let rows = rows.keys().map(|row| object(columns, &Item::load(session.heap(), *row)));
    (name.to_owned(), rows.collect())
}

fn network(plan: &Plan) -> Arc<Network> {
    let [given, tested] = &plan.steps[..] else { panic!("two steps") };
    let body = operator(tested.op)
        .body(&StepContext { plan, step: tested }, &env())
        .expect("the step can be set up");
    let node = |name: &str, inputs, body, ports, model| Node {
        name: name.to_owned(),
        inputs,
        body,
        ports,
        model,
        width: given.ports[0].columns.len(),
        per_round: false,
    };
    let wire = Wire { node: 0, port: Some(0), project: None };
    let model = tested.models.first().map(|_| ModelWire::Slot(0));
    let nodes = vec![
        node("given", vec![], Body::Source(Arc::new(Nothing)), 1, None),
        node("tested", vec![wire], body, tested.ports.len(), model),
    ];
    let models = vec![ModelSlot { name: "critic".to_owned(), per_round: false, fed_by: None }];
    Arc::new(Network { nodes, models, rounds: Rounds::default() })
}

fn operator(name: &str) -> &'static dyn Operator {
    *CATALOG.iter().find(|operator| operator.name() == name).expect("the operator is in the catalog")
}

fn env() -> Env {
    Env {
        threads: 1,
        models: Arc::new(Models::new(Path::new("no models"))),
        dry: false,
        remarks: Remarks::default(),
    }
}

fn item(heap: &Heap, columns: &Columns, at: usize, row: &Json) -> Item {
    let row: &Map<String, Json> = row.as_object().expect("a row is an object");
    let unknown = row.keys().find(|name| columns.index(name).is_none() && *name != "round");
    assert_eq!(unknown, None, "every cell has a column");
    let mut cells = vec![Value::Null; columns.len()];
    for (place, column) in columns.visible() {
        let json = row.get(&*column.name).unwrap_or(&Json::Null);
        cells[place] =
            from_json(json).and_then(|value| fit(value, column.kind)).expect("the cell fits its column");
    }
    let round = row.get("round").and_then(Json::as_u64).unwrap_or(0) as u32;
    Item::new(heap, round, Id((at as u128).to_be_bytes()), cells)
}

fn object(columns: &Columns, item: &Item) -> Json {
    let cells = columns.visible().map(|(at, column)| (column.name.to_string(), to_json(item.get(at))));
    let cells: Map<String, Json> = cells.filter(|(_, json)| !json.is_null()).collect();
    let mut object = Json::Object(cells);
    if item.row.round > 0 {
        object["round"] = json!(item.row.round);
    }
    object
}

fn plan(columns: Option<&Columns>, yaml: &str) -> Result<Plan, Vec<String>> {
    let steps = match columns {
        Some(_) => format!("given: {{op: given}}, tested: {{from: given, {yaml}}}"),
        None => format!("tested: {{{yaml}}}"),
    };
    let text =
        format!("version: 1\nname: test\nseed: 17\nmodels: {{critic: {{path: m}}}}\nsteps: {{{steps}}}\n");
    let given = Given(columns.cloned().unwrap_or_default());
    let mut catalog = signatures(CATALOG);
    catalog.push(&given);
    let reading = flow_spec::read("test.yaml", &text, &Options::default());
    let (plan, more) = reading.spec.map(|spec| flow_plan::plan(&spec, &catalog)).unwrap_or_default();
    let mistakes = reading.diagnostics.into_iter().chain(more).filter(|mistake| mistake.is_error());
    let words = mistakes.map(|mistake| {
        let place = reading.sources.text(mistake.span);
        format!("`{place}`: {} ({})", mistake.message, mistake.help.unwrap_or_default())
    });
    let words: Vec<String> = words.collect();
    plan.ok_or(words)
}

/// The source of the rows that a test gives.
struct Given(Columns);

impl Signature for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    fn header(&self) -> &'static str {
        ""
    }

    fn arity(&self) -> Arity {
        Arity::None
    }

    fn config_schema(&self) -> Json {
        json!({"type": "object", "additionalProperties": false})
    }

    fn shape(&self, _: &Json, _: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        Ok(Shape::new(self.0.clone()))
    }
}

struct Nothing;

impl Source for Nothing {
    fn load(&self, _: &Heap, _: &mut Out<'_>) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The same answer to everything.
struct OneAnswer(Vec<Value>);

impl Memo for OneAnswer {
    fn get(&self, _: &Id) -> Option<Vec<Value>> {
        Some(self.0.clone())
    }

    fn put(&self, _: Id, _: &[Value]) -> Result<(), MemoError> {
        Ok(())
    }
}
