//! Postgres clients ask a running instance: psql, and a driver that prepares its statements.

mod common;

use common::mqtt::{Mosquitto, publish};
use common::{Folder, Instance, free_port, text, wait_for};
use std::io::{Read, Write};
use std::process::{Command, Output};
use tokio_postgres::{Config, NoTls};

const HEAT: &str = r#"
pipeline: shop
sources:
  heat:
    mqtt: { topic: "shop/{tool}/heat" }
    schema: { tool: utf8, heat: int64, at: timestamp? }
    key: [tool]
    retain: forever
operators:
  hot: { sql: "SELECT tool, heat FROM heat WHERE heat > 5" }
sinks:
  kept: { from: hot, lineage: {} }
"#;

struct Shop {
    folder: Folder,
    broker: Mosquitto,
    _instance: Instance,
    port: u16,
    password: String,
}

impl Shop {
    fn open() -> Self {
        let folder = Folder::with(&[("pipelines/shop.yaml", HEAT)]);
        let broker = Mosquitto::start(&folder);
        let port = free_port();
        let postgres = format!("--postgres=127.0.0.1:{port}");
        let mut command = folder.command(&["run", "pipelines", "--listen", "none", "--data", "data", &postgres]);
        command.env("JARVIS_MQTT", broker.url()).env_remove("JARVIS_POSTGRES_PASSWORD");
        let instance = Instance::run(command);
        broker.wait_for_subscriptions(1);
        let password = folder.read("data/postgres.password").trim().to_owned();
        let shop = Shop { folder, broker, _instance: instance, port, password };
        shop.heat(&[("t0", 9), ("t1", 3), ("t2", 7)]);
        wait_for("the rows", || shop.psql("SELECT count(*) FROM shop.hot").contains('2').then_some(()));
        shop
    }

    fn heat(&self, tools: &[(&str, i64)]) {
        let messages: Vec<_> =
            tools.iter().map(|(tool, heat)| (format!("shop/{tool}/heat"), format!("{{\"heat\":{heat}}}"))).collect();
        publish(self.broker.port, &messages);
    }

    fn ask(&self, sql: &str, password: &str) -> Output {
        let port = self.port.to_string();
        let arguments = ["-h", "127.0.0.1", "-p", &port, "-U", "somebody", "-X", "-A", "-t", "-c", sql];
        Command::new("psql").args(arguments).env("PGPASSWORD", password).output().expect("psql can be run")
    }

    /// What psql prints.
    fn psql(&self, sql: &str) -> String {
        let output = self.ask(sql, &self.password);
        assert!(output.status.success(), "{sql}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Why the server refuses.
    fn refusal(&self, sql: &str) -> String {
        let output = self.ask(sql, &self.password);
        assert!(!output.status.success(), "{sql}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

#[test]
fn views_and_history_are_asked_together() {
    let shop = Shop::open();
    assert_eq!(shop.psql("SELECT tool, heat FROM shop.hot ORDER BY tool"), "t0|9\nt2|7");
    shop.heat(&[("t0", 1)]);
    wait_for("t0 to cool", || (shop.psql("SELECT tool FROM shop.hot") == "t2").then_some(()));
    // What entered, each time; the newest of it is still in the log.
    let history = "SELECT heat, _diff FROM lineage.shop.heat WHERE tool = 't0' ORDER BY _time";
    assert_eq!(shop.psql(history), "9|1\n1|1");
    assert_eq!(shop.psql(&history.replace("lineage.shop", "lineage_shop")), "9|1\n1|1");
    let both = "SELECT h.tool, count(*) FROM lineage.shop.heat h JOIN shop.hot USING (tool) GROUP BY h.tool";
    assert_eq!(shop.psql(both), "t2|1");
    assert!(shop.psql(&format!("EXPLAIN {both}")).contains("Join"));
    // As tools look around.
    let columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'shop' \
                   AND table_name = 'hot' AND table_catalog = 'jarvis' ORDER BY ordinal_position";
    assert_eq!(shop.psql(columns), "tool\nheat");
    assert!(shop.psql("\\d shop.hot").contains("heat|bigint"), "{}", shop.psql("\\d shop.hot"));
    assert!(shop.psql("SELECT nspname FROM pg_catalog.pg_namespace").contains("lineage_shop"));
}

#[test]
fn only_who_knows_the_password_asks_and_nobody_writes() {
    let shop = Shop::open();
    for wrong in ["", "guess"] {
        let output = shop.ask("SELECT 1", wrong);
        assert!(!output.status.success(), "{wrong:?} was let in");
    }
    for (sql, word) in [
        ("CREATE TABLE t AS SELECT 1", "CREATE"),
        ("INSERT INTO shop.hot VALUES ('t9', 1)", "INSERT"),
        ("DELETE FROM shop.hot", "DELETE"),
        ("DROP TABLE shop.hot", "DROP"),
        ("COPY (SELECT 1) TO '/tmp/stolen.csv'", "COPY"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "Expected"),
        ("SELECT * INTO t FROM shop.hot", "not supported"),
        ("EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1", "EXPLAIN"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'", "EXPLAIN"),
        ("EXPLAIN COPY (SELECT 1) TO 'stolen.csv'", "EXPLAIN"),
        ("SET datafusion.runtime.temp_directory = 'stolen'", "SET"),
        ("SET SESSION datafusion.runtime.memory_limit = '1T'", "SET"),
        ("SELECT * FROM '/etc/passwd'", "not found"),
        ("SELECT nothing FROM shop.hot", "nothing"),
        ("SELEC 1", "SELEC"),
    ] {
        let why = shop.refusal(sql);
        assert!(why.contains("ERROR") && why.contains(word), "{sql}: {why}");
    }
    assert!(!shop.folder.path("stolen.csv").exists() && !shop.folder.path("stolen").exists());
    for fine in ["DISCARD ALL", "DEALLOCATE ALL", "SET application_name = 'psql'"] {
        shop.psql(fine);
    }
    let cursor = "BEGIN; DECLARE c CURSOR FOR SELECT tool FROM shop.hot ORDER BY tool; FETCH ALL FROM c; COMMIT";
    assert!(shop.psql(cursor).contains("t0\nt2"), "{}", shop.psql(cursor));
    // It still answers.
    assert_eq!(shop.psql("SELECT count(*) FROM shop.hot"), "2");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(shop.folder.path("data/postgres.password")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

/// A message of the protocol: its letter, its length, its content.
fn message(letter: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap().to_be_bytes();
    [&[letter][..], &length, content].concat()
}

#[test]
fn who_was_refused_is_not_answered_whatever_it_sends() {
    let shop = Shop::open();
    let startup = b"\0\x03\0\0user\0eve\0\0";
    let startup = [&u32::try_from(startup.len() + 4).unwrap().to_be_bytes()[..], startup].concat();
    let wrong = message(b'p', b"NO-SUCH-MECHANISM\0\0\0\0\0");
    let question = message(b'Q', b"SELECT 'let in' AS a\0");
    for opening in [vec![startup.clone(), wrong], vec![startup], vec![]] {
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", shop.port)).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(3))).unwrap();
        let sent = socket.write_all(&[opening.concat(), question.clone()].concat());
        let mut answer = vec![];
        // It is closed, or nothing comes.
        let _ = sent.and_then(|()| socket.read_to_end(&mut answer));
        assert!(!String::from_utf8_lossy(&answer).contains("let in"), "{answer:?}");
    }
    assert_eq!(shop.psql("SELECT count(*) FROM shop.hot"), "2");
}

#[test]
fn a_prepared_statement_sees_what_is_there_when_it_runs() {
    let shop = Shop::open();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut config = Config::new();
    config.host("127.0.0.1").port(shop.port).user("grafana").password(&shop.password).dbname("jarvis");
    runtime.block_on(async {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let view = client.prepare("SELECT tool, heat FROM shop.hot WHERE heat > $1 ORDER BY tool").await.unwrap();
        let history = client.prepare("SELECT count(*) FROM lineage.shop.heat WHERE tool = $1").await.unwrap();
        let tools = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|r| r.get::<_, String>(0)).collect::<Vec<_>>();
        assert_eq!(tools(client.query(&view, &[&5_i64]).await.unwrap()), ["t0", "t2"]);
        assert_eq!(tools(client.query(&view, &[&8_i64]).await.unwrap()), ["t0"]);
        assert_eq!(client.query_one(&history, &[&"t1"]).await.unwrap().get::<_, i64>(0), 1);
        // Publishing has a runtime of its own.
        std::thread::scope(|threads| threads.spawn(|| shop.heat(&[("t1", 8), ("t0", 2)])).join()).unwrap();
        for _ in 0..600 {
            if tools(client.query(&view, &[&5_i64]).await.unwrap()) == ["t1", "t2"] {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(tools(client.query(&view, &[&5_i64]).await.unwrap()), ["t1", "t2"]);
        assert_eq!(client.query_one(&history, &[&"t1"]).await.unwrap().get::<_, i64>(0), 2);
        let refused = client.execute("DELETE FROM shop.hot", &[]).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "25006");
        assert!(client.query("SELECT 1", &[]).await.is_ok());
    });
}

#[test]
fn what_is_too_deep_is_refused_and_ends_nothing() {
    let shop = Shop::open();
    let chain = format!("SELECT {}1", "1 + ".repeat(20_000));
    let cast = format!("SELECT CAST(1 AS {}INT{})", "ARRAY<".repeat(5_000), ">".repeat(5_000));
    for sql in [&chain, &cast] {
        let refusal = shop.refusal(sql);
        assert!(refusal.contains("build on one another"), "{refusal}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut config = Config::new();
    config.host("127.0.0.1").port(shop.port).user("grafana").password(&shop.password).dbname("jarvis");
    runtime.block_on(async {
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        for sql in [&chain, &cast] {
            let refused = client.prepare(sql).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "54001");
        }
        assert!(client.query("SELECT 1", &[]).await.is_ok());
    });
    assert_eq!(shop.psql("SELECT count(*) FROM shop.hot"), "2");
}

#[test]
fn what_is_asked_can_be_encrypted() {
    let folder = Folder::with(&[("pipelines/shop.yaml", HEAT)]);
    let broker = Mosquitto::start(&folder);
    let (certificate, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl can be run");
    assert!(made.status.success(), "{}", text(&made.stderr));
    let port = free_port();
    let postgres = format!("--postgres=127.0.0.1:{port}");
    let mut command = folder.command(&["run", "pipelines", "--listen", "none", &postgres]);
    command.arg("--postgres-cert").arg(&certificate).arg("--postgres-key").arg(&key);
    command.env("JARVIS_MQTT", broker.url()).env("JARVIS_POSTGRES_PASSWORD", "open sesame");
    let _instance = Instance::run(command);
    broker.wait_for_subscriptions(1);
    let ask = |password: &str, mode: &str| {
        let url = format!("host=127.0.0.1 port={port} user=a sslmode={mode} password='{password}'");
        Command::new("psql").args([&url, "-X", "-A", "-t", "-c", "SELECT 7"]).output().expect("psql can be run")
    };
    let answer = ask("open sesame", "require");
    assert_eq!(text(&answer.stdout).trim(), "7", "{}", text(&answer.stderr));
    assert!(!ask("wrong", "require").status.success());
    let plain = ask("open sesame", "disable");
    assert!(!plain.status.success() && text(&plain.stderr).contains("must be encrypted"), "{}", text(&plain.stderr));
}

#[test]
fn without_a_password_nothing_is_opened() {
    let folder = Folder::with(&[("pipelines/shop.yaml", HEAT)]);
    let port = free_port();
    let mut command =
        folder.command(&["run", "pipelines", "--listen", "none", &format!("--postgres=127.0.0.1:{port}")]);
    let output = command.env_remove("JARVIS_POSTGRES_PASSWORD").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("JARVIS_POSTGRES_PASSWORD"), "{}", text(&output.stderr));
}
