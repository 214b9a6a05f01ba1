//! The mistakes that only running shows: E06.., and E07.. those of servers. What no edit of a pipeline would mend has no example.

use flow_spec::Code;

flow_spec::codes! {
    FILE = "E0601", "a pipeline file cannot be read",
        "The path leads to no file, to one that may not be read, or to one that is not UTF-8 text.",
        wrong "flow check no-such-file.yaml",
        right "flow check pipeline.yaml";
    STDOUT = "E0602", "the result cannot be written to stdout",
        "The disk behind a redirection is full, or the stream was closed with an error.",
        wrong "flow schema > /dev/full",
        right "flow schema > pipeline.schema.json";
    SHARED_FOLDER = "E0603", "a step is published where something else lies",
        "Each `write` step owns its folder with all that is in it, each `train` step the folder that its `path` names, and \
         OUT/run belongs to the tables of the run. A declared model is read from its folder in every run: a step that published \
         there would put what it made in its place. Relative paths are taken from the folder that the program is started in.",
        wrong "steps: {q: {op: read, path: q.jsonl}, a: {op: write, from: q, path: out}, b: {op: write, from: q, path: ./out}}",
        right "steps: {q: {op: read, path: q.jsonl}, a: {op: write, from: q, path: out/a}, b: {op: write, from: q, path: out/b}}";
    MODEL = "E0604", "a model cannot be loaded",
        "A model is a folder in Hugging Face format: `config.json`, `*.safetensors` and `tokenizer.json`. The message \
         says which of them is missing, damaged, of an unsupported architecture, or does not fit the others.",
        wrong "models: {policy: {path: no/such/folder}}",
        right "models: {policy: {path: models/policy}}";
    LOCKED = "E0605", "another run uses the store or the output",
        "Two runs at once from one store would ask for the same answers twice; into one folder, each would remove what \
         the other is about to publish. The lock goes with the process that holds it, however \
         it ends; there is nothing to remove by hand.",
        wrong "flow exec pipeline.yaml & flow exec pipeline.yaml",
        right "flow exec pipeline.yaml & flow exec pipeline.yaml --store .flow-other --set out=out/other";
    STORE = "E0606", "the store cannot be used",
        "The store keeps every answer of a model, so that none is asked for twice. Its folder cannot be written or a \
         file in it cannot be read.",
        wrong "flow exec pipeline.yaml --store /proc/flow",
        right "flow exec pipeline.yaml --store .flow";
    PUBLISH = "E0607", "results cannot be published",
        "The folder cannot be written, the disk is full, or something that was not published here stands in the way. \
         What was published before is untouched.",
        wrong "steps: {q: {op: read, path: q.jsonl}, s: {op: write, from: q, path: /proc/out}}",
        right "steps: {q: {op: read, path: q.jsonl}, s: {op: write, from: q, path: out/s}}";
    STEP = "E0608", "a step ended the run",
        "Something failed that later rows would fail of too, such as a full disk or a training without rows. Answers \
         that were finished are kept: once the cause is gone, the same command goes on from there.",
        wrong "",
        right "";
    ROWS_LOST = "E0609", "rows are unaccounted for",
        "Every row that comes into a step must leave it by a port or be rejected with a reason. An operator broke that \
         promise, so nothing was published. This is a fault of the operator, not of the pipeline.",
        wrong "",
        right "";
    SETUP = "E0610", "a step cannot be set up",
        "The step's keys passed every check, but the operator cannot start with them.",
        wrong "",
        right "";
    UNSTABLE = "E0611", "the rounds do not settle",
        "What a round trains on depends on a later round, so each round would change the one before it.",
        wrong "",
        right "";
    REFUSED = "E0612", "the run would ask for more than it may",
        "`--max-calls` and `--on-recompute deny` compare what a run would ask for with what they allow, before anything is \
         asked. `flow plan` shows the same numbers with their reasons. What rests on answers that are not there yet is an estimate: a run \
         that comes to more than `--max-calls` ends before the first call too many, and what was answered is kept.",
        wrong "flow exec pipeline.yaml --on-recompute deny",
        right "flow exec pipeline.yaml --on-recompute allow";
    INTERRUPT = "E0613", "interruptions cannot be handled",
        "The system refused to install a handler for Ctrl-C.",
        wrong "",
        right "";
    NO_STEP = "E0614", "there is no step of this name",
        "`--until`, `--from` and `flow why` name a step of the pipeline.",
        wrong "flow exec pipeline.yaml --until nosuchstep",
        right "flow exec pipeline.yaml --until graded";
    BEFORE = "E0615", "a step before `--from` would have to be computed",
        "`--from STEP` runs STEP and what follows it. What comes before must be known already, so that nothing is asked for it.",
        wrong "flow exec pipeline.yaml --from graded",
        right "flow exec pipeline.yaml";
    NOT_EQUAL = "E0616", "an incremental run differs from a computation from scratch",
        "`exec --verify-incremental` found rows or published bytes that a computation from scratch over the same answers does \
         not give. An operator is not a function of its rows, or a published file was changed by somebody else.",
        wrong "",
        right "";
    NO_ROW = "E0617", "there is no row of this identity",
        "`flow why` looks for a row among all rows that are known without asking a model. `row_id` is a column of every \
         published file.",
        wrong "flow why pipeline.yaml 00000000",
        right "flow why pipeline.yaml 5f3a9c0e";
    PROCESSES = "E0618", "the processes of a run do not come together",
        "Each process is started with the same command, the same pipeline and its own `--process`, and reaches all others at \
         the addresses of `--hosts`. Process 0 tells the others whether they may take part.",
        wrong "flow exec pipeline.yaml --hosts hosts.txt --process 7",
        right "flow exec pipeline.yaml --hosts hosts.txt --process 1";
    LOST = "E0619", "another process of the run was lost",
        "It has ended, was killed, or cannot be reached any more, so that what it had to do cannot be finished. What was \
         published before is untouched, and answers that were finished are kept: the same command goes on from there.",
        wrong "",
        right "";
    KEPT = "E0620", "finished rounds cannot stay as they are",
        "With `rounds: {on_change: keep}` rounds that have finished are not computed again: what they made is taken from the record of \
         the last run, and from the models in the store. Where these are gone, or would be forgotten, nothing is run, because other \
         rounds would take the place of those that were to stay.",
        wrong "flow exec pipeline.yaml --rounds 1",
        right "flow exec pipeline.yaml --set rounds.on_change=recompute";
    TEST_FAILED = "E0621", "a test of the pipeline fails",
        "Other rows left the step by this port than the test expects. The help lists the first of them.",
        wrong "tests: [{step: graded, given: [{completion: '#### 4', answer: '4'}], expect: {equal: 0}}]",
        right "tests: [{step: graded, given: [{completion: '#### 4', answer: '4'}], expect: {equal: 1}}]";
    TEST_REFUSED = "E0622", "a step cannot be tested by itself",
        "Tests run without models and write nothing, so steps that sample, train or write cannot be tested. Test the \
         steps behind them by giving the rows that they would make.",
        wrong "tests: [{step: shards, given: [{completion: '#### 4'}], expect: {out: 1}}]",
        right "tests: [{step: graded, given: [{completion: '#### 4', answer: '4'}], expect: {equal: 1}}]";
    NOT_RUN = "E0623", "the pipeline has not been run",
        "`flow report` shows what a run came to. It computes the run again from the answers in the store, so it needs the store that the run \
         had, and the same `--set` and `--profile`.",
        wrong "flow report pipeline.yaml --store elsewhere",
        right "flow report pipeline.yaml";
    EMPTIED = "E0624", "nothing would take the place of published data",
        "A run came to no rows for a folder that shows some: an input was empty, every draw was refused, no row passed. That is a mistake \
         far more often than it is meant, so what is published stays, and the message tells where the rows end. Where nothing is \
         meant to be there, remove the folder first.",
        wrong "flow exec pipeline.yaml --set steps.questions.path=empty.jsonl",
        right "rm -r out/copy/shards; flow exec pipeline.yaml --set steps.questions.path=empty.jsonl";
    TEMPLATE = "E0625", "a model cannot be asked by its chat template",
        "With `chat: true` a prompt becomes a user's message in the chat template of the model's folder: `chat_template.jinja`, or that \
         of `tokenizer_config.json`. Checkpoints that were trained to chat come with one, base models often without. A template may \
         also refuse a system message; then put its text into the prompts.",
        wrong "models: {policy: {path: models/SmolLM2-1.7B, chat: true}}",
        right "models: {policy: {path: models/SmolLM2-1.7B-Instruct, chat: true}}";
    TOO_LONG = "E0626", "examples would be longer than the model has positions",
        "`max_length` is how many tokens of an example are learned from, and a model has as many positions as its config says. What is \
         before the training would be drawn in vain, so nothing is run.",
        wrong "learner: {op: train, from: shards, start: policy, max_length: 100000}",
        right "learner: {op: train, from: shards, start: policy}";
    NO_ROUND = "E0627", "a loop taught nothing",
        "The rows of the first round ended before they reached the step that trains, so there is no model for a second round. What was \
         drawn is kept and the tables of the run are written; the help tells where the rows end. Often a column has another name than the \
         pipeline expects, a template refuses rows, or no answer passed the check.",
        wrong "flow exec pipelines/everything.yaml --set steps.questions.path=without_levels.jsonl",
        right "flow exec pipelines/everything.yaml --set steps.questions.path=with_levels.jsonl";
    NO_MIXTURE = "E0628", "a model cannot become such a mixture",
        "A mixture that `train` with `moe` or `merge` makes must have a family of checkpoints that holds it with all that its models have; what \
         none holds is named. What is before would be drawn in vain, so nothing is run, as far as the models are known by then. Every model is \
         trained as it is, without `moe`.",
        wrong "learner: {op: train, from: shards, start: gemma, moe: {from: copy}}",
        right "learner: {op: train, from: shards, start: qwen, moe: {from: copy}}";
    GRADER = "E0631", "an answer checker cannot be set up so",
        "`--with` sets one key of the answer checker. Keys and values are those of the operator `verify`.",
        wrong "flow verify rows.jsonl --with extract=box",
        right "flow verify rows.jsonl --with extract=boxed";
    AUDIT_FILE = "E0632", "a file of answers cannot be read",
        "`flow verify` reads JSON lines and Parquet. The file does not exist, may not be read, is not whole, or has another \
         extension.",
        wrong "flow verify rows.csv",
        right "flow verify rows.jsonl";
    AUDIT_ROW = "E0633", "a row of answers is not as it must be",
        "A row is an object with the fields `gold` and `pred`. `expected` is true or false, `options` the list of a row's \
         choices or a map of keys of the answer checker. `--field` says what a file calls them. Rows that are not so are told and left out, \
         and the audit ends with a failure.",
        wrong "{\"gold\": \"4\", \"answer\": \"4\"}",
        right "{\"gold\": \"4\", \"pred\": \"4\"}";
    AUDIT_OUTPUT = "E0634", "verdicts cannot be written",
        "`--output` names a file that ends in .jsonl or .parquet, in a folder that is there and may be written.",
        wrong "flow verify rows.jsonl -o /proc/verdicts.jsonl",
        right "flow verify rows.jsonl -o verdicts.jsonl";
    DEVICE = "E0635", "a device to draw and learn on cannot be used",
        "`--device cuda` draws and learns on an NVIDIA GPU, for which the program is built with `--features cuda`; the machine needs NVIDIA's \
         driver and its run-time compiler, NVRTC. Without `--device` the CPU is used where there is no GPU: the draws are the same.",
        wrong "flow exec pipeline.yaml --device cuda",
        right "flow exec pipeline.yaml";
    TOO_LARGE = "E0636", "a model to train does not fit into the memory of this machine",
        "A training holds each parameter that learns, its gradient and, on the CPU, two moments of it, four bytes each: told is what weights and \
         gradients alone take. With `lora` only adapters have more than their weights. What is before would be drawn in vain, so nothing is run.",
        wrong "learner: {op: train, from: shards, start: {hidden_size: 1048576, num_hidden_layers: 1000, ..}}",
        right "learner: {op: train, from: shards, start: {hidden_size: 256, num_hidden_layers: 4, ..}}";
    FAULT = "E0699", "the program failed of a fault of its own",
        "No input should cause this. What was published before is untouched and finished answers are kept.",
        wrong "",
        right "";
    SERVER = "E0701", "a server of a model cannot be used",
        "It cannot be reached, does not know the key or the model, or has answered nothing for as long as `give_up_after` allows. \
         Draws that were finished are kept: once the cause is gone, the same command goes on from there. `flow doctor PIPELINE` \
         asks every server for its models and for one token.",
        wrong "",
        right "";
}

/// What to do about a mistake of this code, where that is always the same.
pub(crate) fn help(code: &Code) -> Option<&'static str> {
    [
        (&STORE, "see that the folder of `--store` can be read and written, and that its disk has room"),
        (&PUBLISH, "see that `out`, and the step's `path`, can be written, that nothing else stands there, and that the disk has room"),
        (&NOT_EQUAL, "remove the published folder and run again if a file was changed by hand; otherwise report it with the pipeline"),
        (&ROWS_LOST, "report it with the pipeline"),
    ]
    .into_iter()
    .find_map(|(known, help)| (known.id == code.id).then_some(help))
}
