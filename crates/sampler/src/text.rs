//! Text of drawn tokens, and the watch for stop texts across token borders.

use std::sync::OnceLock;

use flow_model::Tokenizer;

use crate::Error;
use crate::request::Prompt;

/// Decodes tokens as the continuation of a prompt.
pub(crate) struct Decoder {
    /// `None`: prompts are token ids, and completions have no text.
    tokenizer: Option<Tokenizer>,
    vocab: usize,
    /// See [`Decoder::piece`]; made when the first request with a stop text comes.
    pieces: OnceLock<Vec<Option<Box<str>>>>,
}

impl Decoder {
    pub(crate) fn new(tokenizer: Option<Tokenizer>, vocab: usize) -> Self {
        Self { tokenizer, vocab, pieces: OnceLock::new() }
    }

    /// The tokens that `prompt` begins a sequence with.
    pub(crate) fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        match prompt {
            Prompt::Text(text) => Ok(self.tokenizer()?.encode(text)?),
            Prompt::Rendered(_) | Prompt::Tokens(_) => self.encode_continuation(prompt),
        }
    }

    /// The tokens of `text`, to be put after others.
    pub(crate) fn encode_continuation(&self, text: &Prompt) -> Result<Vec<u32>, Error> {
        match text {
            Prompt::Text(text) | Prompt::Rendered(text) => Ok(self.tokenizer()?.encode_continuation(text)?),
            Prompt::Tokens(tokens) => Ok(tokens.clone()),
        }
    }

    /// Errs where prompts can only be token ids.
    pub(crate) fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.tokenizer.as_ref().ok_or(Error::NoTokenizer)
    }

    /// The text of `tokens` after a prompt that ends with the token `before`. Decoders drop a leading space at the
    /// beginning of a text, so `before` is decoded along and its text removed.
    pub(crate) fn text(&self, before: u32, tokens: &[u32]) -> Result<String, Error> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(String::new()) };
        let all: Vec<u32> = std::iter::once(before).chain(tokens.iter().copied()).collect();
        let (start, text) = (tokenizer.decode(&all[..1])?, tokenizer.decode(&all)?);
        match text.strip_prefix(&start) {
            Some(rest) => Ok(rest.to_owned()),
            // The prompt ends within a character; its bytes are not part of the completion.
            None => Ok(tokenizer.decode(tokens)?),
        }
    }

    /// What one token adds to a text; `None` where that depends on its neighbours (parts of a character).
    fn piece(&self, token: u32) -> Option<&str> {
        let pieces = self.pieces.get_or_init(|| (0..self.vocab as u32).map(|t| self.find_piece(t)).collect());
        pieces[token as usize].as_deref()
    }

    fn find_piece(&self, token: u32) -> Option<Box<str>> {
        let tokenizer = self.tokenizer.as_ref()?;
        let (once, twice) = (tokenizer.decode(&[token]).ok()?, tokenizer.decode(&[token, token]).ok()?);
        let piece = twice.strip_prefix(&once)?;
        (!piece.contains(char::REPLACEMENT_CHARACTER)).then(|| piece.into())
    }
}

/// Watches one completion for its stop texts. Looking at the pieces of tokens is cheap and never misses; only when
/// they look like a stop text is the whole completion decoded.
#[derive(Default)]
pub(crate) struct Watch {
    /// The last bytes a stop text could begin in; U+FFFD stands for what is not known yet.
    tail: String,
}

impl Watch {
    /// To be called after each token, which is the last of `tokens`. The text up to the first stop text, once there
    /// is one.
    pub(crate) fn cut(
        &mut self,
        decoder: &Decoder,
        stops: &[String],
        before: u32,
        tokens: &[u32],
    ) -> Result<Option<String>, Error> {
        let Some(longest) = stops.iter().map(String::len).max().filter(|&len| len > 0) else {
            return Ok(None);
        };
        let Some(&token) = tokens.last() else { return Ok(None) };
        self.tail.push_str(decoder.piece(token).unwrap_or("\u{fffd}"));
        let stops = || stops.iter().filter(|stop| !stop.is_empty());
        let suspect = self.tail.contains(char::REPLACEMENT_CHARACTER)
            || stops().any(|stop| self.tail.contains(&**stop));
        let text = if suspect { Some(decoder.text(before, tokens)?) } else { None };
        self.tail.drain(..self.tail.floor_char_boundary((self.tail.len() + 1).saturating_sub(longest)));
        let cut = text.and_then(|text| {
            let end = stops().filter_map(|stop| text.find(&**stop)).min()?;
            Some(text[..end].to_owned())
        });
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder() -> Decoder {
        let texts = ["the cat sat on the mat. the end", "#### 12\nQuestion: the", "naïve café é"];
        let tokenizer = Tokenizer::train_byte_bpe(&texts, 290, &["<eos>"]).unwrap();
        let vocab = tokenizer.vocab_size();
        Decoder::new(Some(tokenizer), vocab)
    }

    /// Feeds `text` token by token (its characters one by one); the cut and how many tokens it took.
    fn watched(decoder: &Decoder, text: &str, stops: &[&str]) -> Option<(String, usize)> {
        let stops: Vec<String> = stops.iter().map(|&s| s.into()).collect();
        let tokens = decoder.tokenizer.as_ref().unwrap().encode_continuation(text).unwrap();
        let before = decoder.tokenizer.as_ref().unwrap().encode_continuation("x").unwrap()[0];
        let mut watch = Watch::default();
        (1..=tokens.len()).find_map(|n| {
            let cut = watch.cut(decoder, &stops, before, &tokens[..n]).unwrap();
            cut.map(|text| (text, n))
        })
    }

    #[test]
    fn a_stop_text_is_found_across_tokens_and_cut_with_what_follows() {
        let d = decoder();
        for (text, stops, expected) in [
            ("the cat. Question: next", &["\nQuestion", " Question:"][..], Some("the cat.")),
            ("the cat sat on the mat", &["t on t"], Some("the cat sa")),
            ("the cat", &["dog", ""], None),
            ("the cat", &[""], None),
            ("the end the end", &["end", "the"], Some("")),
            ("un café, un thé", &["é,"], Some("un caf")),
            ("日本語の文", &["の"], Some("日本語")),
            ("aaaaaab", &["aab"], Some("aaaa")),
        ] {
            let found = watched(&d, text, stops);
            assert_eq!(found.as_ref().map(|(text, _)| &**text), expected, "{text} {stops:?}");
        }
    }

    #[test]
    fn the_watch_ends_at_the_first_token_that_completes_a_stop_text() {
        let d = decoder();
        let text = "the cat sat on the mat. the end and more";
        let tokens = d.tokenizer.as_ref().unwrap().encode_continuation(text).unwrap();
        let first = (1..=tokens.len()).find(|&n| d.text(0, &tokens[..n]).unwrap().contains("mat.")).unwrap();
        assert_eq!(watched(&d, text, &["mat."]), Some(("the cat sat on the ".into(), first)));
    }

    #[test]
    fn text_after_a_prompt_that_ends_inside_a_character_is_the_tokens_own() {
        let d = decoder();
        let tokens = d.tokenizer.as_ref().unwrap().encode_continuation("日x").unwrap();
        assert_eq!(d.text(tokens[0], &tokens[3..]).unwrap(), "x");
    }
}
