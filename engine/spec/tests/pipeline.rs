//! Whole pipelines: what is in the file is in the data.

use arrow::datatypes::{DataType, TimeUnit};
use jarvis_spec::{Expect, Node, OnError, Pipeline, Retain, SourceText, parse_pipeline};
use std::time::Duration;

const PRINT_HEAT: &str = r#"
pipeline: print_heat
about: Says when a nozzle is too hot for too long.

sources:
  temperature:
    mqtt: { topic: "octoPrint/temperature/{tool}", qos: 1, format: json }   # {name} captures a topic level as a column
    schema:
      tool: utf8
      actual: float64
      target: float64?
      at: timestamp                      # millis, RFC 3339 text or timestamp(s|ms|us|ns)
    time: at
    lateness: 2s
    retain: 10m
  limits:
    file: { path: ../config/limits.csv, watch: true }
    schema: { tool: utf8, max_over: float64 }
    key: [tool]
    retain: forever

operators:
  hot:
    sql: |
      SELECT t.tool, max(t.actual - t.target) AS over
      FROM temperature t JOIN limits l USING (tool)
      WHERE t.at > now() - INTERVAL '30 seconds' AND t.actual - t.target > l.max_over
      GROUP BY t.tool
    on_error: route

sinks:
  alert:
    from: hot
    mqtt: { topic: "jarvis/alerts/heat/{tool}", as: events, clear: true }

tests:
  - name: a hot nozzle alerts once and clears
    given:
      limits: [ { tool: tool0, max_over: 15 } ]
      temperature:
        - { at: 0s,  tool: tool0, actual: 212, target: 210 }
        - { at: 5s,  tool: tool0, actual: 240, target: 210 }
    expect:
      - { at: 6s,  hot: [ { tool: tool0, over: 30.0 } ] }
      - { restart: 12s }
      - { at: 40s, hot: [] }
      - { until: 40s, alert: [ { event: raised, tool: tool0, over: 30.0 }, { event: cleared, tool: tool0 } ] }
    never:
      - { hot: { over: "< 0" } }
"#;

const TOTALS: &str = r"
pipeline: totals
sources:
  jobs:   { file: { path: jobs.jsonl },   schema: { job_id: int64, printer: utf8, status: utf8 }, key: [job_id], retain: forever }
  spools: { file: { path: spools.jsonl }, schema: { printer: utf8, material: utf8, grams: float64 }, key: [printer], retain: forever }
operators:
  by_material:
    sql: SELECT material, status, count(*) AS n, sum(grams) AS grams FROM jobs JOIN spools USING (printer) GROUP BY material, status
sinks:
  out: { from: by_material, file: { path: out.jsonl, as: state } }
";

fn parse(text: &str) -> Pipeline {
    match parse_pipeline(SourceText::new("a.yaml", text), &|_| None) {
        Ok(pipeline) => pipeline,
        Err(findings) => panic!("{findings}"),
    }
}

#[test]
fn sources_are_read() {
    let pipeline = parse(PRINT_HEAT);
    assert_eq!(pipeline.name, "print_heat");
    let [temperature, limits] = &pipeline.sources[..] else { panic!("two sources") };
    assert_eq!((temperature.name.as_str(), temperature.kind.as_str()), ("temperature", "mqtt"));
    assert_eq!(temperature.options.get("qos").and_then(Node::as_int), Some(1));
    let schema = temperature.schema.as_ref().expect("a schema");
    assert_eq!(schema.field(2).data_type(), &DataType::Float64);
    assert!(schema.field(2).is_nullable() && !schema.field(1).is_nullable());
    assert_eq!(schema.field(3).data_type(), &DataType::Timestamp(TimeUnit::Microsecond, None));
    assert_eq!(temperature.time.as_deref().map(String::as_str), Some("at"));
    assert_eq!(temperature.lateness.as_deref(), Some(&Duration::from_secs(2)));
    assert_eq!(temperature.retain.as_deref(), Some(&Retain::For(Duration::from_secs(600))));
    assert_eq!(limits.retain.as_deref(), Some(&Retain::Forever));
    assert_eq!(limits.key.len(), 1);
}

#[test]
fn operators_and_sinks_are_read() {
    let pipeline = parse(PRINT_HEAT);
    let [hot] = &pipeline.operators[..] else { panic!("one operator") };
    assert_eq!((hot.kind.as_str(), hot.on_error), ("sql", OnError::Route));
    assert!(
        hot.options.as_str().is_some_and(|sql| sql.starts_with("SELECT t.tool") && sql.ends_with("GROUP BY t.tool\n"))
    );
    let [alert] = &pipeline.sinks[..] else { panic!("one sink") };
    assert_eq!((alert.from.as_str(), alert.kind.as_str(), alert.when_closed.is_some()), ("hot", "mqtt", false));
    assert_eq!(parse(TOTALS).sinks[0].options.to_json(), serde_json::json!({ "path": "out.jsonl", "as": "state" }));
}

#[test]
fn a_place_in_the_sql_is_a_place_in_the_file() {
    let pipeline = parse(PRINT_HEAT);
    let span = pipeline.operators[0].options.text_place(2, 6);
    assert_eq!(PRINT_HEAT[span.start.offset..].split(' ').next(), Some("temperature"));
    let pipeline = parse(TOTALS);
    let span = pipeline.operators[0].options.text_place(1, 8);
    assert_eq!(TOTALS[span.start.offset..].split(',').next(), Some("material"));
}

#[test]
fn tests_are_read() {
    let pipeline = parse(PRINT_HEAT);
    let [test] = &pipeline.tests[..] else { panic!("one test") };
    assert_eq!(
        test.given.iter().map(|(name, rows)| (name.as_str(), rows.len())).collect::<Vec<_>>(),
        [("limits", 1), ("temperature", 2)]
    );
    assert_eq!(test.given[1].1[1].at, Duration::from_secs(5));
    assert_eq!(test.restarts, [Duration::from_secs(12)]);
    assert_eq!(test.never[0].1.get("over").and_then(Node::as_str), Some("< 0"));
    let [Expect::View { at, stream, rows }, Expect::View { rows: none, .. }, Expect::Sink { until, sink, rows: given }] =
        &test.expect[..]
    else {
        panic!("two views and a sink: {:?}", test.expect)
    };
    assert_eq!((*at, stream.as_str(), rows.len(), none.len()), (Duration::from_secs(6), "hot", 1, 0));
    assert_eq!((*until, sink.as_str(), given.len()), (Duration::from_secs(40), "alert", 2));
}

#[test]
fn streams_of_other_pipelines_may_be_named() {
    let pipeline = parse(
        "
pipeline: counts
operators:
  per_zone: { sql: SELECT zone FROM facility.zones }
  again: { from: [print_heat.hot, per_zone, counts.per_zone], stale: }
sinks:
  out: { from: print_heat.hot, when: closed, console: }
tests:
  - name: zones
    restart: [1s, 2s]
    given: { facility.zones: [ { zone: a } ] }
    expect: [ { at: 1s, per_zone: [ { zone: a } ], again: [] } ]
",
    );
    assert_eq!(pipeline.operators[1].from.len(), 3);
    assert!(pipeline.sinks[0].when_closed.is_some());
    assert_eq!(pipeline.tests[0].expect.len(), 2);
    assert_eq!(pipeline.tests[0].restarts.len(), 2);
}

#[test]
fn a_secret_is_used_but_not_shown() {
    let text = "pipeline: p\nsources: { a: { mqtt: { password: \"${PASSWORD}\", port: \"${PORT}\" } } }";
    let environment = |name: &str| Some(if name == "PORT" { "1883" } else { "12345" }.to_owned());
    let pipeline = parse_pipeline(SourceText::new("a.yaml", text), &environment).expect("a pipeline");
    #[derive(Debug, serde::Deserialize)]
    struct Options {
        password: jarvis_spec::Secret,
        port: u16,
    }
    let options = pipeline.sources[0].options.parse::<Options>().expect("options");
    assert_eq!((options.password.expose(), options.port), ("12345", 1883));
    assert!(!format!("{pipeline:?} {options:?}").contains("12345"));
}
