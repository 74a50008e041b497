//! What a log may say of a webhook: where it leads, never how one gets in.
//!
//! The path of a webhook is often its password, and servers like to repeat what they were sent: "Cannot POST
//! /services/T0/B0/…". So a receiver is called by its origin alone, and everything that could be a secret is struck from
//! what it says.

use super::address::Address;
use jarvis_spec::Node;

/// Of a receiver's own words, bytes.
const WORDS: usize = 200;
/// Shorter texts are in everything.
const SHORTEST: usize = 4;
/// Shorter parts of a path say what it is about; longer ones may be a token.
const SHORTEST_PART: usize = 8;

/// Knows what must not be shown.
pub(super) struct Discretion {
    options: Node,
    /// The longest first: a part of a secret must not be struck before the whole of it.
    secrets: Vec<String>,
}

impl Discretion {
    /// `headers` are the values that it sends.
    pub fn new<'h>(options: &Node, address: &Address, headers: impl Iterator<Item = &'h str>) -> Self {
        let sample = address.sample();
        let mut secrets: Vec<String> = headers.map(str::to_owned).collect();
        secrets.extend(sample.password().map(str::to_owned));
        secrets.push(sample.username().to_owned());
        secrets.extend(sample.query().map(str::to_owned));
        secrets.extend(sample.query_pairs().map(|(_, value)| value.into_owned()));
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // As it is written, and as it is sent.
        let parts = address.texts().chain([sample.path()]).flat_map(|text| text.split(['/', '?', '&', '=']));
        secrets.extend(parts.filter(|part| part.len() >= SHORTEST_PART).map(str::to_owned));
        // `Bearer abc` is shown as `abc` too.
        let words: Vec<String> =
            secrets.iter().filter_map(|secret| secret.split_once(' ')).map(|w| w.1.into()).collect();
        secrets.extend(words.into_iter().filter(|word| word.len() >= SHORTEST));
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { options: options.clone(), secrets }
    }

    /// A text of others that may repeat what they were given.
    pub fn strike(&self, text: &str) -> String {
        let mut text = self.options.redacted(text);
        for secret in &self.secrets {
            text = text.replace(secret, "***");
        }
        text
    }

    /// The beginning of an answer, on one line.
    pub fn words(&self, body: &[u8]) -> String {
        let struck = self.strike(&String::from_utf8_lossy(body));
        let line: String = struck.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut line = line.trim();
        line = &line[..line.floor_char_boundary(WORDS)];
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::{DataType, Field, Schema};
    use jarvis_spec::SourceText;

    fn discretion(yaml: &str, url: &str, header: &str) -> Discretion {
        let options = Node::read(&SourceText::new("sink.yaml", yaml), &|_| Some("env-token".to_owned()));
        let options = options.unwrap_or_else(|findings| panic!("{findings}"));
        let schema = Schema::new(vec![Field::new("tool", DataType::Utf8, true)]);
        Discretion::new(&options, &Address::parse(url, &schema).unwrap(), std::iter::once(header))
    }

    #[test]
    fn what_could_be_a_secret_is_struck() {
        let yaml = "{ url: 'https://h/${TOKEN}' }";
        let url = "https://anna:pass1@h.example/v1/T00000000/{tool}-own-token/x?key=qqqq&n=1";
        let discretion = discretion(yaml, url, "Bearer abc.def");
        let said = "anna pass1 h.example/v1/T00000000/t0-own-token/x?key=qqqq&n=1 qqqq abc.def ENV env-token n=1";
        let shown = "*** *** h.example/v1/***/t0***/x?*** *** *** ENV *** n=1";
        assert_eq!(discretion.strike(said), shown);
    }

    #[test]
    fn words_are_one_short_line() {
        let discretion = discretion("{}", "https://h/", "");
        assert_eq!(discretion.words(b"\n no\r\nsuch \x1b[31mhook\xff\n"), "no  such  [31mhook\u{fffd}");
        assert_eq!(discretion.words("ä".repeat(1000).as_bytes()).len(), WORDS);
    }
}
