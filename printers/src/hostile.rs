//! Whatever a printer sends, reading it does not panic: any JSON at all, and real messages with fields that are
//! missing, `null`, or of another type.

use crate::json::merge;
use crate::start::Start;
use crate::{bambu, moonraker, octoprint, prusalink};
use proptest::prelude::*;
use serde_json::{Value, json};

/// All that a parser may be given.
fn read(value: &Value) {
    octoprint::read_anything(value);
    moonraker::read_anything(value);
    prusalink::read_anything(value);
    bambu::read_anything(value, &Start::default());
    let mut state = messages();
    merge(&mut state, value.clone());
}

/// Messages of all protocols, one beside the other.
fn messages() -> Value {
    json!({
        "current": {
            "state": {"text": "Printing", "flags": {"printing": true}, "error": ""},
            "job": {"file": {"path": "a", "origin": "local", "size": 1, "date": 2}, "estimatedPrintTime": 1},
            "currentZ": 0.2, "progress": {"completion": 50.0, "printTime": 4, "printTimeLeft": 5},
            "temps": [{"tool0": {"actual": 20.0, "target": 0.0}}], "markings": [{"type": "print", "time": 1.5}],
        },
        "state": {"text": "Paused", "flags": {"paused": true}}, "temperature": {"bed": {"actual": 1.0, "target": 2.0}},
        "print_stats": {"state": "printing", "filename": "a", "print_duration": 1.0, "info": {"current_layer": 1}},
        "webhooks": {"state": "ready"}, "virtual_sdcard": {"progress": 0.5}, "extruder": {"temperature": 1.0},
        "extruder4294967296": {"temperature": 1.0}, "gcode_move": {"gcode_position": [1, 2, 3]},
        "job": {"id": 1, "progress": 5.0, "file": {"name": "a", "path": "/usb"}}, "printer": {"state": "PRINTING"},
        "print": {"sequence_id": "1", "command": "pause", "result": "fail", "err_code": 1, "reason": "x"},
        "gcode_state": "RUNNING", "gcode_file": "a", "layer_num": 1, "print_error": 1, "nozzle_temper": 1.0,
        "hw_switch_state": 1, "mc_percent": 1, "mc_remaining_time": 1,
    })
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,6}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Takes the way that `steps` choose, and puts `value` where it ends; or leaves that field out.
fn spoil(message: &mut Value, steps: &[usize], value: Option<Value>) {
    let (step, rest) = match steps.split_first() {
        Some((step, rest)) => (*step, rest),
        None => return *message = value.unwrap_or_default(),
    };
    match message {
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(step % fields.len()).cloned().unwrap_or_default();
            if rest.is_empty() && value.is_none() {
                fields.remove(&name);
            } else if let Some(field) = fields.get_mut(&name) {
                spoil(field, rest, value);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let number = step % items.len();
            spoil(&mut items[number], rest, value);
        }
        other => *other = value.unwrap_or_default(),
    }
}

proptest! {
    #[test]
    fn any_json_is_read(value in anything()) {
        read(&value);
    }

    #[test]
    fn a_spoiled_message_is_read(
        spoils in prop::collection::vec((prop::collection::vec(0_usize..64, 1..4), prop::option::of(anything())), 1..6),
    ) {
        let mut message = messages();
        for (steps, value) in spoils {
            spoil(&mut message, &steps, value);
        }
        read(&message);
    }
}
