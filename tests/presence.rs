//! The shipped presence of zones, end to end: an RTSP camera of H.264, the catalog's detector of persons, and a broker.
//! Somebody comes into the picture; then the camera falls silent, and nobody knows.

mod common;
#[path = "../models/tests/fetched/mod.rs"]
mod fetched;
#[path = "common/rtsp.rs"]
mod rtsp;

use common::mqtt::Subscriber;
use common::{Folder, Instance, free_port, repository, wait_for};
use fetched::{media, models};
use image::{Rgb, RgbImage, imageops};
use rtsp::Rtsp;
use serde_json::Value;
use std::path::Path;

/// Pictures of a room with its noise; in it somebody, whose height is half of the room's.
fn draw(folder: &Path, somebody: Option<&RgbImage>) {
    std::fs::create_dir_all(folder).unwrap();
    for number in 0..12_u32 {
        let mut seed = 0x9e37_79b9_u32 ^ number.wrapping_mul(7919);
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 28) as u8
        };
        let mut room = RgbImage::from_fn(640, 480, |_, y| {
            let light = if y < 300 { 150 } else { 110 } + noise();
            Rgb([light, light, light.saturating_add(8)])
        });
        if let Some(somebody) = somebody {
            imageops::replace(&mut room, somebody, 200 + i64::from(number % 3), 190);
        }
        room.save(folder.join(format!("{number:02}.png"))).unwrap();
    }
}

#[test]
fn a_zone_is_empty_occupied_and_unknown_as_its_camera_sees() {
    let (Some(_), Some(astronaut)) = (models("person-detector"), media("pictures-astronaut")) else { return };
    let somebody = image::open(astronaut).unwrap().to_rgb8();
    let somebody = imageops::resize(&somebody, 240, 240, imageops::FilterType::Triangle);
    let folder = Folder::with(&[]);
    draw(&folder.path("empty"), None);
    draw(&folder.path("occupied"), Some(&somebody));
    let camera = Rtsp::start();
    camera.show("hall", &folder.path("empty").display().to_string());
    camera.size("hall", 640, 480);
    folder.write("cameras.yaml", &format!("cam-hall: {{ address: '{}', rate: 2 }}\n", camera.url("hall")));
    let broker = free_port();
    let pipeline = repository().join("pipelines/zone_presence.yaml").display().to_string();
    let config = repository().join("config").display().to_string();
    let listening = [format!("--embedded-broker=127.0.0.1:{broker}"), "--listen=127.0.0.1:0".to_owned()];
    let [to, at] = &listening;
    let mut command = folder.command(&["run", &pipeline, "--config", &config, to, at, "--data", "data"]);
    command.env("JARVIS_CAMERAS", folder.path("cameras.yaml"));
    let instance = Instance::run(command);
    instance.address();
    let told = Subscriber::start(broker, "jarvis/zones/#");
    let newest = |zone: &str| -> Option<Value> {
        let topic = format!("jarvis/zones/{zone}/presence");
        let payload = told.messages().into_iter().rfind(|(t, _)| *t == topic)?.1;
        Some(serde_json::from_str(&payload).unwrap())
    };
    let wait = |status: &str| wait_for(status, || newest("fdm_hall").filter(|row| row["status"] == status));

    let empty = wait("vacated");
    assert_eq!(empty["people"], 0, "{empty}");
    camera.show("hall", &folder.path("occupied").display().to_string());
    let occupied = wait("present");
    assert_eq!(occupied["people"], 1, "{occupied}");
    assert!(occupied["reason"].as_str().is_some_and(|reason| reason.contains("cam-hall")), "{occupied}");
    camera.stall("hall");
    let unknown = wait("unknown");
    assert!(unknown["people"].is_null(), "{unknown}");
    // No camera looks at the lounge.
    assert_eq!(newest("lounge").unwrap()["status"], "unknown");
    let statuses: Vec<String> = told
        .messages()
        .into_iter()
        .filter(|(topic, _)| topic == "jarvis/zones/fdm_hall/presence")
        .map(|(_, payload)| serde_json::from_str::<Value>(&payload).unwrap()["status"].as_str().unwrap().to_owned())
        .collect();
    let occupied = statuses.iter().position(|status| status == "present").unwrap();
    assert!(!statuses[occupied..].contains(&"vacated".to_owned()), "nobody was seen to leave: {statuses:?}");
}
