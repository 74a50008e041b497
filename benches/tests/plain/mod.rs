//! The views, recomputed from scratch in the plainest way.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn rows(folder: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap()
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap().to_owned()
}

/// The newest row of each key; `_deleted` removes it.
fn newest(rows: Vec<Value>, key: &str) -> BTreeMap<String, Value> {
    let mut newest = BTreeMap::new();
    for row in rows {
        let key = row[key].to_string();
        if row["_deleted"] == true {
            newest.remove(&key);
        } else {
            newest.insert(key, row);
        }
    }
    newest
}

fn lines(rows: impl IntoIterator<Item = Value>) -> Vec<String> {
    rows.into_iter().map(|row| row.to_string()).collect()
}

pub fn w1(folder: &Path) -> Vec<String> {
    let limits: BTreeMap<(String, String), f64> = rows(folder, "limits.jsonl")
        .iter()
        .map(|row| ((text(row, "printer"), text(row, "tool")), row["max_over"].as_f64().unwrap()))
        .collect();
    let telemetry = rows(folder, "telemetry.jsonl");
    let latest = telemetry.iter().map(|row| number(row, "at")).max().unwrap();
    let mut windows: BTreeMap<(String, String, u64), Vec<f64>> = BTreeMap::new();
    for row in &telemetry {
        let start = number(row, "at") / 10_000 * 10_000;
        let key = (text(row, "printer"), text(row, "tool"), start);
        windows.entry(key).or_default().push(row["actual"].as_f64().unwrap());
    }
    // Every row is less than two seconds late, so a window is complete when it closes.
    let closed = windows.into_iter().filter(|((_, _, start), _)| start + 12_000 <= latest);
    lines(closed.filter_map(|((printer, tool, start), values)| {
        let hottest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (n, mean) = (values.len(), values.iter().sum::<f64>() / values.len() as f64);
        let limit = limits[&(printer.clone(), tool.clone())];
        (hottest > limit).then(
            || json!({ "printer": printer, "tool": tool, "window_start": start, "n": n, "mean": mean, "hottest": hottest }),
        )
    }))
}

pub fn w2(folder: &Path) -> Vec<String> {
    let spools = newest(rows(folder, "spools.jsonl"), "printer");
    let mut groups: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for job in newest(rows(folder, "jobs.jsonl"), "job_id").values() {
        if let Some(spool) = spools.get(&job["printer"].to_string()) {
            let totals = groups.entry((text(spool, "material"), text(job, "status"))).or_default();
            totals.0 += 1;
            totals.1 += number(spool, "grams");
        }
    }
    lines(groups.into_iter().map(
        |((material, status), (n, grams))| json!({ "material": material, "status": status, "n": n, "grams": grams }),
    ))
}

pub fn w3(folder: &Path) -> Vec<String> {
    let mut scores: Vec<(u64, u64)> = newest(rows(folder, "scores.jsonl"), "key")
        .values()
        .map(|row| (number(row, "score"), number(row, "key")))
        .collect();
    scores.sort_by_key(|(score, key)| (std::cmp::Reverse(*score), *key));
    lines(scores.into_iter().take(10).map(|(score, key)| json!({ "key": key, "score": score })))
}

pub fn q3(folder: &Path) -> Vec<String> {
    let persons: BTreeMap<u64, Value> =
        rows(folder, "persons.jsonl").into_iter().map(|row| (number(&row, "id"), row)).collect();
    lines(rows(folder, "auctions.jsonl").iter().filter(|row| number(row, "category") == 10).filter_map(|auction| {
        let person = persons.get(&number(auction, "seller"))?;
        let local = ["OR", "ID", "CA"].contains(&person["state"].as_str().unwrap());
        local.then(
            || json!({ "name": person["name"], "city": person["city"], "state": person["state"], "id": auction["id"] }),
        )
    }))
}

pub fn q4(folder: &Path) -> Vec<String> {
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    let auctions: BTreeMap<u64, Value> =
        rows(folder, "auctions.jsonl").into_iter().map(|row| (number(&row, "id"), row)).collect();
    for bid in rows(folder, "bids.jsonl") {
        let id = number(&bid, "auction");
        let Some(auction) = auctions.get(&id) else { continue };
        if (number(auction, "at")..=number(auction, "expires")).contains(&number(&bid, "at")) {
            let price = highest.entry(id).or_default();
            *price = number(&bid, "price").max(*price);
        }
    }
    let mut categories: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (id, price) in highest {
        categories.entry(number(&auctions[&id], "category")).or_default().push(price);
    }
    lines(categories.into_iter().map(|(category, prices)| {
        json!({ "category": category, "final": prices.iter().sum::<u64>() as f64 / prices.len() as f64 })
    }))
}

pub fn q5(folder: &Path) -> Vec<String> {
    let mut windows: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for bid in rows(folder, "bids.jsonl") {
        let slide = number(&bid, "at") / 2_000;
        for window in slide - 4..=slide {
            *windows.entry(window).or_default().entry(number(&bid, "auction")).or_default() += 1;
        }
    }
    lines(windows.values().flat_map(|counts| {
        let most = counts.values().max().copied();
        let leaders = counts.iter().filter(move |(_, count)| Some(**count) == most);
        leaders.map(|(auction, count)| json!({ "auction": auction, "num": count }))
    }))
}

pub fn q8(folder: &Path) -> Vec<String> {
    let window = |row: &Value| number(row, "at") / 10_000 * 10_000;
    let sellers: BTreeSet<(u64, u64)> =
        rows(folder, "auctions.jsonl").iter().map(|row| (number(row, "seller"), window(row))).collect();
    let persons: BTreeSet<(u64, u64, String)> =
        rows(folder, "persons.jsonl").iter().map(|row| (number(row, "id"), window(row), text(row, "name"))).collect();
    let new = persons.into_iter().filter(|(id, start, _)| sellers.contains(&(*id, *start)));
    lines(new.map(|(id, start, name)| json!({ "id": id, "name": name, "starttime": start })))
}
