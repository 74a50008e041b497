//! Reading the options of a kind from a node: what serde can describe is read, with places.

use jarvis_spec::{Diagnostic, Node, Secret, SourceText, Spanned};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;

fn node(yaml: &str) -> Node {
    let environment = |name: &str| Some(format!("value of {name}"));
    Node::read(&SourceText::new("a.yaml", yaml), &environment).expect("valid YAML")
}

fn parse<T: DeserializeOwned>(yaml: &str) -> T {
    node(yaml).parse().unwrap_or_else(|finding| panic!("{finding}"))
}

fn refused<T: DeserializeOwned + Debug>(yaml: &str) -> Diagnostic {
    node(yaml).parse::<T>().expect_err("it is refused")
}

/// What the finding points at.
fn place(finding: &Diagnostic) -> &str {
    finding.span.as_ref().expect("a place").source()
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shape {
    Circle,
    Square(f64),
    Rectangle { width: f64, height: f64 },
    Path(i32, i32),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tagged {
    Plain,
    Login { user: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[test]
fn enums_are_read_in_every_form() {
    let shapes =
        parse::<Vec<Shape>>("[circle, { square: 2 }, { rectangle: { width: 1, height: 2.5 } }, { path: [1, -2] }]");
    assert_eq!(
        shapes,
        [Shape::Circle, Shape::Square(2.0), Shape::Rectangle { width: 1.0, height: 2.5 }, Shape::Path(1, -2)]
    );
    assert_eq!(
        parse::<Vec<Tagged>>("[{ type: plain }, { type: login, user: a }]"),
        [Tagged::Plain, Tagged::Login { user: "a".into() }]
    );
    assert_eq!(
        parse::<Vec<OneOrMany>>("[a, [b, c]]"),
        [OneOrMany::One("a".into()), OneOrMany::Many(vec!["b".into(), "c".into()])]
    );
}

#[test]
fn maps_tuples_options_and_numbers_are_read() {
    assert_eq!(parse::<BTreeMap<u8, bool>>("{ 1: true, 20: false }"), BTreeMap::from([(1, true), (20, false)]));
    assert_eq!(parse::<BTreeMap<Shape2, i8>>("{ a: 1 }"), BTreeMap::from([(Shape2::A, 1)]));
    assert_eq!(parse::<(String, Option<f64>, Option<u64>)>("[a, ~, 0x10]"), ("a".into(), None, Some(16)));
    assert_eq!(
        parse::<(f64, f64, i64, u64)>("[1, .inf, -9223372036854775808, 18446744073709551615]"),
        (1.0, f64::INFINITY, i64::MIN, u64::MAX)
    );
    assert_eq!(parse::<char>("'x'"), 'x');
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
enum Shape2 {
    #[serde(rename = "a")]
    A,
}

#[test]
fn places_and_nodes_can_be_options() {
    #[derive(Debug, Deserialize)]
    struct Options {
        topic: Spanned<String>,
        list: Vec<Spanned<u8>>,
        names: BTreeMap<Spanned2, Node>,
        maybe: Option<Spanned<String>>,
    }
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
    struct Spanned2(String);
    let options = parse::<Options>("{ topic: a/b, list: [1, 2], names: { x: { y: [1] } } }");
    assert_eq!(
        (options.topic.as_str(), options.topic.span.source(), options.topic.span.start.column),
        ("a/b", "a/b", 10)
    );
    assert_eq!(options.list[1].span.source(), "2");
    assert_eq!(options.names[&Spanned2("x".into())].get("y").map(|node| node.span().source()), Some("[1]"));
    assert!(options.maybe.is_none());
}

#[test]
fn a_value_with_its_place_is_only_read_from_a_node() {
    assert!(serde_json::from_str::<Spanned<String>>("\"a\"").is_err());
    assert!(serde_json::from_str::<Node>("1").is_err());
}

#[test]
fn findings_point_at_the_innermost_place() {
    assert_eq!(place(&refused::<Vec<Shape>>("[circle, { rectangle: { width: x, height: 1 } }]")), "x");
    assert_eq!(place(&refused::<Vec<Shape>>("[circle, { recangle: { width: 1, height: 1 } }]")), "recangle");
    assert_eq!(place(&refused::<Vec<Shape>>("[circle, { rectangle: { width: 1 } }]")), "{ width: 1 }");
    assert_eq!(place(&refused::<(u8, u8)>("[1, 2, 3]")), "3");
    assert_eq!(place(&refused::<(u8, u8)>("[1]")), "[1]");
    assert_eq!(place(&refused::<BTreeMap<u8, u8>>("{ 1: 1, x: 1 }")), "x");
    assert_eq!(place(&refused::<Vec<u64>>("[1, -1]")), "-1");
    assert_eq!(place(&refused::<Vec<i32>>("[1, 1.5]")), "1.5");
}

#[test]
fn a_types_own_error_may_hold_no_secret_and_say_what_to_do() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "Parts")]
    struct Address;
    #[derive(Deserialize)]
    struct Parts {
        host: String,
        password: Secret,
    }
    impl TryFrom<Parts> for Address {
        type Error = String;
        fn try_from(parts: Parts) -> Result<Self, String> {
            Err(format!(
                "{} with {:?} and {} do not fit\nhelp: use others",
                parts.host,
                parts.password.expose(),
                parts.password.expose()
            ))
        }
    }
    let finding = refused::<Address>("{ host: a, password: \"${PASSWORD}\" }");
    assert_eq!(finding.message, "a with \"***\" and *** do not fit");
    assert_eq!(finding.help.as_deref(), Some("use others"));
    let finding = refused::<Vec<u8>>("[\"${PASSWORD}\"]");
    assert!(!finding.to_string().contains("value of"), "{finding}");
}

/// A value from the environment may be a part of a text: messages of others repeat parts.
#[test]
fn what_comes_from_the_environment_is_taken_out_of_messages() {
    let sql = node("SELECT ${A} FROM t WHERE k = 'x${B}y'");
    assert_eq!(sql.redacted("no column value of A in t"), "no column *** in t");
    assert_eq!(sql.redacted("no column value of a"), "no column ***");
    assert_eq!(sql.redacted("xvalue of By is no number"), "x***y is no number");
    assert_eq!(sql.redacted("SELECT value of A FROM t WHERE k = 'xvalue of By'"), "***");
    assert_eq!(node("SELECT ${A:-b}").redacted("value of A"), "***");
    assert_eq!(node("SELECT $${A}").redacted("value of A, SELECT"), "value of A, SELECT");
}
