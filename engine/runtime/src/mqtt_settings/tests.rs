use super::*;
use proptest::prelude::*;

fn context() -> PlanContext {
    PlanContext { folder: "/nowhere".into(), config: None, data: None }
}

fn settings(options: BrokerOptions) -> Result<BrokerSettings, Diagnostic> {
    broker_settings(options, "heat.temperature", "in", &context())
}

fn broker(url: &str) -> BrokerOptions {
    BrokerOptions { broker: Some(Secret::new(url)), ..BrokerOptions::default() }
}

#[test]
fn urls_are_taken_apart() {
    for (url, shown, username, password) in [
        ("mqtt://broker", "mqtt://broker:1883", None, None),
        ("mqtt://10.0.0.1:2000/", "mqtt://10.0.0.1:2000", None, None),
        ("mqtts://broker", "mqtts://broker:8883", None, None),
        ("mqtt://me@broker", "mqtt://broker:1883", Some("me"), None),
        ("mqtt://me:s%40cret:x@[::1]:2000", "mqtt://[::1]:2000", Some("me"), Some("s@cret:x")),
        ("mqtt://[::1]", "mqtt://[::1]:1883", None, None),
    ] {
        // Which authorities the system trusts is not what this is about.
        let tls = url.starts_with("mqtts").then(|| TlsOptions { insecure: true, ..TlsOptions::default() });
        let settings = settings(BrokerOptions { tls, ..broker(url) }).expect(url);
        assert_eq!(settings.to_string(), shown);
        assert_eq!(settings.username.as_ref().map(Secret::expose), username);
        assert_eq!(settings.password.as_ref().map(Secret::expose), password);
        assert!(!format!("{settings:?}").contains("s@cret"));
    }
}

#[test]
fn what_is_not_a_url_of_a_broker_is_refused_without_showing_it() {
    for url in [
        "",
        "broker",
        "http://broker",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://b:0",
        "mqtt://b:70000",
        "mqtt://u:hunter2%zz@b",
        "mqtt://b/topic",
        "mqtt://[::1",
    ] {
        let refused = settings(broker(url)).expect_err(url);
        assert_eq!(refused.code, "broker_url", "{url}");
        assert!(!refused.message.contains("hunter2"));
    }
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    let tls = |tls: TlsOptions| BrokerOptions { tls: Some(tls), ..broker("mqtts://b") };
    for (options, code) in [
        (BrokerOptions { tls: Some(TlsOptions::default()), ..broker("mqtt://b") }, "broker_tls"),
        (tls(TlsOptions { ca: Some("none.pem".into()), ..TlsOptions::default() }), "broker_tls"),
        (tls(TlsOptions { key: Some("none.pem".into()), ..TlsOptions::default() }), "broker_tls"),
        (BrokerOptions { password: Some(Secret::new("x")), ..broker("mqtt://b") }, "missing_key"),
        (BrokerOptions { keep_alive: Some(Duration::from_millis(999)), ..broker("mqtt://b") }, "wrong_value"),
        (BrokerOptions { client_id: Some(String::new()), ..broker("mqtt://b") }, "wrong_value"),
    ] {
        assert_eq!(settings(options.clone()).expect_err("refused").code, code, "{options:?}");
    }
}

#[test]
fn client_ids_are_stable_and_differ_by_folder_stream_and_role() {
    let id = |stream: &str, role: &str, folder: &str| {
        let context = PlanContext { folder: folder.into(), ..context() };
        broker_settings(broker("mqtt://b"), stream, role, &context).expect("settings").client_id
    };
    let one = id("p.s", "in", "/a");
    assert_eq!(one, id("p.s", "in", "/a"));
    assert!(one.starts_with("jarvis-") && one.ends_with("-p.s-in"), "{one}");
    for other in [id("p.s", "in", "/b"), id("p.t", "in", "/a"), id("p.s", "out", "/a")] {
        assert_ne!(one, other);
    }
}

proptest! {
    #[test]
    fn any_text_is_a_url_or_is_refused(url in "(mqtts?://)?[a-z@:%/\\[\\]0-9é]{0,12}") {
        let _ = settings(broker(&url));
    }
}
