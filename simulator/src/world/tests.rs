//! The shipped facility, played for some minutes without a broker.

use super::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const START_MS: i64 = 1_700_000_000_000;

fn facility() -> Facility {
    Facility::read(&Path::new(".").join("../config/facility.yaml")).unwrap()
}

/// Messages with their time in seconds, in steps of a tenth.
fn play(script: Script, seed: u64, seconds: u32) -> Vec<(f64, Message)> {
    let mut world = World::new(&facility(), script, seed, START_MS);
    let mut told = Vec::new();
    for step in 1..=i64::from(seconds) * 10 {
        let moment = world.advance(0.1, START_MS + step * 100);
        told.extend(moment.messages.into_iter().map(|message| (step as f64 / 10.0, message)));
    }
    told
}

fn demo() -> Vec<(f64, Message)> {
    play(Script::demo(&facility()), 7, 110)
}

fn json(message: &Message) -> Value {
    serde_json::from_str(&message.payload).unwrap()
}

#[test]
fn the_same_seed_tells_the_same_story() {
    assert_eq!(demo(), demo());
    assert_ne!(play(Script::calm(), 7, 20), play(Script::calm(), 8, 20));
}

#[test]
fn every_payload_is_json_and_every_topic_a_topic() {
    for (_, message) in demo() {
        assert!(serde_json::from_str::<Value>(&message.payload).is_ok(), "{message:?}");
        assert!(message.topic.starts_with("jarvis/") && !message.topic.contains(['+', '#']), "{message:?}");
    }
}

#[test]
fn every_device_that_is_not_silenced_has_a_heartbeat() {
    let mut last: BTreeMap<String, f64> = BTreeMap::new();
    let mut gaps: BTreeMap<String, f64> = BTreeMap::new();
    for (at, message) in demo().into_iter().filter(|(_, m)| m.topic.ends_with("/heartbeat")) {
        let gap = at - last.insert(message.topic.clone(), at).unwrap_or(0.0);
        let longest = gaps.entry(message.topic).or_default();
        *longest = longest.max(gap);
    }
    assert_eq!(gaps.len(), facility().devices.len());
    let silent: Vec<&String> = gaps.iter().filter(|(_, gap)| **gap > 30.0).map(|(topic, _)| topic).collect();
    assert_eq!(silent, ["jarvis/devices/cam-hall/heartbeat", "jarvis/devices/climate-lounge/heartbeat"]);
}

#[test]
fn one_nozzle_overheats_beyond_its_rating_and_comes_back() {
    let over: Vec<(f64, String)> = demo()
        .iter()
        .filter(|(_, m)| m.topic.contains("/temperature/"))
        .filter_map(|(at, m)| {
            let reading = json(m);
            let (actual, target) = (reading["actual"].as_f64()?, reading["target"].as_f64()?);
            (target > 0.0 && actual > target + 15.0).then(|| (*at, m.topic.clone()))
        })
        .collect();
    let topics: BTreeSet<&String> = over.iter().map(|(_, topic)| topic).collect();
    assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["jarvis/printers/mini-1/temperature/tool0"]);
    assert!(over[0].0 < 16.0 && over[over.len() - 1].0 > 45.0 && over[over.len() - 1].0 < 70.0, "{over:?}");
}

#[test]
fn one_heater_stays_cold_for_most_of_a_minute() {
    let cold: Vec<(f64, String)> = demo()
        .iter()
        .filter(|(_, m)| m.topic.ends_with("/tool0"))
        .filter_map(|(at, m)| {
            let reading = json(m);
            (reading["actual"].as_f64()? < reading["target"].as_f64()? - 15.0).then(|| (*at, m.topic.clone()))
        })
        .filter(|(_, topic)| topic.contains("x1c-1"))
        .collect();
    assert!(cold[0].0 < 15.0 && cold[cold.len() - 1].0 > 60.0 && cold[cold.len() - 1].0 < 90.0, "{cold:?}");
}

#[test]
fn one_print_stands_still_for_longer_than_it_may() {
    let mut since: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut longest: BTreeMap<String, f64> = BTreeMap::new();
    for (at, message) in demo().iter().filter(|(_, m)| m.topic.ends_with("/job")) {
        let job = json(message);
        if job["state"] != "printing" {
            continue;
        }
        let progress = job["progress"].as_f64().unwrap();
        let (known, from) = *since.entry(message.topic.clone()).or_insert((progress, *at));
        let from = if known == progress { from } else { *at };
        since.insert(message.topic.clone(), (progress, from));
        let still = longest.entry(message.topic.clone()).or_default();
        *still = still.max(at - from);
    }
    let stalled: Vec<&String> = longest.iter().filter(|(_, still)| **still > 40.0).map(|(topic, _)| topic).collect();
    assert_eq!(stalled.len(), 1, "{longest:?}");
    assert!(longest.values().filter(|still| **still > 10.0).count() == 1, "{longest:?}");
}

#[test]
fn one_spool_runs_low_and_is_changed() {
    let low: BTreeMap<String, f64> = facility().printers.into_iter().map(|p| (p.id, p.low_filament_g)).collect();
    let mut levels: Vec<bool> = Vec::new();
    for (_, message) in demo().iter().filter(|(_, m)| m.topic.ends_with("/filament")) {
        let printer = message.topic.split('/').nth(2).unwrap();
        let is_low = json(message)["remaining_g"].as_f64().unwrap() <= low[printer];
        assert!(!is_low || printer == "giga-1", "{message:?}");
        if printer == "giga-1" && levels.last() != Some(&is_low) {
            levels.push(is_low);
        }
    }
    assert_eq!(levels, [false, true, false]);
}

#[test]
fn one_door_stands_open_for_longer_than_it_may() {
    let told = demo();
    let laser: Vec<(f64, Value)> =
        told.iter().filter(|(_, m)| m.topic == "jarvis/doors/door-laser/state").map(|(at, m)| (*at, json(m))).collect();
    let opened = laser.iter().position(|(at, state)| state["state"] == "open" && *at > 9.0).unwrap();
    assert!(laser[opened + 1].0 - laser[opened].0 > 25.0, "{laser:?}");
    assert_eq!(laser[opened + 1].1["state"], "closed");
    assert!(told.iter().filter(|(_, m)| m.topic.starts_with("jarvis/doors/")).all(|(_, m)| m.retain));
}

#[test]
fn on_a_calm_day_nothing_is_out_of_bounds() {
    for (_, message) in play(Script::calm(), 3, 600).iter().filter(|(_, m)| m.topic.contains("/temperature/")) {
        let reading = json(message);
        let (actual, target) = (reading["actual"].as_f64().unwrap(), reading["target"].as_f64().unwrap());
        assert!(target == 0.0 || actual < target + 3.0, "{message:?}");
    }
}

#[test]
fn the_states_name_every_door_and_spool() {
    let facility = facility();
    let world = World::new(&facility, Script::calm(), 1, START_MS);
    let states = world.states();
    assert_eq!(states.len(), facility.doors.len() + facility.printers.len());
    assert!(states.iter().all(|message| message.retain));
}
