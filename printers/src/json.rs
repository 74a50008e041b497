//! Reading JSON of servers that leave fields out, send `null`, or write numbers as text.

use serde_json::Value;

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
    fn a_change_leaves_the_rest_as_it_was() {
        let mut state = json!({"print": {"state": "printing", "info": {"layer": 1}}, "fan": 1});
        merge(&mut state, json!({"print": {"info": {"layer": 2}}, "fan": {"speed": 0.5}}));
        assert_eq!(state, json!({"print": {"state": "printing", "info": {"layer": 2}}, "fan": {"speed": 0.5}}));
    }
}
