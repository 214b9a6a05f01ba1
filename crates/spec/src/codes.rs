//! The mistakes of text and values: E00.. YAML, E01.. keys and values, E02.. names, overlays, variables and addresses.

crate::codes! {
    SYNTAX = "E0001", "the text is not YAML",
        "The parser met something that no YAML can contain. Reading stops there, so other mistakes show up later.",
        wrong "steps: {questions: {op: read, path: [data.jsonl}}",
        right "steps: {questions: {op: read, path: data.jsonl}}";
    DUPLICATE_KEY = "E0002", "a key is written twice in one map",
        "YAML readers commonly keep one of the two silently. Here it is an error; both places are shown.",
        wrong "name: first\nname: second",
        right "name: first";
    TAG = "E0003", "a YAML tag is used",
        "Tags (`!!str`, `!env`) change how a value is read. A value here is read by the key it stands under, so quotes \
         are all that is needed to make a number text.",
        wrong "name: !!str 2024",
        right "name: \"2024\"";
    DOCUMENTS = "E0004", "the file holds several documents",
        "A pipeline is one YAML document. Put the second one into its own file.",
        wrong "name: first\n---\nname: second",
        right "name: first";
    DEPTH = "E0005", "lists and maps are nested too deep",
        "No key needs more than a few levels. The bound keeps a hostile file from exhausting memory.",
        wrong "name: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        right "name: flat";
    ALIAS = "E0006", "an alias cannot be replaced by what it names",
        "An alias (`*x`) is replaced by a copy of what its anchor (`&x`) names. An alias inside its own anchor has no \
         end, and aliases of aliases can stand for more values than any pipeline needs; both are refused.",
        wrong "models: &all {policy: {path: m}, other: *all}",
        right "models: {policy: &policy {path: m}, other: *policy}";
    NUMBER = "E0007", "a number is out of reach",
        "Integers must fit into 64 bits; floats must be finite 64-bit floats. A longer number, such as an answer in a \
         test row, can be written as text in quotes.",
        wrong "seed: 99999999999999999999",
        right "seed: 9999999999";
    KEY = "E0008", "a key is not text",
        "A key must be one word or a quoted text. YAML also allows lists, maps and nothing as keys; no key here is so.",
        wrong "models: {[policy]: {path: m}}",
        right "models: {policy: {path: m}}";
    MERGE = "E0009", "`<<` merges something that is no map",
        "`<<: *x` copies the keys of a map that are not written beside it. It takes a map or a list of maps.",
        wrong "models: {policy: {<<: m, path: m}}",
        right "models: {base: &base {path: m}, policy: {<<: *base}}";

    UNKNOWN_KEY = "E0101", "a key is not known",
        "Unknown keys are errors, because a misspelt key would otherwise fall back to its default silently.",
        wrong "sede: 17",
        right "seed: 17";
    MISSING_KEY = "E0102", "a required key is missing",
        "The key has no default: the pipeline says nothing definite without it.",
        wrong "models: {policy: {}}",
        right "models: {policy: {path: models/policy}}";
    WRONG_TYPE = "E0103", "a value has the wrong type",
        "The key expects another kind of value. `yes`, `no`, `on` and `off` are text in YAML 1.2; write `true` or \
         `false`. Numbers take no underscores, and quotes make text of anything.",
        wrong "seed: seventeen",
        right "seed: 17";
    OUT_OF_RANGE = "E0104", "a number is out of its range",
        "The key accepts numbers of a certain range only; the message names it.",
        wrong "seed: -1",
        right "seed: 1";
    WRONG_LENGTH = "E0105", "a text, list or map has the wrong length",
        "The key accepts texts, lists or maps of a certain length only; the message names it.",
        wrong "steps: {all: {op: dedup, from: []}}",
        right "steps: {all: {op: dedup, from: [questions]}, questions: {op: read}}";
    NOT_ONE_OF = "E0106", "a value is not one of those allowed",
        "The key accepts certain words (or keys) only; the message lists them.",
        wrong "version: 2",
        right "version: 1";
    REPEATED = "E0107", "a list names the same thing twice",
        "Each item of this list may stand there once.",
        wrong "steps: {a: {op: read}, b: {op: select, from: [a, a]}}",
        right "steps: {a: {op: read}, b: {op: select, from: [a]}}";

    NAME = "E0201", "a name has a letter it cannot have",
        "Names of steps, models, profiles and ports begin with a lowercase letter and go on with lowercase letters, \
         digits and `_`: they are used in references (`step.port`), file names and columns. The pipeline's own name \
         may hold `-` and `.` too.",
        wrong "models: {My-Policy: {path: m}}",
        right "models: {my_policy: {path: m}}";
    REFERENCE = "E0202", "a reference is not `step` or `step.port`",
        "Rows are named by the step they leave, and by the port if it is not the main one.",
        wrong "steps: {a: {op: read}, b: {op: select, from: a.out.equal}}",
        right "steps: {a: {op: read}, b: {op: select, from: a.out}}";
    UNDECLARED = "E0203", "a variable is not declared",
        "Values from the environment are used only where the file says so under `env`, so that a reader sees at the \
         top what a run depends on. Write `$${NAME}` for the text `${NAME}` itself.",
        wrong "out: ${HOME}/flow",
        right "env: {HOME: {default: .}}\nout: ${HOME}/flow";
    UNDEFINED = "E0204", "a variable has no value",
        "The variable is declared, but the environment does not hold it and there is no default: neither under `env` \
         nor at its use as `${NAME:-default}`.",
        wrong "env: {FLOW_EXAMPLE: {}}\nout: ${FLOW_EXAMPLE}/flow",
        right "env: {FLOW_EXAMPLE: {}}\nout: ${FLOW_EXAMPLE:-.}/flow";
    INTERPOLATION = "E0205", "`${` does not begin a variable",
        "A variable is `${NAME}` or `${NAME:-default}`; the name has letters, digits and `_`. Write `$${` for the text \
         `${` itself.",
        wrong "env: {RUN: {default: a}}\nout: ${RUN-1}",
        right "env: {RUN: {default: a}}\nout: ${RUN}-1";
    PROFILE = "E0206", "there is no such profile",
        "`--profile` names one of the maps under `profiles`.",
        wrong "flow exec pipeline.yaml --profile lapdog",
        right "profiles: {laptop: {seed: 1}}";
    OVERLAY = "E0207", "a dotted path leads nowhere",
        "A profile or `--set` may change a value or add a key to a map that exists. All keys of the path but the last \
         must exist.",
        wrong "profiles: {laptop: {models.polcy.path: small}}\nmodels: {policy: {path: big}}",
        right "profiles: {laptop: {models.policy.path: small}}\nmodels: {policy: {path: big}}";
    SET = "E0208", "`--set` is not `path=value`",
        "The argument is a dotted path, `=`, and a value as it would be written in YAML.",
        wrong "flow exec pipeline.yaml --set seed",
        right "flow exec pipeline.yaml --set seed=4";
    ADDRESS = "E0209", "the address of a server is not one",
        "A server is named by the base address of its OpenAI-compatible interface, which usually ends in `/v1`. Messages show \
         addresses, so keys have no place in them: `api_key_env` names the environment variable that holds one.",
        wrong "models: {teacher: {server: \"localhost:8000\", model: m}}",
        right "models: {teacher: {server: \"http://localhost:8000/v1\", model: m}}";
    SHELL = "E0210", "a path has something in it that only a shell replaces",
        "`~` and `$HOME` are replaced by a shell, and none reads a pipeline; a shell leaves `~` behind `--set out=` as it is, too. A folder \
         of that name is hardly meant.",
        wrong "out: ~/flow",
        right "env: {HOME: {default: .}}\nout: ${HOME}/flow";
}
