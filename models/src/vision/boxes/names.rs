//! The names of classes that an export has noted in its file.

/// Of Python's way to write a dictionary or list of texts, `{0: 'person', 1: "dog's"}`, in the order of the keys.
/// `None`: it is nothing like that, or keys are missing.
pub fn noted(text: &str) -> Option<Vec<String>> {
    let mut named: Vec<(usize, String)> = vec![];
    let mut key = String::new();
    let mut rest = text.trim().chars();
    while let Some(next) = rest.next() {
        match next {
            '0'..='9' => key.push(next),
            '\'' | '"' => {
                let name = quoted(&mut rest, next)?;
                let place = if key.is_empty() { named.len() } else { key.parse().ok()? };
                key.clear();
                named.push((place, name));
            }
            '{' | '}' | '[' | ']' | ':' | ',' | ' ' => {}
            _ => return None,
        }
    }
    named.sort();
    let is_whole = !named.is_empty() && named.iter().enumerate().all(|(at, (place, _))| at == *place);
    is_whole.then(|| named.into_iter().map(|(_, name)| name).collect())
}

/// The rest of a text up to its closing quote.
fn quoted(rest: &mut impl Iterator<Item = char>, quote: char) -> Option<String> {
    let mut text = String::new();
    loop {
        match rest.next()? {
            '\\' => text.push(rest.next()?),
            end if end == quote => return Some(text),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_python_writes_them() {
        assert_eq!(noted("{0: 'spaghetti', 1: \"dog's\"}").unwrap(), ["spaghetti", "dog's"]);
        assert_eq!(noted("{1: 'b', 0: 'a\\'s, {1: 2}'}").unwrap(), ["a's, {1: 2}", "b"]);
        assert_eq!(noted("['a', 'b']").unwrap(), ["a", "b"]);
        assert_eq!(noted("{0: 'a', 2: 'c'}"), None);
        assert_eq!(noted("{0: 'a"), None);
        assert_eq!(noted("person"), None);
        assert_eq!(noted(""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[{}0-9:', \"\\\\a]{0,40}") {
            if let Some(names) = noted(&text) {
                prop_assert!(!names.is_empty());
            }
        }
    }
}
