//! The simulator against a real broker, also one that goes away.

use jarvis_simulator::facility::Facility;
use jarvis_simulator::publish::{Stage, Tally, now_ms, play};
use jarvis_simulator::script::Script;
use jarvis_simulator::world::World;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, Publish, QoS};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a broker; it ends with the process.
async fn broker() -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let connections = ConnectionSettings {
        connection_timeout_ms: 5000,
        max_payload_size: 64 * 1024,
        max_inflight_count: 100,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        ServerSettings { name: "test".into(), listen: address, tls: None, next_connection_delay_ms: 1, connections };
    let router = RouterConfig {
        max_connections: 100,
        max_outgoing_packet_count: 200,
        max_segment_size: 1024 * 1024,
        max_segment_count: 10,
        ..RouterConfig::default()
    };
    let config = Config { router, v4: Some(HashMap::from([("test".into(), server)])), ..Config::default() };
    std::thread::spawn(move || {
        Broker::new(config).start().expect("the broker starts");
    });
    tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the broker listens");
    address
}

/// A line to the broker that can be cut. While it is cut, connections are closed as soon as they come.
async fn line_to(broker: SocketAddr) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (whole, watched) = watch::channel(true);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut watched = watched.clone();
            tokio::spawn(async move {
                if !*watched.borrow() {
                    return;
                }
                let Ok(mut far) = TcpStream::connect(broker).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = watched.wait_for(|whole| !whole) => {}
                }
            });
        }
    });
    (address, whole)
}

/// Hears all that is published from now on, and what is retained.
async fn listener(broker: SocketAddr, id: &str) -> mpsc::UnboundedReceiver<Publish> {
    let (client, mut event_loop) = AsyncClient::new(MqttOptions::new(id, broker.ip().to_string(), broker.port()), 16);
    client.subscribe("jarvis/#", QoS::AtLeastOnce).await.unwrap();
    let (heard, told) = mpsc::unbounded_channel();
    let (ready, subscribed) = oneshot::channel();
    tokio::spawn(async move {
        let _client = client;
        let mut ready = Some(ready);
        while let Ok(event) = event_loop.poll().await {
            let goes_on = match event {
                Event::Incoming(Packet::SubAck(_)) => ready.take().is_none_or(|ready| ready.send(()).is_ok()),
                Event::Incoming(Packet::Publish(publish)) => heard.send(publish).is_ok(),
                _ => true,
            };
            if !goes_on {
                return;
            }
        }
    });
    tokio::time::timeout(PATIENCE, subscribed).await.expect("subscribed in time").expect("the listener lives");
    told
}

/// Waits for messages on topics that begin and end like this, each at least once.
async fn hear(told: &mut mpsc::UnboundedReceiver<Publish>, wanted: &[(&str, &str)]) -> Vec<Publish> {
    let mut missing = wanted.to_vec();
    let mut found = Vec::new();
    tokio::time::timeout(PATIENCE, async {
        while !missing.is_empty() {
            let publish = told.recv().await.expect("the listener lives");
            missing.retain(|(start, end)| !(publish.topic.starts_with(start) && publish.topic.ends_with(end)));
            found.push(publish);
        }
    })
    .await
    .unwrap_or_else(|_| panic!("nothing heard on {missing:?}"));
    found
}

fn facility() -> Facility {
    Facility::read(&Path::new(".").join("../config/facility.yaml")).unwrap()
}

/// Plays the shipped facility twenty times as fast.
fn start(broker: SocketAddr) -> (oneshot::Sender<()>, JoinHandle<Tally>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let stage = Stage {
        broker: format!("mqtt://{broker}").parse().unwrap(),
        client_id: format!("simulator-{}", broker.port()),
        speed: 20.0,
    };
    let world = World::new(&facility(), Script::calm(), 7, now_ms());
    let running = tokio::spawn(async move {
        play(world, &stage, async {
            stopped.await.ok();
        })
        .await
    });
    (stop, running)
}

const EVERY_KIND: [(&str, &str); 6] = [
    ("jarvis/printers/mk4s-1/temperature/", "/tool0"),
    ("jarvis/printers/mk4s-1", "/job"),
    ("jarvis/printers/mk4s-1", "/filament"),
    ("jarvis/doors/door-main", "/state"),
    ("jarvis/devices/cam-hall", "/heartbeat"),
    ("jarvis/sensors/climate-hall", "/humidity"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_everything_and_goes_on_after_an_outage() {
    let broker = broker().await;
    let (line, whole) = line_to(broker).await;
    let mut told = listener(broker, "watcher").await;
    let (stop, running) = start(line);
    hear(&mut told, &EVERY_KIND).await;

    whole.send_replace(false);
    tokio::time::sleep(Duration::from_millis(700)).await;
    while told.try_recv().is_ok() {}
    assert!(tokio::time::timeout(Duration::from_millis(300), told.recv()).await.is_err(), "the line was cut");

    whole.send_replace(true);
    let states: Vec<String> = facility().doors.iter().map(|door| format!("jarvis/doors/{}/state", door.id)).collect();
    let states: Vec<(&str, &str)> = states.iter().map(|topic| (topic.as_str(), "")).collect();
    hear(&mut told, &states).await;
    hear(&mut told, &EVERY_KIND[..2]).await;

    stop.send(()).unwrap();
    let tally = tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap();
    assert!(tally.published > 0 && tally.lost > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_later_is_told_the_states_and_nothing_else_of_the_past() {
    let broker = broker().await;
    let mut early = listener(broker, "early").await;
    let (stop, running) = start(broker);
    hear(&mut early, &EVERY_KIND).await;
    stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap();

    let mut late = listener(broker, "late").await;
    let retained =
        hear(&mut late, &[("jarvis/doors/door-main", "/state"), ("jarvis/printers/giga-1", "/filament")]).await;
    assert!(retained.iter().all(|publish| publish.topic.ends_with("/state") || publish.topic.ends_with("/filament")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_at_once_although_there_is_no_broker() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (stop, running) = start(nobody);
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.send(()).unwrap();
    let tally = tokio::time::timeout(Duration::from_secs(5), running).await.expect("it stops").unwrap();
    assert_eq!(tally.published, 0);
}
