//! The `mqtt` source against real brokers.

mod support;

use jarvis_sources::{BrokerError, start_embedded_broker};
use rumqttc::QoS;
use std::path::Path;
use std::process::Command;
use support::{Mosquitto, SOON, publish, start, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const COLUMNS: [(&str, &str); 2] = [("tool", "utf8"), ("n", "int64")];

/// Messages of one topic, numbered.
fn numbered(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{{\"n\":{n}}}")).collect()
}

fn on_topic<'m>(topic: &'m str, payloads: &'m [String]) -> Vec<(&'m str, &'m [u8])> {
    payloads.iter().map(|payload| (topic, payload.as_bytes())).collect()
}

fn rows(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("t0|{n}")).collect()
}

fn topic(broker: &Mosquitto) -> String {
    format!("{{ topic: 'shop/{{tool}}/temperature', broker: '{}' }}", broker.url())
}

#[tokio::test]
async fn what_is_not_safe_is_sent_again_and_what_is_safe_is_not() {
    let broker = Mosquitto::start("");
    let (stream, yaml) = (stream(&COLUMNS, &[]), topic(&broker));
    let mut source = start(&stream, &yaml, broker.folder.path());
    connected(&broker, 1).await;
    broker.publish(&on_topic("shop/t0/temperature", &numbered(0..5)), QoS::AtLeastOnce, false).await;
    assert_eq!(source.take(5).await.rows, rows(0..5));
    source.stop().await;

    let mut source = start(&stream, &yaml, broker.folder.path());
    let taken = source.take(5).await;
    assert_eq!(taken.rows, rows(0..5), "it was not acknowledged");
    taken.make_safe();
    assert_eq!(source.rest().await.rows, [""; 0]);
    source.stop().await;

    // While nobody is there the broker keeps what comes.
    broker.publish(&on_topic("shop/t0/temperature", &numbered(5..40)), QoS::AtLeastOnce, false).await;
    let mut source = start(&stream, &yaml, broker.folder.path());
    // The broker sends at most twenty without an acknowledgement.
    let mut all = Vec::new();
    while all.len() < 35 {
        let taken = source.take(1).await;
        all.extend(taken.rows.clone());
        taken.make_safe();
    }
    assert_eq!(all, rows(5..40));
    source.stop().await;
}

#[tokio::test]
async fn acknowledgements_keep_the_order_of_receipt() {
    let broker = Mosquitto::start("");
    let (stream, yaml) = (stream(&COLUMNS, &[]), topic(&broker));
    let mut source = start(&stream, &yaml, broker.folder.path());
    connected(&broker, 1).await;
    let payloads = numbered(0..3);
    let mut batches = Vec::new();
    for message in on_topic("shop/t0/temperature", &payloads) {
        broker.publish(&[message], QoS::AtLeastOnce, false).await;
        batches.push(source.take(1).await);
    }
    let third = batches.pop().expect("three");
    third.make_safe();
    let second = batches.pop().expect("three");
    second.make_safe();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!broker.log().contains("Received PUBACK"), "the first is not safe yet");
    batches.pop().expect("three").make_safe();
    wait_until(|| broker.log().matches("Received PUBACK").count() == 3).await;
    let log = broker.log();
    let acknowledged: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once("Received PUBACK from "))
        .map(|(_, rest)| rest.rsplit_once("Mid: ").expect("an id").1.split(',').next())
        .collect();
    let sent: Vec<_> = log
        .lines()
        .filter(|l| l.contains("Sending PUBLISH to jarvis"))
        .map(|line| line.split(", m").nth(1).expect("an id").split(',').next())
        .collect();
    assert_eq!(acknowledged, sent);
    source.stop().await;
}

#[tokio::test]
async fn a_broker_that_restarts_loses_nothing_and_repeats_nothing() {
    let mut broker = Mosquitto::start("");
    let mut source = start(&stream(&COLUMNS, &[]), &topic(&broker), broker.folder.path());
    connected(&broker, 1).await;
    broker.publish(&on_topic("shop/t0/temperature", &numbered(0..30)), QoS::AtLeastOnce, false).await;
    // Twenty arrive and are not safe when the broker goes; it sends them again, and the other ten.
    let before = source.take(20).await;
    assert_eq!(before.rows, rows(0..20));
    broker.stop();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    broker.start_again();
    connected(&broker, 2).await;
    broker.publish(&on_topic("shop/t0/temperature", &numbered(30..50)), QoS::AtLeastOnce, false).await;
    before.make_safe();
    let mut all = Vec::new();
    while all.len() < 30 {
        let taken = source.take(1).await;
        assert_eq!(taken.errors, []);
        all.extend(taken.rows.clone());
        taken.make_safe();
    }
    assert_eq!(all, rows(20..50));
    assert_eq!(source.rest().await.rows, [""; 0]);
    source.stop().await;
}

#[tokio::test]
async fn a_storm_arrives_whole_and_in_order() {
    let broker = Mosquitto::start("max_inflight_messages 1000");
    let mut source = start(&stream(&COLUMNS, &[]), &topic(&broker), broker.folder.path());
    connected(&broker, 1).await;
    let count = 20_000;
    let payloads = numbered(0..count);
    let messages = on_topic("shop/t0/temperature", &payloads);
    let publishing = broker.publish(&messages, QoS::AtLeastOnce, false);
    let reading = async {
        let (mut all, mut arrivals) = (Vec::new(), 0);
        while all.len() < count {
            let taken = source.take(1).await;
            arrivals += 1;
            all.extend(taken.rows.clone());
            taken.make_safe();
        }
        (all, arrivals)
    };
    let ((), (all, arrivals)) = tokio::join!(publishing, reading);
    assert_eq!(all, rows(0..count));
    assert!(arrivals < count, "what has arrived together is handed over together");
    source.stop().await;
}

#[tokio::test]
async fn bad_messages_are_error_rows_and_the_connection_stays() {
    let broker = Mosquitto::start("");
    let mut source = start(&stream(&COLUMNS, &[]), &topic(&broker), broker.folder.path());
    connected(&broker, 1).await;
    let large = format!("{{\"n\":1,\"x\":\"{}\"}}", "x".repeat(100_000));
    let messages: [(&str, &[u8]); 6] = [
        ("shop/t0/temperature", large.as_bytes()),
        ("shop/t0/temperature", b"not json"),
        ("shop/t0/temperature", b"{\"n\":\"\xff\"}"),
        ("shop/t0/temperature", b""),
        ("shop/t0/temperature", b"{\"n\":1e99}"),
        ("shop/t0/temperature", b"{\"n\":7}"),
    ];
    broker.publish(&messages, QoS::AtLeastOnce, false).await;
    let taken = source.take(6).await;
    assert_eq!(taken.rows, ["t0|7"]);
    let codes: Vec<_> = taken.errors.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, ["too_large", "json_syntax", "invalid_utf8", "empty_payload", "wrong_type"]);
    taken.make_safe();
    assert_eq!(source.rest().await.errors, []);
    assert_eq!(broker.log().matches("New client connected").count(), 2, "the source and the publisher");
    source.stop().await;
}

#[tokio::test]
async fn retained_messages_and_empty_payloads_keep_a_keyed_stream() {
    let broker = Mosquitto::start("");
    broker
        .publish(&[("shop/a/temperature", b"{\"n\":1}"), ("shop/b/temperature", b"{\"n\":2}")], QoS::AtLeastOnce, true)
        .await;
    let mut source = start(&stream(&COLUMNS, &[0]), &topic(&broker), broker.folder.path());
    let mut taken = source.take(2).await;
    taken.rows.sort();
    assert_eq!(taken.rows, ["a|1", "b|2"]);
    broker.publish(&[("shop/a/temperature", b"")], QoS::AtLeastOnce, true).await;
    assert_eq!(source.take(1).await.rows, ["-a|0"]);
    source.stop().await;
}

#[tokio::test]
async fn a_resumed_session_does_not_repeat_retained_messages() {
    let mut broker = Mosquitto::start("");
    broker.publish(&[("shop/a/temperature", b"{\"n\":1}")], QoS::AtLeastOnce, true).await;
    let mut source = start(&stream(&COLUMNS, &[]), &topic(&broker), broker.folder.path());
    let taken = source.take(1).await;
    assert_eq!(taken.rows, ["a|1"]);
    taken.make_safe();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    broker.stop();
    broker.start_again();
    connected(&broker, 2).await;
    assert_eq!(source.rest().await.rows, [""; 0]);
    broker.publish(&[("shop/b/temperature", b"{\"n\":2}")], QoS::AtLeastOnce, false).await;
    assert_eq!(source.take(1).await.rows, ["b|2"]);
    source.stop().await;
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output();
    let output = output.expect("this test needs openssl: run `apt-get install -y openssl`");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a certificate of it for the broker and for a client.
fn certificates(folder: &Path) {
    let request = "req -newkey rsa:2048 -nodes -sha256";
    openssl(folder, &format!("{request} -x509 -days 2 -keyout ca.key -out ca.pem -subj /CN=test-authority"));
    openssl(folder, &format!("{request} -x509 -days 2 -keyout other.key -out other.pem -subj /CN=other-authority"));
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").expect("written");
    for name in ["broker", "client"] {
        openssl(folder, &format!("{request} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -sha256 -extfile names -out {name}.pem"
            ),
        );
    }
}

#[tokio::test]
async fn tls_trusts_the_named_authority_only() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let config =
        "cafile FOLDER/ca.pem\ncertfile FOLDER/broker.pem\nkeyfile FOLDER/broker.key\nrequire_certificate true";
    let broker = Mosquitto::start_in(folder, config);
    let with = |tls: &str| {
        format!("{{ topic: 'shop/{{tool}}/#', broker: 'mqtts://127.0.0.1:{}', tls: {{ {tls} }} }}", broker.port)
    };
    let stream = stream(&COLUMNS, &[]);

    let mut source = start(&stream, &with("ca: ca.pem, cert: client.pem, key: client.key"), broker.folder.path());
    connected(&broker, 1).await;
    let published = Command::new("mosquitto_pub")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &broker.port.to_string(),
            "--cafile",
            "ca.pem",
            "--cert",
            "client.pem",
            "--key",
            "client.key",
        ])
        .args(["-q", "1", "-t", "shop/t0/x", "-m", "{\"n\":1}"])
        .current_dir(broker.folder.path())
        .status();
    assert!(published.expect("this test needs mosquitto_pub: run `apt-get install -y mosquitto-clients`").success());
    assert_eq!(source.take(1).await.rows, ["t0|1"]);
    source.stop().await;

    for (tls, reason) in [("ca: other.pem, cert: client.pem, key: client.key", "UnknownIssuer"), ("ca: ca.pem", "")] {
        let mut source = start(&stream, &with(tls), broker.folder.path());
        if !reason.is_empty() {
            let (code, message) = source.take(1).await.errors.remove(0);
            assert_eq!(code, "broker_tls");
            assert!(message.contains(reason), "{message}");
        }
        assert_eq!(source.rest().await.rows, [""; 0], "{tls}");
        source.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_once_and_a_right_one_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("mosquitto_passwd")
        .args(["-b", "-c", "users", "jarvis", "secret"])
        .current_dir(folder.path())
        .status();
    assert!(made.expect("this test needs Mosquitto: run `apt-get install -y mosquitto`").success());
    let broker = Mosquitto::start_in(folder, "allow_anonymous false\npassword_file FOLDER/users");
    let with = |password: &str| {
        format!("{{ topic: 'shop/#', broker: '{}', username: jarvis, password: {password} }}", broker.url())
    };
    let stream = stream(&[("n", "int64")], &[]);

    let mut source = start(&stream, &with("wrong"), broker.folder.path());
    let taken = source.take(1).await;
    assert_eq!(taken.errors[0].0, "broker_refused");
    assert!(taken.errors[0].1.contains("refuses the user name or password"), "{}", taken.errors[0].1);
    assert_eq!(source.rest().await.errors, [], "it is said once");
    source.stop().await;

    let source = start(&stream, &with("secret"), broker.folder.path());
    wait_until(|| broker.log().contains("Sending SUBACK")).await;
    source.stop().await;
}

/// Mosquitto refuses subscriptions only through plugins, so a few bytes play a broker.
#[tokio::test]
async fn a_refused_subscription_is_an_error_row() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let broker = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.expect("a client");
        let mut packet = [0; 1024];
        let _ = socket.read(&mut packet).await.expect("CONNECT");
        socket.write_all(&[0x20, 2, 0, 0]).await.expect("CONNACK");
        let _ = socket.read(&mut packet).await.expect("SUBSCRIBE");
        socket.write_all(&[0x90, 3, packet[2], packet[3], 0x80]).await.expect("SUBACK");
        let _ = socket.read(&mut packet).await;
    });
    let yaml = format!("{{ topic: 'shop/#', broker: 'mqtt://127.0.0.1:{port}' }}");
    let mut source = start(&stream(&[("n", "int64")], &[]), &yaml, Path::new("/"));
    let (code, message) = source.take(1).await.errors.remove(0);
    assert_eq!(code, "subscription_refused");
    assert!(message.contains("`shop/#`"), "{message}");
    source.stop().await;
    tokio::time::timeout(SOON, broker).await.expect("it ends").expect("it does not panic");
}

#[tokio::test]
async fn the_embedded_broker_serves_a_source() {
    let broker = start_embedded_broker("127.0.0.1:0".parse().expect("an address")).expect("a broker");
    let port = broker.address().port();
    let yaml = format!("{{ topic: 'shop/{{tool}}/#', broker: 'mqtt://127.0.0.1:{port}' }}");
    let stream = stream(&COLUMNS, &[]);
    let mut source = start(&stream, &yaml, Path::new("/"));
    let payloads = numbered(0..500);
    // Published until it is subscribed, which only the first rows show.
    let mut first = Vec::new();
    while first.is_empty() {
        publish(port, &[("shop/t0/x", b"{\"n\":-1}")], QoS::AtLeastOnce, false).await;
        let taken = source.rest().await;
        first = taken.rows.clone();
        taken.make_safe();
    }
    publish(port, &on_topic("shop/t0/x", &payloads), QoS::AtLeastOnce, false).await;
    let mut all = Vec::new();
    while all.len() < 500 {
        let taken = source.take(1).await;
        all.extend(taken.rows.clone());
        taken.make_safe();
    }
    assert_eq!(all, rows(0..500));
    source.stop().await;
    let taken = start_embedded_broker(broker.address()).expect_err("the port is taken");
    assert!(matches!(taken, BrokerError::Taken { .. }));
    assert!(taken.to_string().contains("is taken"), "{taken}");
}

/// Waits until the source has subscribed so many times.
async fn connected(broker: &Mosquitto, times: usize) {
    wait_until(|| broker.log().matches("Sending SUBACK to jarvis").count() >= times).await;
}

async fn wait_until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.expect("it happens soon");
}
