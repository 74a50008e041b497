//! The topic matcher agrees with a plain reading of the standard, and no text makes it panic.

use arrow::datatypes::{DataType, Field, Schema};
use jarvis_runtime::topic::{TopicPattern, TopicTemplate};

/// MQTT 3.1.1, section 4.7, level by level.
fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        ([level, filter @ ..], [given, topic @ ..]) => (*level == "+" || level == given) && matches(filter, topic),
        _ => false,
    }
}

pub fn read(pattern: &str, topic: &str) {
    let columns = Schema::new(["tool", "zone", "a"].map(|name| Field::new(name, DataType::Utf8, false)).to_vec());
    if let Ok(template) = TopicTemplate::parse(pattern, &columns) {
        let mut filled = String::new();
        let made = template.fill(|_| Some(topic), &mut filled);
        assert!(made.is_err() || !filled.contains(['+', '#', '\0']), "{filled:?} is no topic");
    }
    let Ok(read) = TopicPattern::parse(pattern, &columns) else { return };
    let again = TopicPattern::parse(read.filter(), &columns).expect("a filter is a pattern");
    assert_eq!(again.filter(), read.filter());
    let captures = read.captures(topic);
    let (filter, levels): (Vec<&str>, Vec<&str>) = (read.filter().split('/').collect(), topic.split('/').collect());
    let hidden = topic.starts_with('$') && matches!(filter[0], "+" | "#");
    assert_eq!(captures.is_some(), !hidden && matches(&filter, &levels), "{pattern:?} and {topic:?}");
    let Some(captures) = captures else { return };
    assert_eq!(captures.iter().map(|(column, _)| *column).collect::<Vec<_>>(), read.columns().collect::<Vec<_>>());
    assert!(captures.iter().all(|(_, text)| levels.contains(text)));
}
