//! A scripted Klipper: the host side of its API socket, with a printer that does what it is told and prints nothing.
//!
//! It follows Klipper's description of its API server: JSON objects that end with the byte 3, over a Unix socket.

use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const END: u8 = 3;

pub struct Klipper {
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    objects: Mutex<Value>,
    /// What is subscribed, how it is to be told, and where.
    subscriptions: Mutex<Vec<(Value, Value, mpsc::UnboundedSender<Value>)>>,
    /// `METHOD SCRIPT` of what would move the printer.
    done: Mutex<Vec<String>>,
    /// How long its macros take.
    macros: Mutex<Duration>,
}

impl Klipper {
    /// Listens at a path; its virtual card is a folder.
    pub fn start(at: &Path, card: &Path) -> Self {
        let listener = UnixListener::bind(at).unwrap();
        let state = Arc::new(State {
            objects: Mutex::new(objects(card)),
            subscriptions: Mutex::default(),
            done: Mutex::default(),
            macros: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { state, task }
    }

    /// Changes its objects, and tells all that have subscribed.
    pub fn change(&self, change: &Value) {
        self.state.change(change);
    }

    pub fn macros_take(&self, time: Duration) {
        *self.state.macros.lock().unwrap() = time;
    }

    /// How often it was told to do something that begins like this.
    pub fn count(&self, start: &str) -> usize {
        self.state.done.lock().unwrap().iter().filter(|done| done.starts_with(start)).count()
    }
}

impl Drop for Klipper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn objects(card: &Path) -> Value {
    json!({
        "webhooks": {"state": "ready", "state_message": "Printer is ready"},
        "configfile": {"config": {}, "settings": {"virtual_sdcard": {"path": card}}, "warnings": []},
        "print_stats": {"filename": "", "total_duration": 0.0, "print_duration": 0.0, "filament_used": 0.0,
            "state": "standby", "message": "", "info": {"total_layer": null, "current_layer": null}},
        "virtual_sdcard": {"file_path": null, "progress": 0.0, "is_active": false, "file_position": 0, "file_size": 0},
        "pause_resume": {"is_paused": false},
        "display_status": {"progress": 0.0, "message": null},
        "idle_timeout": {"state": "Ready", "printing_time": 0.0},
        "gcode_move": {"gcode_position": [0.0, 0.0, 0.2, 0.0], "speed": 1500.0},
        "toolhead": {"position": [0.0, 0.0, 0.2, 0.0]},
        "extruder": {"temperature": 25.0, "target": 0.0, "power": 0.0},
        "heater_bed": {"temperature": 25.0, "target": 0.0, "power": 0.0},
        "filament_switch_sensor runout": {"filament_detected": true, "enabled": true},
        "gcode_macro PAUSE": {}, "gcode_macro RESUME": {}, "gcode_macro CANCEL_PRINT": {},
    })
}

impl State {
    fn change(&self, change: &Value) {
        let mut objects = self.objects.lock().unwrap();
        for (name, fields) in change.as_object().unwrap() {
            for (field, value) in fields.as_object().unwrap() {
                objects[name][field] = value.clone();
            }
        }
        for (wanted, template, to) in self.subscriptions.lock().unwrap().iter() {
            let mut status = pick(change, wanted);
            status.retain(|_, fields| fields.as_object().is_some_and(|fields| !fields.is_empty()));
            if !status.is_empty() {
                let mut message = template.clone();
                message["params"] = json!({"eventtime": 1.0, "status": status});
                let _ = to.send(message);
            }
        }
    }

    async fn call(&self, method: &str, params: &Value, to: &mpsc::UnboundedSender<Value>) -> Value {
        match method {
            "info" => {
                let objects = self.objects.lock().unwrap();
                json!({"state": objects["webhooks"]["state"], "state_message": objects["webhooks"]["state_message"],
                    "hostname": "test", "klipper_path": "/k", "python_path": "/p", "process_id": 1, "user_id": 0,
                    "group_id": 0, "log_file": "/l", "config_file": "/c", "software_version": "v0.12", "cpu_info": "x"})
            }
            "list_endpoints" => json!({"endpoints": ["info", "emergency_stop", "list_endpoints", "objects/list",
                "objects/query", "objects/subscribe", "gcode/script", "gcode/subscribe_output", "pause_resume/pause",
                "pause_resume/resume", "pause_resume/cancel", "register_remote_method"]}),
            "objects/list" => {
                let objects = self.objects.lock().unwrap();
                json!({"objects": objects.as_object().unwrap().keys().collect::<Vec<_>>()})
            }
            "objects/query" | "objects/subscribe" => {
                let wanted = params["objects"].clone();
                let status = pick(&self.objects.lock().unwrap(), &wanted);
                if method == "objects/subscribe" {
                    // A new subscription takes the place of the connection's last one.
                    let mut subscriptions = self.subscriptions.lock().unwrap();
                    subscriptions.retain(|(_, _, other)| !other.same_channel(to));
                    subscriptions.push((wanted, params["response_template"].clone(), to.clone()));
                }
                json!({"eventtime": 1.0, "status": status})
            }
            _ => self.act(method, params).await,
        }
    }

    async fn act(&self, method: &str, params: &Value) -> Value {
        let script = params["script"].as_str().unwrap_or_default();
        self.done.lock().unwrap().push(format!("{method} {script}"));
        let time = *self.macros.lock().unwrap();
        let quoted = script.split('"').nth(1).unwrap_or_default();
        match method {
            "emergency_stop" => {
                let said = "Shutdown due to webhooks request";
                self.change(&json!({"webhooks": {"state": "shutdown", "state_message": said}}));
            }
            "pause_resume/pause" => {
                self.change(&json!({"pause_resume": {"is_paused": true}}));
                tokio::time::sleep(time).await;
                self.change(&json!({"print_stats": {"state": "paused"}, "virtual_sdcard": {"is_active": false}}));
            }
            "pause_resume/resume" => {
                tokio::time::sleep(time).await;
                self.change(&json!({"pause_resume": {"is_paused": false}, "print_stats": {"state": "printing",
                    "total_duration": 20.0}, "virtual_sdcard": {"is_active": true}}));
            }
            "pause_resume/cancel" => {
                self.change(&json!({"pause_resume": {"is_paused": false}, "print_stats": {"state": "cancelled"}}));
            }
            "gcode/script" if script.starts_with("SDCARD_PRINT_FILE") => {
                self.change(&json!({"print_stats": {"filename": quoted, "state": "printing", "print_duration": 1.0,
                    "total_duration": 1.0}, "virtual_sdcard": {"is_active": true, "progress": 0.1}}));
            }
            "gcode/script" if script.starts_with("SET_HEATER_TEMPERATURE") => {
                let of = |name: &str| script.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
                let target: f64 = of("TARGET=").parse().unwrap();
                self.change(&json!({ of("HEATER="): {"target": target} }));
            }
            _ => {}
        }
        json!({})
    }
}

/// The wanted fields of objects; `null` wants all of them.
fn pick(objects: &Value, wanted: &Value) -> Map<String, Value> {
    let mut picked = Map::new();
    for (name, fields) in wanted.as_object().into_iter().flatten() {
        let Some(object) = objects.get(name).and_then(Value::as_object) else { continue };
        let is_wanted =
            |field: &str| fields.as_array().is_none_or(|fields| fields.iter().any(|wanted| wanted == field));
        let object = object.iter().filter(|(field, _)| is_wanted(field));
        picked.insert(name.clone(), object.map(|(field, value)| (field.clone(), value.clone())).collect());
    }
    picked
}

async fn serve(stream: UnixStream, state: Arc<State>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let (to, mut outbox) = mpsc::unbounded_channel::<Value>();
    tokio::spawn(async move {
        while let Some(message) = outbox.recv().await {
            let mut bytes = message.to_string().into_bytes();
            bytes.push(END);
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut line = vec![];
    while reader.read_until(END, &mut line).await.is_ok_and(|read| read > 0) {
        line.pop();
        let request: Value = serde_json::from_slice(&line).unwrap();
        line.clear();
        let (state, to) = (Arc::clone(&state), to.clone());
        tokio::spawn(async move {
            let result = state.call(request["method"].as_str().unwrap(), &request["params"], &to).await;
            let _ = to.send(json!({"id": request["id"], "result": result}));
        });
    }
}
