//! Reading JSON of servers that leave fields out, send `null`, or write numbers as text.

use serde_json::Value;

/// Of what is kept: items, and bytes.
const LONGEST_LIST: usize = 64;
const LONGEST_TEXT: usize = 4096;

/// The value at a JSON pointer (RFC 6901), unless it is `null`.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    value.pointer(pointer).filter(|value| !value.is_null())
}

pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    at(value, pointer)?.as_str().filter(|text| !text.is_empty())
}

/// A finite number, or one written as text.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<f64> {
    let number = match at(value, pointer)? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

pub(crate) fn whole(value: &Value, pointer: &str) -> Option<u64> {
    // Beyond 2^53 a float is no longer exact; no size of a file and no counter comes near.
    number(value, pointer).filter(|number| (0.0..=9e15).contains(number)).map(|number| number as u64)
}

pub(crate) fn small(value: &Value, pointer: &str) -> Option<u32> {
    whole(value, pointer).and_then(|number| u32::try_from(number).ok())
}

pub(crate) fn flag(value: &Value, pointer: &str) -> Option<bool> {
    at(value, pointer)?.as_bool()
}

/// Keeps the fields with these names, at every depth. A printer may say whatever it likes for as long as it likes: what
/// is remembered of it must not grow with that.
pub(crate) fn keep(value: &mut Value, is_wanted: &impl Fn(&str) -> bool) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| is_wanted(name));
            fields.values_mut().for_each(|field| keep(field, is_wanted));
        }
        Value::Array(items) => {
            items.truncate(LONGEST_LIST);
            items.iter_mut().for_each(|item| keep(item, is_wanted));
        }
        Value::String(text) => cut(text),
        _ => {}
    }
}

fn cut(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        let end = (0..=LONGEST_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
}

/// Lays `change` over `state`: objects field by field, everything else as a whole.
pub(crate) fn merge(state: &mut Value, change: Value) {
    match (state, change) {
        (Value::Object(state), Value::Object(change)) => {
            for (name, value) in change {
                merge(state.entry(name).or_insert(Value::Null), value);
            }
        }
        (state, change) => *state = change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_is_nothing() {
        let value = json!({"a": null, "b": "3.5", "c": "", "d": -1, "e": true});
        assert_eq!(number(&value, "/a"), None);
        assert_eq!(number(&value, "/b"), Some(3.5));
        assert_eq!(text(&value, "/c"), None);
        assert_eq!(whole(&value, "/d"), None);
        assert_eq!(flag(&value, "/e"), Some(true));
        assert_eq!(flag(&value, "/e/f"), None);
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        let mut said = json!({"a": {"b": 1, "x": 2}, "x": {"a": 1}, "b": ["é".repeat(LONGEST_TEXT), {"x": 1, "a": 2}]});
        keep(&mut said, &|name| ["a", "b"].contains(&name));
        assert_eq!((&said["a"], &said["x"], &said["b"][1]), (&json!({"b": 1}), &Value::Null, &json!({"a": 2})));
        assert_eq!(text(&said, "/b/0").map(str::len), Some(LONGEST_TEXT));
        let mut long = json!(vec![0; 1000]);
        keep(&mut long, &|_| true);
        assert_eq!(long.as_array().map(Vec::len), Some(LONGEST_LIST));
    }

    #[test]
    fn a_change_leaves_the_rest_as_it_was() {
        let mut state = json!({"print": {"state": "printing", "info": {"layer": 1}}, "fan": 1});
        merge(&mut state, json!({"print": {"info": {"layer": 2}}, "fan": {"speed": 0.5}}));
        assert_eq!(state, json!({"print": {"state": "printing", "info": {"layer": 2}}, "fan": {"speed": 0.5}}));
    }
}
