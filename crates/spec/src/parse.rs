//! YAML text to the spanned tree. Mistakes that leave a tree are collected; a syntax error ends the reading.
//!
//! Aliases are replaced by copies of what they name and `<<` merges maps, both under a bound, so that no later reader
//! has to know of them. Bounds on depth and copies keep a hostile file from costing more than its size.

mod map;
mod places;

use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use map::{Key, OpenMap};
use places::Places;

use crate::scalar::{NotANumber, resolve};
use crate::{Diagnostic, Node, SourceId, Sources, Span, Value, codes};

/// Lists and maps may be nested this deep.
const MAX_DEPTH: usize = 64;
/// Nodes that all aliases of a text together may stand for.
const MAX_COPIES: usize = 100_000;

/// The tree of a source, or of a part of it, and its mistakes. There is no tree after a syntax error.
pub(crate) fn parse(sources: &Sources, id: SourceId, part: Range<usize>) -> (Option<Node>, Vec<Diagnostic>) {
    let text = &sources.get(id).text[part.clone()];
    let places = Places::new(id, part.start, text);
    let mut builder = Builder::new(places);
    let mut parser = Parser::new_from_str(text);
    let complete = loop {
        match parser.next_event() {
            None => break true,
            Some(Err(error)) => {
                builder.syntax_error(&error, text);
                break false;
            }
            Some(Ok((event, span))) => {
                let span = builder.places.span(span);
                if builder.event(event, span, text).is_none() {
                    break false;
                }
            }
        }
    };
    let empty = Node::new(Span { source: id, start: part.start, end: part.start }, Value::Null);
    (complete.then(|| builder.root.unwrap_or(empty)), builder.diagnostics)
}

/// A collection that is still open.
struct Open {
    span: Span,
    anchor: usize,
    /// Whether it is written in braces or brackets, so that its end is marked.
    flow: bool,
    kind: OpenKind,
}

enum OpenKind {
    Seq(Vec<Node>),
    Map(OpenMap),
}

/// Makes nodes of events.
struct Builder {
    places: Places,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    copies: usize,
    root: Option<Node>,
    diagnostics: Vec<Diagnostic>,
}

impl Builder {
    fn new(places: Places) -> Self {
        let (open, anchors, diagnostics) = (Vec::new(), HashMap::new(), Vec::new());
        Self { places, open, anchors, copies: 0, root: None, diagnostics }
    }

    /// Takes one event; `None` when there is no point in reading on.
    fn event(&mut self, event: Event<'_>, span: Span, text: &str) -> Option<()> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let words = "expected one document, found a second one after `---`";
                self.report(Diagnostic::new(&codes::DOCUMENTS, span, words));
                None
            }
            Event::Scalar(words, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.scalar(&words, style, anchor, span);
                Some(())
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.start(OpenKind::Seq(Vec::new()), anchor, span, text)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.start(OpenKind::Map(OpenMap::default()), anchor, span, text)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end(span);
                Some(())
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Some(()),
        }
    }

    fn scalar(&mut self, words: &str, style: ScalarStyle, anchor: usize, span: Span) {
        let plain = style == ScalarStyle::Plain;
        let value = match resolve(words) {
            _ if !plain => Value::Text(words.to_owned()),
            Ok(value) => value,
            Err(_) if self.awaits_key() => Value::Text(words.to_owned()),
            Err(NotANumber(why)) => {
                let diagnostic =
                    Diagnostic::new(&codes::NUMBER, span, format!("`{words}` cannot be read: {why}"));
                self.report(diagnostic.help(format!("quote it if it is text: \"{words}\"")));
                Value::Null
            }
        };
        let node = Node::new(span, value);
        self.remember(anchor, &node);
        match self.open.last_mut().map(|open| &mut open.kind) {
            Some(OpenKind::Map(map)) if matches!(map.key, Key::Awaited) => self.key(words, plain, span),
            _ => self.put(node),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last().map(|open| &open.kind),
            Some(OpenKind::Map(OpenMap { key: Key::Awaited, .. }))
        )
    }

    fn key(&mut self, words: &str, plain: bool, span: Span) {
        let key = match words {
            "" if plain => {
                self.report(Diagnostic::new(&codes::KEY, span, "expected a key before `:`, found nothing"));
                Key::Refused
            }
            "<<" if plain => Key::Merge,
            _ => Key::Named(words.to_owned(), span),
        };
        if let Some(OpenKind::Map(map)) = self.open.last_mut().map(|open| &mut open.kind) {
            map.key = key;
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            self.report(Diagnostic::new(&codes::ALIAS, span, "an alias stands inside what it names"));
            return None;
        };
        let (size, height) = extent(node);
        self.copies += size;
        if self.copies > MAX_COPIES {
            let words = format!("aliases stand for more than {MAX_COPIES} values");
            self.report(Diagnostic::new(&codes::ALIAS, span, words));
            return None;
        }
        if self.open.len() + height > MAX_DEPTH {
            return self.too_deep(span);
        }
        let node = node.clone();
        self.put(node);
        Some(())
    }

    fn start(&mut self, kind: OpenKind, anchor: usize, span: Span, text: &str) -> Option<()> {
        if self.open.len() >= MAX_DEPTH {
            return self.too_deep(span);
        }
        let flow = text[..span.end - self.places.base].ends_with(['{', '[']) && span.end > span.start;
        self.open.push(Open { span, anchor, flow, kind });
        Some(())
    }

    fn too_deep(&mut self, span: Span) -> Option<()> {
        let words = format!("expected at most {MAX_DEPTH} levels of lists and maps");
        self.report(Diagnostic::new(&codes::DEPTH, span, words));
        None
    }

    fn end(&mut self, end: Span) {
        let open = self.open.pop().expect("the parser ends only what it started");
        let value = match open.kind {
            OpenKind::Seq(items) => Value::Seq(items),
            OpenKind::Map(map) => Value::Map(map.finish()),
        };
        let span = if open.flow { open.span.to(end) } else { inner_span(&value).unwrap_or(open.span) };
        let node = Node::new(span, value);
        self.remember(open.anchor, &node);
        self.put(node);
    }

    fn remember(&mut self, anchor: usize, node: &Node) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        let refused = match &mut open.kind {
            OpenKind::Seq(items) => {
                items.push(node);
                None
            }
            OpenKind::Map(map) => map.put(node),
        };
        self.diagnostics.extend(refused);
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let diagnostic = Diagnostic::new(&codes::TAG, span, "tags (`!…`) have no meaning here");
            self.report(diagnostic.help("remove the tag; quote a value to make it text"));
        }
    }

    fn syntax_error(&mut self, error: &ScanError, text: &str) {
        let at = self.places.at(*error.marker());
        let span = Span { source: self.places.source, start: at, end: at };
        let diagnostic = Diagnostic::new(&codes::SYNTAX, span, format!("invalid YAML: {}", error.info()));
        let before = &text[..at - self.places.base];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let rest = text[before.len()..].lines().next().unwrap_or_default();
        let indented_by_tab = line.trim_start_matches(' ').starts_with('\t')
            || (line.trim().is_empty() && rest.trim_start_matches(' ').starts_with('\t'));
        let is = |words: &str| error.info().contains(words);
        let help = match indented_by_tab {
            true => Some("indent with spaces: YAML does not take tabs there"),
            false if is("mapping values are not allowed") => Some("quote a value that holds `: `"),
            false if is("unknown anchor") => Some("quote a value that begins with `*`"),
            false => None,
        };
        self.report(Diagnostic { help: help.map(str::to_owned), ..diagnostic });
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}

/// From the first to the last entry of a block collection.
fn inner_span(value: &Value) -> Option<Span> {
    match value {
        Value::Seq(items) => Some(items.first()?.span.to(items.last()?.span)),
        Value::Map(entries) => Some(entries.first()?.key_span.to(entries.last()?.value.span)),
        _ => None,
    }
}

/// Number of nodes and of levels.
fn extent(node: &Node) -> (usize, usize) {
    let of = |children: &mut dyn Iterator<Item = &Node>| {
        let (size, height) =
            children.map(extent).fold((0, 0), |(size, height), child| (size + child.0, height.max(child.1)));
        (size + 1, height + 1)
    };
    match &node.value {
        Value::Seq(items) => of(&mut items.iter()),
        Value::Map(entries) => of(&mut entries.iter().map(|entry| &entry.value)),
        _ => (1, 0),
    }
}
