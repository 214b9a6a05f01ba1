//! Diagnostics as text with excerpts, in the manner of rustc, and as JSON.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use crate::{Diagnostic, Source, Sources, Span};

/// Characters of a line that are shown.
const WIDTH: usize = 100;
/// Characters kept before the mark when a line is cut.
const LEAD: usize = 30;
const TAB: &str = "    ";

/// Plain text, several lines, the last one ended.
pub fn render(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let spans = std::iter::once(diagnostic.span).chain(diagnostic.related.iter().map(|(span, _)| *span));
    let lines = spans.map(|span| sources.get(span.source).place(span.start).0);
    let margin = lines.max().map_or(1, |line| line.to_string().len());
    let mut out = format!("{}[{}]: {}\n", diagnostic.severity.word(), diagnostic.code, diagnostic.message);
    let label = diagnostic.label.as_deref().unwrap_or_default();
    push_excerpt(&mut out, "-->", '^', sources, diagnostic.span, label, margin);
    for (span, words) in &diagnostic.related {
        push_excerpt(&mut out, ":::", '-', sources, *span, words, margin);
    }
    if let Some(help) = &diagnostic.help {
        push(&mut out, format_args!("{:margin$} = help: {help}", ""));
    }
    out
}

/// One JSON object: words, file, 1-based line and column, byte range.
pub fn to_json(diagnostic: &Diagnostic, sources: &Sources) -> Json {
    let related = diagnostic.related.iter().map(|(span, words)| {
        let mut place = place_json(sources, *span);
        place["message"] = json!(words);
        place
    });
    let mut object = place_json(sources, diagnostic.span);
    object["severity"] = json!(diagnostic.severity.word());
    object["code"] = json!(diagnostic.code);
    object["message"] = json!(diagnostic.message);
    object["label"] = json!(diagnostic.label);
    object["help"] = json!(diagnostic.help);
    object["related"] = related.collect();
    object
}

fn place_json(sources: &Sources, span: Span) -> Json {
    let source = sources.get(span.source);
    let ((line, column), (end_line, end_column)) = (source.place(span.start), source.place(span.end));
    json!({
        "file": source.name, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
        "start": span.start, "end": span.end,
    })
}

/// The place, the line it is in, and a mark under it with `words`.
fn push_excerpt(
    out: &mut String,
    arrow: &str,
    mark: char,
    sources: &Sources,
    span: Span,
    words: &str,
    margin: usize,
) {
    let source = sources.get(span.source);
    let (line, column) = source.place(span.start);
    let (before, marked, after) = window(source, span);
    let (before, after) = (visible(&before), visible(&after));
    let shown = visible(&marked);
    let indent = before.chars().count();
    let marks: String = std::iter::repeat_n(mark, shown.chars().count().max(1)).collect();
    push(out, format_args!("{:margin$}{arrow} {}:{line}:{column}", "", source.name));
    push(out, format_args!("{:margin$} |", ""));
    push(out, format_args!("{line:margin$} | {before}{shown}{after}"));
    push(out, format_args!("{:margin$} | {:indent$}{marks} {words}", "", ""));
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    let start = out.len();
    write!(out, "{line}").expect("writing to a string cannot fail");
    out.truncate(start + out[start..].trim_end().len());
    out.push('\n');
}

/// The first line of the span in three parts: before, marked, after; cut to [`WIDTH`] characters around the mark.
fn window(source: &Source, span: Span) -> (String, String, String) {
    let line = source.line_range(source.line_of(span.start));
    let start = span.start.clamp(line.start, line.end);
    let end = span.end.clamp(start, line.end);
    let before: Vec<char> = source.text[line.start..start].chars().collect();
    let mut marked: Vec<char> = source.text[start..end].chars().collect();
    let mut after: Vec<char> = source.text[end..line.end].chars().collect();
    let total = before.len() + marked.len() + after.len();
    let skipped = if total > WIDTH && before.len() > LEAD { before.len() - LEAD } else { 0 };
    let before: String =
        (if skipped > 0 { "…" } else { "" }).chars().chain(before[skipped..].iter().copied()).collect();
    let room = WIDTH.saturating_sub(before.chars().count());
    let cut = marked.len() + after.len() > room;
    marked.truncate(room);
    after.truncate(room - marked.len());
    let ending = if cut { "…" } else { "" };
    (before, marked.into_iter().collect(), after.into_iter().chain(ending.chars()).collect())
}

/// The text with tabs widened and other control characters replaced, so that it takes the columns it seems to take.
fn visible(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\t' => out.push_str(TAB),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        out
    })
}
