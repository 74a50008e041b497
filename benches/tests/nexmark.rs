//! Every query of Nexmark, kept up to date over events that arrive tick by tick, against the answer that DataFusion
//! gives in one go over the same rows.
//!
//! A query that is plain SQL is judged by its own text. Windows are functions of the engine's own, so q5, q7, q8, q11
//! and q12 are judged by SQL that does without them: windows counted out beforehand, `date_bin`, or gaps found with `lag`.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use jarvis_benches::generate::{Dataset, START, Size, generate};
use jarvis_dataflow::Delta;
use jarvis_plan::{Compiled, SourceInfo, SqlOnly, compile};
use jarvis_spec::{Pipeline, Source, SourceText, parse_pipeline};
use jarvis_testkit::batch::{Judge, Relation};
use jarvis_testkit::cluster::Rows;
use jarvis_testkit::content::Content;
use jarvis_testkit::driver::{Driver, spread};
use jarvis_testkit::query::batch;
use jarvis_testkit::value::{Row, Value, same_rows};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// How many events there are. They are so much slower than usual that they fill several windows.
const EVENTS: u64 = 5_000;
const SLOWER: u64 = 100;
/// All events, with the times between them, in as many ticks.
const TICKS: usize = 10;
const TICK: u64 = EVENTS / 10 * SLOWER * 1000 / TICKS as u64;

/// What happens to a source: per tick the rows that come.
struct Stream {
    /// In the graph's inputs.
    input: usize,
    name: String,
    schema: SchemaRef,
    keyed: bool,
    ticks: Vec<Vec<Row>>,
}

/// How a query is run.
#[derive(Clone, Copy, Debug)]
struct Way {
    workers: usize,
    /// A part of the rows is taken back two ticks after it came.
    takes_back: bool,
}

/// Milliseconds of the generated data to microseconds of the slower ones.
fn slowed(millis: u64) -> u64 {
    let start = START * 1000;
    (start + (millis - start) * SLOWER) * 1000
}

fn cell(value: &serde_json::Value, of: &DataType) -> Value {
    let number = || value.as_u64().unwrap();
    match of {
        DataType::Int64 => Value::Int(i128::from(number())),
        DataType::Timestamp(..) => Value::Micros(slowed(number()) as i64),
        _ => Value::Text(value.as_str().unwrap().to_owned()),
    }
}

/// The rows of a source, each in the tick in which it happens; rows without a time come first.
fn ticks(folder: &Path, source: &Source, schema: &Schema) -> Vec<Vec<Row>> {
    let path = Path::new(source.options.get("path").unwrap().as_str().unwrap());
    let text = std::fs::read_to_string(folder.join(path.file_name().unwrap())).unwrap();
    let mut ticks = vec![vec![]; TICKS];
    for line in text.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        let tick = json.get("at").map_or(0, |at| (slowed(at.as_u64().unwrap()) - START * 1_000_000) / TICK);
        let cells = schema.fields().iter().map(|f| cell(&json[f.name()], f.data_type()));
        ticks[(tick as usize).min(TICKS - 1)].push(cells.collect());
    }
    ticks
}

/// The pipeline over the generated data: its graph, which puts out what the sink reads, and its sources.
fn prepared(name: &str, append_only: bool, folder: &Path) -> (Pipeline, Compiled, Vec<Stream>) {
    let path = Path::new(".").join(format!("pipelines/{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let pipeline = parse_pipeline(SourceText::new(&path, text), &|_| None).unwrap_or_else(|e| panic!("{e}"));
    let full = |source: &Source| format!("{name}.{}", source.name.value);
    let schema = |source: &Source| source.schema.as_ref().unwrap().value.clone();
    let infos: HashMap<String, SourceInfo> =
        pipeline.sources.iter().map(|s| (full(s), SourceInfo { schema: schema(s), append_only })).collect();
    let mut compiled = compile(std::slice::from_ref(&pipeline), &infos, &mut SqlOnly).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(compiled.read_sink(&format!("{name}.out")), Some(0));
    let streams = pipeline.sources.iter().map(|s| Stream {
        input: compiled.graph.inputs.iter().position(|i| i.name == full(s)).unwrap(),
        name: s.name.value.clone(),
        schema: schema(s),
        keyed: !s.key.is_empty(),
        ticks: ticks(folder, s, &schema(s)),
    });
    let streams = streams.collect();
    (pipeline, compiled, streams)
}

/// The rows that come and go in a tick. Every seventh goes two ticks after it came.
fn changes(stream: &Stream, tick: usize, takes_back: bool) -> (Vec<Row>, Vec<i64>) {
    let mut rows = stream.ticks[tick].clone();
    let mut diffs = vec![1; rows.len()];
    if takes_back && !stream.keyed && tick >= 2 {
        let gone = stream.ticks[tick - 2].iter().step_by(7);
        rows.extend(gone.cloned());
        diffs.resize(rows.len(), -1);
    }
    (rows, diffs)
}

/// What a source holds after a tick.
fn held(stream: &Stream, tick: usize, takes_back: bool) -> Relation {
    let is_gone = |of: usize, row: usize| takes_back && !stream.keyed && of + 2 <= tick && row.is_multiple_of(7);
    let so_far = stream.ticks[..=tick].iter().enumerate();
    let rows = so_far.flat_map(|(of, rows)| rows.iter().enumerate().filter(move |(i, _)| !is_gone(of, *i)));
    Relation { name: stream.name.clone(), schema: stream.schema.clone(), rows: rows.map(|(_, r)| r.clone()).collect() }
}

/// The starts of all windows that begin every two seconds and last ten.
fn hops() -> Relation {
    let schema = Schema::new(vec![Field::new("start", DataType::Timestamp(TimeUnit::Microsecond, None), false)]);
    let end = slowed(START * 1000 + EVENTS / 10);
    let starts = (START * 1_000_000 - 10_000_000..end).step_by(2_000_000);
    let rows = starts.map(|s| vec![Value::Micros(s as i64)]).collect();
    Relation { name: "hops".into(), schema: Arc::new(schema), rows }
}

/// The query as one text: views that the last one reads come before it as `WITH`.
fn own_text(pipeline: &Pipeline) -> String {
    let text = |i: usize| pipeline.operators[i].options.as_str().unwrap().to_owned();
    let last = pipeline.operators.len() - 1;
    let before: Vec<String> =
        (0..last).map(|i| format!("{} AS ({})", pipeline.operators[i].name.value, text(i))).collect();
    if before.is_empty() { text(last) } else { format!("WITH {} {}", before.join(", "), text(last)) }
}

fn run(name: &str, reference: Option<&str>, way: Way) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    generate(Dataset::Nexmark, &data, Size { events: EVENTS, changes: 0, seed: 1 }).unwrap();
    let (pipeline, compiled, streams) = prepared(name, !way.takes_back, &data);
    let own = own_text(&pipeline);
    let has_windows = ["tumble(", "hop(", "session(", "now("].iter().any(|f| own.contains(f));
    assert_eq!(has_windows, reference.is_some(), "what is the engine's own is not judged by itself");
    let judge = Judge::new().unwrap();
    let mut driver = Driver::start(Arc::new(compiled.graph), way.workers).unwrap();
    let (mut view, mut places) = (Content::default(), vec![0; streams.len()]);
    for tick in 0..TICKS {
        let time = START * 1_000_000 + (tick as u64 + 1) * TICK;
        let mut fed = vec![];
        for (stream, place) in streams.iter().zip(&mut places) {
            let (rows, diffs) = changes(stream, tick, way.takes_back);
            let n = rows.len();
            let delta = Delta::new(batch(&stream.schema, &rows), vec![time; n], diffs);
            fed.push(Rows { input: stream.input, delta, place: *place });
            *place += n as u64;
        }
        let told = driver.tick(time, spread(&fed, way.workers, tick)).unwrap();
        assert!(told.errors.is_empty(), "{:?}", told.errors);
        told.outputs.iter().for_each(|closed| view.apply(&closed.delta).unwrap());
        let mut tables: Vec<Relation> = streams.iter().map(|s| held(s, tick, way.takes_back)).collect();
        tables.push(hops());
        let answer = judge.plain(&tables, reference.unwrap_or(&own)).unwrap();
        compare(name, way, tick, &view.rows().unwrap(), &answer);
    }
    assert!(!view.is_empty(), "{name} gives no rows: nothing was compared");
}

fn compare(name: &str, way: Way, tick: usize, view: &[Row], answer: &[Row]) {
    if same_rows(view, answer) {
        return;
    }
    let only = |these: &[Row], those: &[Row]| -> Vec<String> {
        these.iter().filter(|r| !those.contains(r)).take(5).map(|r| format!("{r:?}")).collect()
    };
    panic!(
        "{name}, {way:?}, after tick {tick}: {} rows and not {}\nonly the view has\n{}\nonly the answer has\n{}",
        view.len(),
        answer.len(),
        only(view, answer).join("\n"),
        only(answer, view).join("\n")
    );
}

fn check(name: &str, reference: Option<&str>) {
    run(name, reference, Way { workers: 1, takes_back: false });
    run(name, reference, Way { workers: 2, takes_back: true });
}

macro_rules! by_its_own_text {
    ($($name:ident)*) => { $(#[test] fn $name() { check(stringify!($name), None); })* };
}

by_its_own_text! { q0 q1 q2 q3 q4 q6 q9 q10 q13 q14 q15 q16 q17 q18 q19 q20 q21 q22 }

macro_rules! by_other_sql {
    ($($name:ident: $sql:expr;)*) => { $(#[test] fn $name() { check(stringify!($name), Some($sql)); })* };
}

by_other_sql! {
    q5: "WITH counts AS (
             SELECT b.auction, w.start, count(*) AS num
             FROM bids b JOIN hops w ON w.start <= b.at AND b.at < w.start + INTERVAL '10 seconds'
             GROUP BY b.auction, w.start)
         SELECT auction, num FROM counts c WHERE num >= (SELECT max(d.num) FROM counts d WHERE d.start = c.start)";
    q7: "SELECT auction, price, bidder, at
         FROM (SELECT *, rank() OVER (PARTITION BY date_bin(INTERVAL '10 seconds', at) ORDER BY price DESC) AS place
               FROM bids) ranked
         WHERE place = 1";
    q8: "SELECT DISTINCT p.id, p.name, date_bin(INTERVAL '10 seconds', p.at) AS starttime
         FROM persons p JOIN auctions a ON p.id = a.seller
         WHERE date_bin(INTERVAL '10 seconds', p.at) = date_bin(INTERVAL '10 seconds', a.at)";
    q11: "SELECT bidder, count(*) AS bid_count, min(at) AS starttime, max(at) + INTERVAL '10 seconds' AS endtime
          FROM (SELECT bidder, at, sum(begins) OVER (PARTITION BY bidder ORDER BY at) AS visit
                FROM (SELECT bidder, at,
                             CASE WHEN at - lag(at) OVER (PARTITION BY bidder ORDER BY at) < INTERVAL '10 seconds'
                                  THEN 0 ELSE 1 END AS begins
                      FROM bids) gaps) visits
          GROUP BY bidder, visit";
    q12: "SELECT bidder, count(*) AS bid_count, date_bin(INTERVAL '10 seconds', at) AS starttime,
                 date_bin(INTERVAL '10 seconds', at) + INTERVAL '10 seconds' AS endtime
          FROM bids GROUP BY bidder, date_bin(INTERVAL '10 seconds', at)";
}
