//! A drawing, and how it stands in a page or in a file.

/// Colours and strokes of all charts; a page with [`Svg::inline`] drawings has it once.
pub const STYLE: &str = include_str!("style.css");

/// Colours that the style has.
const N_COLOURS: usize = 8;

/// A drawing. Its units are pixels at its natural size.
#[derive(Clone, Debug, PartialEq)]
pub struct Svg {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) caption: String,
    pub(crate) body: String,
}

impl Svg {
    /// The element, for a page that has [`STYLE`].
    #[must_use]
    pub fn inline(&self) -> String {
        format!("<svg {}>\n{}</svg>\n", self.attributes(), self.body)
    }

    /// A whole file.
    #[must_use]
    pub fn file(&self) -> String {
        let attributes = self.attributes();
        let size = format!("width=\"{}\" height=\"{}\"", self.width, self.height);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" {size} {attributes}>\n<style>\n{STYLE}</style>\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            self.body
        )
    }

    /// What it shows.
    #[must_use]
    pub fn caption(&self) -> &str {
        &self.caption
    }

    fn attributes(&self) -> String {
        let Self { width, height, caption, .. } = self;
        format!("viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\"", escaped(caption))
    }
}

/// The colour of the line or dot at `at`.
pub(crate) fn colour(at: usize) -> String {
    format!("var(--c{})", at % N_COLOURS)
}

/// Text as HTML and SVG show it.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
