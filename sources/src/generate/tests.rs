use super::*;
use crate::testing::*;
use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use std::path::Path;

const COLUMNS: [(&str, &str); 9] = [
    ("n", "int64"),
    ("dice", "int64"),
    ("share", "float64"),
    ("heat", "float64"),
    ("state", "utf8"),
    ("wave", "float64"),
    ("walk", "float64"),
    ("id", "utf8"),
    ("at", "timestamp(s)"),
];
const FIELDS: &str = "fields: {
    n: { sequence: { start: 10, step: 2 } }, dice: { uniform: { min: 1, max: 6 } }, share: { uniform: { min: 0, max: 1 } },
    heat: { normal: { mean: 200, stddev: 5 } }, state: { choice: [idle, printing, 3d] },
    wave: { sine: { amplitude: 2, period: 100 } }, walk: { walk: { start: 0, step: 1, min: -3, max: 3 } },
    id: { id: { prefix: job-, count: 3 } }, at: { time: { start: 2026-01-01T00:00:00Z, every: 10ms } } }";

fn read(yaml: &str) -> Vec<Decoded> {
    read_all(&*bounded(&GenerateSource, &stream(&COLUMNS, &[]), yaml, Path::new("/")))
}

#[test]
fn rows_are_what_their_generators_say() {
    let count = 20_000;
    let batches = read(&format!("{{ count: {count}, {FIELDS} }}"));
    assert_eq!(codes(&batches), [""; 0]);
    assert_eq!(batches.len(), 5);
    let rows: Vec<_> = batches.iter().map(|batch| batch.rows.clone()).collect();
    let all = arrow::compute::concat_batches(&rows[0].schema(), &rows).expect("one schema");
    assert_eq!(all.num_rows(), count);
    let whole = |name: &str| all.column_by_name(name).expect(name).as_primitive::<Int64Type>().values().to_vec();
    let floats = |name: &str| all.column_by_name(name).expect(name).as_primitive::<Float64Type>().values().to_vec();
    assert_eq!(whole("n")[..3], [10, 12, 14]);
    for face in 1..=6 {
        let share = whole("dice").iter().filter(|dice| **dice == face).count() as f64 / count as f64;
        assert!((share - 1.0 / 6.0).abs() < 0.02, "{face}: {share}");
    }
    assert!(floats("share").iter().all(|share| (0.0..1.0).contains(share)));
    let heat = floats("heat");
    let mean = heat.iter().sum::<f64>() / count as f64;
    let deviation = (heat.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / count as f64).sqrt();
    assert!((mean - 200.0).abs() < 0.2 && (deviation - 5.0).abs() < 0.2, "{mean} {deviation}");
    assert!((floats("wave")[25] - 2.0).abs() < 1e-9 && floats("wave")[100].abs() < 1e-9);
    let walk = floats("walk");
    assert!(walk.windows(2).all(|pair| (pair[1] - pair[0]).abs() <= 1.0) && walk.iter().all(|w| w.abs() <= 3.0));
    assert!(walk.iter().any(|w| w.abs() > 1.0));
    assert_eq!(texts(&batches[0])[3].split('|').skip(7).collect::<Vec<_>>(), ["job-0", "2026-01-01T00:00:00.030"]);
}

#[test]
fn the_seed_and_nothing_else_decides() {
    let yaml = |seed: u64| format!("{{ count: 9000, seed: {seed}, {FIELDS} }}");
    assert_eq!(all_texts(&read(&yaml(1))), all_texts(&read(&yaml(1))));
    assert_ne!(all_texts(&read(&yaml(1))), all_texts(&read(&yaml(2))));
    // In whatever order chunks are made.
    let source = bounded(&GenerateSource, &stream(&COLUMNS, &[]), &yaml(1), Path::new("/"));
    let chunks: Vec<_> = std::iter::from_fn(|| source.next_chunk()).collect();
    let mut backwards: Vec<_> = chunks.iter().rev().map(|chunk| source.decode(chunk)).collect();
    backwards.reverse();
    assert_eq!(all_texts(&backwards), all_texts(&read(&yaml(1))));
    assert_eq!(texts(&source.decode(&chunks[1])), texts(&backwards[1]));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let columns = [("n", "int64")];
    for (yaml, code) in [
        ("{ fields: { n: { sequence: {} } } }", "wrong_value"),
        ("{ rate: 0, fields: { n: { sequence: {} } } }", "wrong_value"),
        ("{ count: 1, fields: {} }", "missing_key"),
        ("{ count: 1, fields: { n: { sequence: {} }, m: { sequence: {} } } }", "unknown_column"),
        ("{ count: 1, fields: { n: { uniform: { min: 2, max: 1 } } } }", "wrong_value"),
        ("{ count: 1, fields: { n: { choice: [] } } }", "wrong_value"),
        ("{ count: 1, fields: { n: { walk: { start: 5, step: 1, max: 4 } } } }", "wrong_value"),
        ("{ count: 1, fields: { n: { sequence: { stp: 1 } } } }", "unknown_key"),
    ] {
        let finding = plan(&GenerateSource, &stream(&columns, &[]), yaml, Path::new("/")).err().expect(yaml);
        assert_eq!(finding.code, code, "{finding}");
    }
}

#[tokio::test]
async fn a_rate_makes_it_live_until_the_count_is_reached() {
    let columns = [("n", "int64")];
    let yaml = "{ rate: 500, count: 60, fields: { n: { sequence: {} } } }";
    let mut running = start(&GenerateSource, &stream(&columns, &[]), yaml, Path::new("/"));
    let before = Instant::now();
    let mut rows = Vec::new();
    while rows.len() < 60 {
        rows.extend(texts(&running.next().await));
    }
    assert_eq!(rows, (0..60).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(before.elapsed() >= Duration::from_millis(100), "{:?}", before.elapsed());
    running.stop().await;
}
