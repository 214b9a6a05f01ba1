//! Changes to the tree before it is read: the entries of a profile, then each `--set path=value`.

use crate::parse::parse;
use crate::suggest::help_with_names;
use crate::{Diagnostic, Entry, Node, Sources, Span, Value, codes};

/// Applies the profile `name`.
pub(crate) fn apply_profile(root: &mut Node, sources: &mut Sources, name: &str, found: &mut Vec<Diagnostic>) {
    let profiles = root.get("profiles").map_or(&[][..], Node::entries);
    let Some(profile) = profiles.iter().find(|entry| entry.key == name) else {
        let names: Vec<&str> = profiles.iter().map(|entry| &*entry.key).collect();
        let help = help_with_names(name, "profiles", &names);
        let id = sources.add("--profile", name);
        let span = Span { source: id, start: 0, end: name.len() };
        found
            .push(Diagnostic::new(&codes::PROFILE, span, format!("there is no profile `{name}`")).help(help));
        return;
    };
    let mut entries = profile.value.entries().to_vec();
    // `models` before `models.critic`, which it would take with it: entries that are merged in come behind those that are written.
    entries.sort_by_key(|entry| entry.key.matches('.').count());
    for entry in entries {
        let mistake = set(root, &entry.key, entry.key_span, entry.value).err();
        found.extend(mistake.map(|mistake| *mistake));
    }
}

/// Applies one `--set` argument.
pub(crate) fn apply_set(root: &mut Node, sources: &mut Sources, argument: &str, found: &mut Vec<Diagnostic>) {
    let id = sources.add("--set", argument);
    let whole = Span { source: id, start: 0, end: argument.len() };
    let Some((path, written)) = argument.split_once('=').filter(|(path, _)| !path.is_empty()) else {
        let words = format!("expected `path=value`, found `{argument}`");
        found.push(Diagnostic::new(&codes::SET, whole, words).help("for example `--set steps.attempts.n=4`"));
        return;
    };
    let (value, mistakes) = parse(sources, id, path.len() + 1..argument.len());
    let quoted = written.starts_with(MARKS).then(|| format!("quote it: `--set '{path}=\"{written}\"'`"));
    found.extend(
        mistakes
            .into_iter()
            .map(|mistake| Diagnostic { help: quoted.clone().or(mistake.help.clone()), ..mistake }),
    );
    if let Some(value) = value {
        let mistake = set(root, path, Span { end: path.len(), ..whole }, value).err();
        found.extend(mistake.map(|mistake| with_map(*mistake, path, written)));
    }
}

/// What YAML does not take for the beginning of text.
const MARKS: [char; 5] = ['*', '&', '!', '@', '`'];

/// The mistake with the argument that adds the map which `path` does not find, unless that is a step or a model, which have more keys.
fn with_map(mistake: Diagnostic, path: &str, written: &str) -> Diagnostic {
    let Some(help) = mistake.help.as_deref().filter(|help| help.starts_with("keys: ")) else {
        return mistake;
    };
    let (map, keys) = path.split_at(mistake.span.end);
    if keys.is_empty() || ["steps.", "models."].contains(&&path[..mistake.span.start]) {
        return mistake;
    }
    let value = keys[1..].rsplit('.').fold(written.to_owned(), |value, key| format!("{{{key}: {value}}}"));
    let help = format!("{help}; to add it, write `--set '{map}={value}'`");
    mistake.help(help)
}

/// Puts `value` at the dotted `path`; `span` is where the path is written.
fn set(root: &mut Node, path: &str, span: Span, value: Node) -> Result<(), Box<Diagnostic>> {
    let (parents, last) = path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
    let mut node = root;
    let mut start = 0;
    for part in parents.into_iter().flat_map(|parents| parents.split('.')) {
        node = descend(node, part).map_err(|help| lost(path, part, start, span, help))?;
        start += part.len() + 1;
    }
    put(node, last, span, value).map_err(|help| lost(path, last, start, span, help))
}

/// The mistake of a path whose `part` at the byte `start` does not exist. Marks the part, if the path is written plainly.
fn lost(path: &str, part: &str, start: usize, span: Span, help: String) -> Box<Diagnostic> {
    let inside = match path[..start].trim_end_matches('.') {
        "" => "the pipeline".to_owned(),
        parent => format!("`{parent}`"),
    };
    let span = match span.end - span.start == path.len() {
        true => Span { start: span.start + start, end: span.start + start + part.len(), ..span },
        false => span,
    };
    let words = format!("cannot set `{path}`: no `{part}` in {inside}");
    Box::new(Diagnostic::new(&codes::OVERLAY, span, words).help(help))
}

/// The child `part`, or the help for its absence.
fn descend<'a>(node: &'a mut Node, part: &str) -> Result<&'a mut Node, String> {
    let described = node.describe();
    match &mut node.value {
        Value::Map(entries) => match entries.iter().position(|entry| entry.key == part) {
            Some(at) => Ok(&mut entries[at].value),
            None => Err(keys_help(part, entries)),
        },
        Value::Seq(items) => {
            let count = items.len();
            let item = part.parse::<usize>().ok().and_then(|at| items.get_mut(at));
            item.ok_or_else(|| format!("it is a list: use a position from 0 to {}", count.saturating_sub(1)))
        }
        _ => Err(format!("it is {described}, which has no keys")),
    }
}

fn keys_help(part: &str, entries: &[Entry]) -> String {
    help_with_names(part, "keys", &entries.iter().map(|entry| &*entry.key).collect::<Vec<_>>())
}

/// Replaces or adds the child `key`.
fn put(node: &mut Node, key: &str, span: Span, value: Node) -> Result<(), String> {
    if let Ok(child) = descend(node, key) {
        *child = value;
        return Ok(());
    }
    match &mut node.value {
        Value::Map(entries) if !key.is_empty() => {
            entries.push(Entry { key: key.to_owned(), key_span: span, value });
            Ok(())
        }
        _ => descend(node, key).map(|_| ()),
    }
}
