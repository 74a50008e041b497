//! All devices of a facility together.

use crate::cadence::Cadence;
use crate::door::Door;
use crate::facility::Facility;
use crate::heater::HeaterFault;
use crate::message::Message;
use crate::printer::Printer;
use crate::rng::Rng;
use crate::script::{Action, Script};
use crate::sensor::Sensor;
use std::collections::BTreeSet;

/// What happened in a step of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    /// What devices published.
    pub messages: Vec<Message>,
    /// What the script did, for people.
    pub actions: Vec<Action>,
}

/// A facility at work.
#[derive(Clone, Debug)]
pub struct World {
    printers: Vec<Printer>,
    doors: Vec<WatchedDoor>,
    sensors: Vec<(Sensor, Cadence)>,
    pulses: Vec<Pulse>,
    /// Devices that do not talk.
    silent: BTreeSet<String>,
    script: Script,
}

/// A door and since when it is as it is.
#[derive(Clone, Debug)]
struct WatchedDoor {
    door: Door,
    since_ms: i64,
}

impl WatchedDoor {
    fn message(&self) -> Message {
        Message::door(&self.door.id, self.door.is_open(), self.since_ms)
    }
}

/// The heartbeat of one device.
#[derive(Clone, Debug)]
struct Pulse {
    device: String,
    due: Cadence,
    uptime_s: f64,
}

/// Seconds between heartbeats, and between readings of a sensor.
const HEARTBEAT_S: f64 = 5.0;

impl World {
    /// `now_ms`: milliseconds since the Unix epoch.
    pub fn new(facility: &Facility, script: Script, seed: u64, now_ms: i64) -> Self {
        let mut rng = Rng::of(seed, "world");
        let mut printers: Vec<Printer> = facility.printers.iter().map(|model| Printer::new(model, seed)).collect();
        for printer in &mut printers {
            if rng.unit() < 0.7 {
                printer.be_at_work();
            }
        }
        let doors = facility
            .doors
            .iter()
            .map(|model| WatchedDoor { door: Door::closed(&model.id, model.allowed_open_s, seed), since_ms: now_ms });
        let sensors = facility.sensors.iter().map(|model| {
            let sensor = Sensor::new(&model.id, &model.quantity, model.typical, seed);
            (sensor, Cadence::new(HEARTBEAT_S, &mut Rng::of(seed, &format!("{}/{} due", model.id, model.quantity))))
        });
        let pulses = facility.devices.iter().map(|device| {
            let mut rng = Rng::of(seed, &format!("{} heartbeat", device.id));
            Pulse {
                device: device.id.clone(),
                due: Cadence::new(HEARTBEAT_S, &mut rng),
                uptime_s: rng.between(600.0, 900_000.0).round(),
            }
        });
        Self {
            printers,
            doors: doors.collect(),
            sensors: sensors.collect(),
            pulses: pulses.collect(),
            silent: BTreeSet::new(),
            script,
        }
    }

    /// Lets time pass: `seconds` of it in this world, at the end of which clocks show `now_ms`.
    pub fn advance(&mut self, seconds: f64, now_ms: i64) -> Moment {
        let mut moment = Moment { messages: Vec::new(), actions: self.script.advance(seconds) };
        for action in &moment.actions {
            if let Some(message) = act(self, action, now_ms) {
                moment.messages.push(message);
            }
        }
        for printer in &mut self.printers {
            printer.advance(seconds);
            if !self.silent.contains(&printer.id) {
                printer.speak(seconds, now_ms, &mut moment.messages);
            }
        }
        for watched in &mut self.doors {
            if watched.door.advance(seconds) {
                watched.since_ms = now_ms;
                moment.messages.push(watched.message());
            }
        }
        for (sensor, due) in &mut self.sensors {
            if due.due(seconds) && !self.silent.contains(&sensor.id) {
                let value = sensor.read();
                moment.messages.push(Message::sensor(&sensor.id, &sensor.quantity, value));
            }
        }
        for pulse in &mut self.pulses {
            pulse.uptime_s += seconds;
            if pulse.due.due(seconds) && !self.silent.contains(&pulse.device) {
                moment.messages.push(Message::heartbeat(&pulse.device, pulse.uptime_s as u64, now_ms));
            }
        }
        moment
    }

    /// The states that a broker keeps, for one that may have lost them.
    pub fn states(&self) -> Vec<Message> {
        let doors = self.doors.iter().map(WatchedDoor::message);
        doors.chain(self.printers.iter().map(Printer::filament)).collect()
    }

    fn printer(&mut self, id: &str) -> Option<&mut Printer> {
        self.printers.iter_mut().find(|printer| printer.id == id)
    }

    /// Does something to a door; its new state if that moved it.
    fn move_door(&mut self, id: &str, now_ms: i64, action: impl FnOnce(&mut Door) -> bool) -> Option<Message> {
        let watched = self.doors.iter_mut().find(|watched| watched.door.id == id)?;
        if !action(&mut watched.door) {
            return None;
        }
        watched.since_ms = now_ms;
        Some(watched.message())
    }
}

/// Does what the script says; the message that a device sends at once. A device that the world lacks is left out.
fn act(world: &mut World, action: &Action, now_ms: i64) -> Option<Message> {
    match action {
        Action::BeAtWork { printer } => world.printer(printer)?.be_at_work(),
        Action::RunAway { printer, to } => {
            world.printer(printer)?.set_nozzle_fault(Some(HeaterFault::RunsAwayTo(*to)));
        }
        Action::BreakHeater { printer } => world.printer(printer)?.set_nozzle_fault(Some(HeaterFault::Dead)),
        Action::MendHeater { printer } => world.printer(printer)?.set_nozzle_fault(None),
        Action::Stall { printer } => world.printer(printer)?.set_stalled(true),
        Action::Unstall { printer } => world.printer(printer)?.set_stalled(false),
        Action::LoadSpool { printer, grams } => {
            let printer = world.printer(printer)?;
            printer.load_spool(*grams);
            return Some(printer.filament());
        }
        Action::HoldDoor { door } => return world.move_door(door, now_ms, Door::hold),
        Action::ReleaseDoor { door } => return world.move_door(door, now_ms, Door::release),
        Action::Silence { device } => {
            world.silent.insert(device.clone());
        }
        Action::Wake { device } => {
            world.silent.remove(device);
            if let Some(pulse) = world.pulses.iter_mut().find(|pulse| pulse.device == *device) {
                pulse.uptime_s = 0.0;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
