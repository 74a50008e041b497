use super::*;
use arrow::datatypes::{DataType, Field};
use proptest::prelude::*;

fn columns() -> Schema {
    Schema::new(["a", "b", "c"].map(|name| Field::new(name, DataType::Utf8, false)).to_vec())
}

fn pattern(text: &str) -> TopicPattern {
    TopicPattern::parse(text, &columns()).expect(text)
}

fn refused(text: &str) -> TopicError {
    TopicPattern::parse(text, &columns()).expect_err(text)
}

fn matches(text: &str, topic: &str) -> bool {
    pattern(text).captures(topic).is_some()
}

#[test]
fn the_examples_of_the_standard_hold() {
    for topic in ["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"] {
        assert!(matches("sport/tennis/player1/#", topic), "{topic}");
    }
    assert!(matches("sport/#", "sport"));
    assert!(matches("#", "any/thing"));
    assert!(matches("sport/tennis/+", "sport/tennis/player2"));
    assert!(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
    assert!(!matches("sport/+", "sport"));
    assert!(matches("sport/+", "sport/"));
    assert!(matches("+/+", "/finance"));
    assert!(matches("/+", "/finance"));
    assert!(!matches("+", "/finance"));
}

#[test]
fn a_leading_wildcard_does_not_see_system_topics() {
    assert!(!matches("#", "$SYS/uptime"));
    assert!(!matches("+/uptime", "$SYS/uptime"));
    assert!(!matches("{a}/uptime", "$SYS/uptime"));
    assert!(matches("$SYS/#", "$SYS/uptime"));
    assert!(matches("$SYS/+", "$SYS/uptime"));
}

#[test]
fn captured_levels_are_columns_in_order() {
    let pattern = pattern("x/{b}/+/{a}/#");
    assert_eq!(pattern.filter(), "x/+/+/+/#");
    assert_eq!(pattern.columns().collect::<Vec<_>>(), [1, 0]);
    let captures = pattern.captures("x/two/skip/one/more/levels").expect("it matches");
    assert_eq!(captures.as_slice(), [(1, "two"), (0, "one")]);
    assert_eq!(pattern.captures("x//skip/").expect("empty levels match").as_slice(), [(1, ""), (0, "")]);
}

#[test]
fn patterns_that_break_a_rule_are_refused_by_name() {
    assert_eq!(refused(""), TopicError::Empty);
    assert_eq!(refused("a\0b"), TopicError::Nul);
    assert_eq!(refused(&"a".repeat(65_536)), TopicError::TooLong(65_536));
    assert_eq!(refused("a/#/b"), TopicError::HashNotLast);
    assert_eq!(refused("a/b#"), TopicError::HashNotLast);
    assert_eq!(refused("a/b+"), TopicError::PlusNotAlone("b+".into()));
    assert_eq!(refused("a/{a}_state"), TopicError::CaptureNotAlone("{a}_state".into()));
    assert_eq!(refused("a/{a}{b}"), TopicError::CaptureNotAlone("{a}{b}".into()));
    assert_eq!(refused("a/{a"), TopicError::Brace("{a".into()));
    assert_eq!(refused("a/{d}"), TopicError::UnknownColumn("d".into()));
    assert_eq!(refused("{a}/{a}"), TopicError::Twice("a".into()));
    assert_eq!(refused("$share/g/a"), TopicError::Shared);
}

#[test]
fn a_template_is_filled_from_values() {
    let template = TopicTemplate::parse("alerts/{b}/{a}-{b}", &columns()).expect("a template");
    assert_eq!(template.columns(), [1, 0]);
    let mut topic = "old".to_owned();
    template.fill(|column| Some(["tool0", "heat"][column]), &mut topic).expect("filled");
    assert_eq!(topic, "alerts/heat/tool0-heat");
}

#[test]
fn values_that_change_the_shape_of_a_topic_are_refused() {
    let template = TopicTemplate::parse("alerts/{a}", &columns()).expect("a template");
    let mut topic = String::new();
    let mut fill = |value: Option<&str>| template.fill(|_| value.map(str::to_owned), &mut topic);
    assert_eq!(fill(None), Err(FillError::Empty { column: 0 }));
    assert_eq!(fill(Some("")), Err(FillError::Empty { column: 0 }));
    for value in ["a/b", "+", "x#", "nul\0"] {
        assert_eq!(fill(Some(value)), Err(FillError::Character { column: 0, value: value.into() }));
    }
    assert_eq!(fill(Some(&"x".repeat(65_530))), Err(FillError::TooLong(65_537)));
}

#[test]
fn templates_that_break_a_rule_are_refused_by_name() {
    let refused = |text: &str| TopicTemplate::parse(text, &columns()).expect_err(text);
    assert_eq!(refused(""), TopicError::Empty);
    assert_eq!(refused("a/+"), TopicError::WildcardInTemplate('+'));
    assert_eq!(refused("a/#"), TopicError::WildcardInTemplate('#'));
    for text in ["a/{a", "a/a}", "a/{{a}", "a/}{"] {
        assert_eq!(refused(text), TopicError::Brace(text.into()));
    }
    assert_eq!(refused("a/{zone}"), TopicError::UnknownColumn("zone".into()));
}

/// The rules once more, as a search over both lists of levels.
fn naive(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        ([f, filter @ ..], [t, topic @ ..]) => (*f == "+" || f == t) && naive(filter, topic),
        _ => false,
    }
}

fn level() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("$x".to_owned()),
        "[ab]{1,2}",
        "\\PC{0,3}".prop_map(|s| s.replace(['/', '+', '#', '{', '}'], ""))
    ]
}

fn filter_level() -> impl Strategy<Value = String> {
    prop_oneof![3 => level(), 2 => Just("+".to_owned())]
}

proptest! {
    #[test]
    fn matching_agrees_with_the_naive_matcher(
        mut filter in prop::collection::vec(filter_level(), 1..5),
        hash in any::<bool>(),
        topic in prop::collection::vec(level(), 1..6),
        follow in any::<bool>(),
    ) {
        // Half of the topics are made to follow the filter, or matches would be rare.
        let topic: Vec<String> = if follow {
            topic.iter().enumerate().map(|(i, t)| match filter.get(i) { Some(f) if f != "+" => f.clone(), _ => t.clone() }).collect()
        } else { topic };
        if hash { filter.push("#".into()); }
        let (text, topic_text) = (filter.join("/"), topic.join("/"));
        prop_assume!(!text.is_empty());
        let levels: Vec<&str> = filter.iter().map(String::as_str).collect();
        let given: Vec<&str> = topic.iter().map(String::as_str).collect();
        let hidden = topic_text.starts_with('$') && matches!(levels[0], "+" | "#");
        prop_assert_eq!(pattern(&text).captures(&topic_text).is_some(), naive(&levels, &given) && !hidden);
    }

    #[test]
    fn what_a_template_writes_the_same_pattern_reads_back(values in prop::collection::vec("[^/+#\0{}$]{1,8}", 3)) {
        let text = "x/{a}/{b}/y/{c}";
        let template = TopicTemplate::parse(text, &columns()).expect("a template");
        let mut topic = String::new();
        template.fill(|column| Some(&values[column]), &mut topic).expect("plain values");
        let pattern = pattern(text);
        let captures = pattern.captures(&topic).expect("its own topic matches");
        for (column, text) in captures {
            prop_assert_eq!(text, &values[column]);
        }
    }

    #[test]
    fn no_text_makes_parsing_or_matching_panic(text in "\\PC*|[a{}+#/$]*", topic in "\\PC*|[a/$]*") {
        if let Ok(pattern) = TopicPattern::parse(&text, &columns()) {
            let _ = pattern.captures(&topic);
        }
        let _ = TopicTemplate::parse(&text, &columns());
    }
}
