//! The page: sections of charts, tables and examples, written as HTML with everything in it.

use std::fmt::Write;

use flow_chart::{STYLE, Svg, escaped, percent};

/// How every report begins.
pub(super) const START: &str = "<!doctype html>";

/// One HTML file.
pub(super) struct Page {
    title: String,
    lead: Vec<Block>,
    sections: Vec<(&'static str, Vec<Block>)>,
}

/// A part of a section.
pub(super) enum Block {
    /// A sentence.
    Note(String),
    /// Figures worth a large type, each with what it counts.
    Tiles(Vec<(String, String)>),
    /// A chart.
    Chart(Svg),
    /// A table. Cells of numbers stand to the right.
    Table { caption: String, head: Vec<String>, rows: Vec<Vec<String>> },
    /// A table of shares from 0 to 1 whose cells are coloured by them; a share that is not there stays empty.
    Heat { caption: String, head: Vec<String>, rows: Vec<(String, Vec<Option<f64>>)> },
    /// Rows in full: what each is, and its texts by name.
    Examples { caption: String, rows: Vec<(String, Vec<(String, String)>)> },
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), lead: Vec::new(), sections: Vec::new() }
    }

    pub(super) fn lead(&mut self, blocks: Vec<Block>) {
        self.lead = blocks;
    }

    /// Adds a section, if there is anything to show in it.
    pub(super) fn section(&mut self, title: &'static str, blocks: Vec<Block>) {
        if !blocks.is_empty() {
            self.sections.push((title, blocks));
        }
    }

    /// The whole file.
    pub(super) fn html(&self) -> String {
        let mut html = String::new();
        self.write(&mut html).expect("writing to a string cannot fail");
        html
    }

    fn write(&self, html: &mut String) -> std::fmt::Result {
        let title = escaped(&self.title);
        let style = include_str!("style.css");
        writeln!(html, "{START}\n<html lang=\"en\">\n<meta charset=\"utf-8\">")?;
        writeln!(html, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
        writeln!(html, "<title>{title}</title>\n<style>\n{STYLE}{style}</style>\n<main>\n<h1>{title}</h1>")?;
        for block in &self.lead {
            block.write(html)?;
        }
        writeln!(html, "<nav>")?;
        for (at, (title, _)) in self.sections.iter().enumerate() {
            writeln!(html, "<a href=\"#s{at}\">{title}</a>")?;
        }
        writeln!(html, "</nav>")?;
        for (at, (title, blocks)) in self.sections.iter().enumerate() {
            writeln!(html, "<section id=\"s{at}\">\n<h2>{title}</h2>")?;
            for block in blocks {
                block.write(html)?;
            }
            writeln!(html, "</section>")?;
        }
        writeln!(html, "</main>\n</html>")
    }
}

impl Block {
    fn write(&self, html: &mut String) -> std::fmt::Result {
        match self {
            Block::Note(text) => writeln!(html, "<p>{}</p>", escaped(text)),
            Block::Tiles(tiles) => write_tiles(html, tiles),
            Block::Chart(svg) => write_chart(html, svg),
            Block::Table { caption, head, rows } => write_table(html, caption, head, rows),
            Block::Heat { caption, head, rows } => write_heat(html, caption, head, rows),
            Block::Examples { caption, rows } => write_examples(html, caption, rows),
        }
    }
}

fn write_chart(html: &mut String, svg: &Svg) -> std::fmt::Result {
    let (caption, svg) = (escaped(svg.caption()), svg.inline());
    writeln!(html, "<figure><figcaption>{caption}</figcaption>\n{svg}</figure>")
}

fn write_tiles(html: &mut String, tiles: &[(String, String)]) -> std::fmt::Result {
    writeln!(html, "<div class=\"tiles\">")?;
    for (figure, what) in tiles {
        writeln!(html, "<div><b>{}</b>{}</div>", escaped(figure), escaped(what))?;
    }
    writeln!(html, "</div>")
}

fn write_head(html: &mut String, class: &str, caption: &str, head: &[String]) -> std::fmt::Result {
    writeln!(
        html,
        "<div class=\"wide\"><table class=\"{class}\"><caption>{}</caption>\n<tr>",
        escaped(caption)
    )?;
    for cell in head {
        write!(html, "<th>{}</th>", escaped(cell))?;
    }
    writeln!(html, "</tr>")
}

fn write_table(html: &mut String, caption: &str, head: &[String], rows: &[Vec<String>]) -> std::fmt::Result {
    write_head(html, "plain", caption, head)?;
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let class = if is_number(cell) { " class=\"n\"" } else { "" };
            write!(html, "<td{class}>{}</td>", escaped(cell))?;
        }
        html.push_str("</tr>\n");
    }
    writeln!(html, "</table></div>")
}

fn is_number(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
        && cell.contains(|c: char| c.is_ascii_digit())
        && cell.chars().all(|c| c.is_ascii_digit() || "+-., %".contains(c))
}

fn write_heat(
    html: &mut String,
    caption: &str,
    head: &[String],
    rows: &[(String, Vec<Option<f64>>)],
) -> std::fmt::Result {
    write_head(html, "heat", caption, head)?;
    let most = rows.iter().flat_map(|(_, shares)| shares.iter().flatten()).copied().fold(0.0, f64::max);
    for (name, shares) in rows {
        write!(html, "<tr><th>{}</th>", escaped(name))?;
        for share in shares {
            match share {
                // Dark cells get light figures.
                Some(share) => {
                    let strength = if most > 0.0 { share / most } else { 0.0 };
                    let class = if strength > 0.6 { " class=\"strong\"" } else { "" };
                    write!(
                        html,
                        "<td{class} style=\"--share:{:.0}%\">{}</td>",
                        strength * 100.0,
                        percent(*share)
                    )?;
                }
                None => html.push_str("<td></td>"),
            }
        }
        html.push_str("</tr>\n");
    }
    writeln!(html, "</table></div>")
}

fn write_examples(
    html: &mut String,
    caption: &str,
    rows: &[(String, Vec<(String, String)>)],
) -> std::fmt::Result {
    writeln!(html, "<h3>{}</h3>", escaped(caption))?;
    for (what, texts) in rows {
        writeln!(html, "<details><summary>{}</summary><dl>", escaped(what))?;
        for (name, text) in texts {
            writeln!(html, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(text))?;
        }
        writeln!(html, "</dl></details>")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_model_wrote_becomes_markup() {
        let mut page = Page::new("a <b>");
        let texts = vec![("completion".to_owned(), "<script>alert(\"x\")</script> & so on".to_owned())];
        page.section(
            "S",
            vec![Block::Examples { caption: "<i>".to_owned(), rows: vec![("<u>".to_owned(), texts)] }],
        );
        let html = page.html();
        for tag in ["<script", "<i>", "<u>", "<b>"] {
            assert!(!html.contains(tag), "{tag}");
        }
        assert!(html.contains("&lt;script&gt;alert(&quot;x&quot;)"));
    }

    #[test]
    fn shares_are_told_in_two_or_three_figures() {
        assert_eq!([0.0, 0.001, 0.0994, 0.0996, 1.0].map(percent), ["0", "0.1 %", "9.9 %", "10 %", "100 %"]);
        assert!(is_number("1,234") && is_number("+26.1 %") && !is_number("graded") && !is_number("-"));
    }
}
