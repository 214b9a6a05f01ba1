//! What templates written for Python's Jinja expect: functions, `tojson`, methods of texts and maps, how values print.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// The day that templates are told is today, by the letters of `strftime`: 26 July 2024, which templates of Llama 3 fall back
/// to as well.
pub(super) const TODAY: [(char, &str); 13] = [
    ('d', "26"),
    ('e', "26"),
    ('m', "07"),
    ('Y', "2024"),
    ('y', "24"),
    ('b', "Jul"),
    ('B', "July"),
    ('a', "Fri"),
    ('A', "Friday"),
    ('j', "208"),
    ('H', "00"),
    ('M', "00"),
    ('S', "00"),
];

/// An environment that renders as `transformers` does.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Bool => {
            write!(out, "{}", if value.is_true() { "True" } else { "False" }).map_err(Error::from)
        }
        ValueKind::None => write!(out, "None").map_err(Error::from),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(super::raised(message))
    });
    environment.add_function("strftime_now", |format: String| strftime(&format));
    environment.add_filter("tojson", to_json);
    environment.set_unknown_method_callback(method);
    Ok(environment)
}

fn strftime(format: &str) -> String {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let code = letters.by_ref().find(|letter| *letter != '-');
        match code.and_then(|code| TODAY.iter().find(|(known, _)| *known == code)) {
            Some((_, text)) => out.push_str(text),
            None => out.extend(code),
        }
    }
    out
}

/// `json.dumps(value, ensure_ascii=False)`: a space after each comma and colon, keys in their order.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // The others only say what holds anyway.
    for key in ["ensure_ascii", "separators", "sort_keys"] {
        let _: Option<Value> = options.get(key)?;
    }
    options.assert_all_used()?;
    let mut out = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width);
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    };
    written.map_err(|error| super::raised(format!("cannot write a value as JSON: {error}")))?;
    String::from_utf8(out).map_err(|error| super::raised(error.to_string()))
}

/// JSON on one line with spaces where Python puts them.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

/// Python's methods of texts and maps.
fn method(_: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => method_of_text(text, name, args),
        (None, ValueKind::Map) => method_of_map(value, name, args),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::UnknownMethod, format!("no method `{name}`"))
}

fn method_of_text(text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let goes = |c: char| chars.map_or(c.is_whitespace(), |chars| chars.contains(c));
            let text = if name == "rstrip" { text } else { text.trim_start_matches(goes) };
            if name == "lstrip" { text.into() } else { text.trim_end_matches(goes).into() }
        }
        "split" | "rsplit" => {
            let (by, most): (Option<&str>, Option<i64>) = from_args(args)?;
            let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1) + 1;
            split(text, by, most, name == "rsplit")
        }
        "splitlines" => {
            let () = from_args(args)?;
            text.lines().map(Value::from).collect()
        }
        "startswith" | "endswith" => {
            let (affixes,): (Value,) = from_args(args)?;
            let has = |affix: &str| {
                if name == "startswith" { text.starts_with(affix) } else { text.ends_with(affix) }
            };
            match affixes.as_str() {
                Some(affix) => has(affix).into(),
                None => affixes.try_iter()?.any(|affix| affix.as_str().is_some_and(has)).into(),
            }
        }
        "removeprefix" => text.strip_prefix(from_args::<(&str,)>(args)?.0).unwrap_or(text).into(),
        "removesuffix" => text.strip_suffix(from_args::<(&str,)>(args)?.0).unwrap_or(text).into(),
        "replace" => {
            let (from, to, most): (&str, &str, Option<usize>) = from_args(args)?;
            most.map_or_else(|| text.replace(from, to), |most| text.replacen(from, to, most)).into()
        }
        "find" | "rfind" => {
            let (part,): (&str,) = from_args(args)?;
            let at = if name == "find" { text.find(part) } else { text.rfind(part) };
            at.map_or(-1, |at| text[..at].chars().count() as i64).into()
        }
        "count" => text.matches(from_args::<(&str,)>(args)?.0).count().into(),
        "join" => {
            let (parts,): (Value,) = from_args(args)?;
            let parts: Vec<String> = parts.try_iter()?.map(|part| part.to_string()).collect();
            parts.join(text).into()
        }
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "capitalize" => capitalised(text).into(),
        "title" => text.split_inclusive(char::is_whitespace).map(capitalised).collect::<String>().into(),
        "isdigit" => (!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())).into(),
        "isspace" => (!text.is_empty() && text.chars().all(char::is_whitespace)).into(),
        _ => return Err(unknown(name)),
    })
}

fn split(text: &str, by: Option<&str>, most: usize, from_the_right: bool) -> Value {
    let Some(by) = by else { return text.split_whitespace().map(Value::from).collect() };
    if !from_the_right {
        return text.splitn(most, by).map(Value::from).collect();
    }
    let mut parts: Vec<&str> = text.rsplitn(most, by).collect();
    parts.reverse();
    parts.into_iter().map(Value::from).collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters.as_str().to_lowercase().chars()).collect()
    })
}

fn method_of_map(map: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if name == "get" {
        let (key, default): (Value, Option<Value>) = from_args(args)?;
        let found = map.get_item(&key)?;
        return Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found });
    }
    let () = from_args(args)?;
    let keys = map.try_iter()?;
    match name {
        "keys" => Ok(keys.collect()),
        "values" => keys.map(|key| map.get_item(&key)).collect(),
        "items" => keys
            .map(|key| Ok(Value::from(vec![key.clone(), map.get_item(&key)?])))
            .collect::<Result<_, Error>>(),
        _ => Err(unknown(name)),
    }
}
