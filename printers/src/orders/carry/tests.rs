//! When an order is given again, and when no more.

use super::*;
use crate::conduct::conduct;
use crate::conduct::tests::{Fake, View};
use crate::orders::Verb;
use crate::{JobId, OctoPrint, Phase, WebSettings};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn order(action: Action, given: SystemTime) -> Order {
    Order { id: "test".to_owned(), action, job: Some(JobId("a#1".to_owned())), given }
}

fn heat() -> Action {
    Action::Heat { tool: "bed".to_owned(), celsius: 60.0 }
}

/// A server that counts its connections and answers all of them with an error.
async fn broken() -> (Printer, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        }
    });
    (Printer::OctoPrint(OctoPrint::new(&WebSettings::new(url, None)).unwrap()), asked)
}

#[tokio::test]
async fn an_order_that_is_too_old_reaches_nobody() {
    let (printer, asked) = broken().await;
    let policy = Verb::Pause.policy();
    let pause = order(Action::Pause, SystemTime::now() - policy.ttl - Duration::from_secs(1));
    assert_eq!(carry_out(&printer, &pause, &policy).await.outcome, "expired");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_order_is_given_again_until_it_is_too_old() {
    let (printer, asked) = broken().await;
    let policy = Policy { deadline: Duration::from_millis(100), ttl: PACE.again * 2 };
    let pause = order(Action::Pause, SystemTime::now());
    assert_eq!(carry_out(&printer, &pause, &policy).await.outcome, "unreachable");
    let first = asked.swap(0, Ordering::SeqCst);
    let once = Policy { ttl: PACE.again, ..policy };
    carry_out(&printer, &order(Action::Pause, SystemTime::now()), &once).await;
    assert!(first > asked.load(Ordering::SeqCst), "it was tried no more often than once");
}

const QUICK: Pace = Pace { again: Duration::from_millis(10), soon: Duration::from_millis(50) };

fn quick(ttl: u64) -> Policy {
    Policy { deadline: Duration::from_millis(20), ttl: Duration::from_millis(ttl) }
}

/// What is told when the printer never does it, and whether each attempt was allowed to send.
async fn in_vain(action: Action, given: SystemTime, policy: Policy) -> (Told, Vec<bool>) {
    let attempts = RefCell::new(vec![]);
    let give = |command: Command| {
        let may_send = command.send_before.is_none_or(|limit| Instant::now() < limit);
        attempts.borrow_mut().push(may_send);
        let what = What::NotConfirmed { seen: Phase::Printing, why: None };
        async move { Outcome { what, sent: may_send, took: Duration::ZERO, seen: Phase::Printing } }
    };
    let told = carry(give, &order(action, given), &policy, &QUICK).await;
    (told, attempts.into_inner())
}

#[tokio::test]
async fn what_may_have_been_received_is_sent_again_only_soon() {
    for action in [Action::Pause, Action::Resume, Action::Cancel, heat()] {
        let (told, attempts) = in_vain(action.clone(), SystemTime::now(), quick(1000)).await;
        assert_eq!((attempts.first(), attempts.last()), (Some(&true), Some(&false)), "{action:?}");
        assert!(attempts.is_sorted_by(|before, after| before >= after), "{action:?} {attempts:?}");
        assert_eq!(told.outcome, "not_confirmed");
        assert!(told.detail.contains("was told"), "{told:?}");
    }
}

#[tokio::test]
async fn what_is_done_twice_is_given_once_and_what_is_never_wrong_is_given_to_the_end() {
    let file = |print| Action::Upload { path: "a".into(), name: "a".to_owned(), print };
    for action in [Action::Start { file: "a".to_owned() }, file(true)] {
        assert_eq!(in_vain(action, SystemTime::now(), quick(1000)).await.1, [true]);
    }
    for action in [Action::EmergencyStop, file(false)] {
        let (_, attempts) = in_vain(action, SystemTime::now(), quick(1000)).await;
        // The last one may have come too late by a moment.
        let (_, before) = attempts.split_last().unwrap();
        assert!(before.len() > 1 && before.iter().all(|may_send| *may_send), "{attempts:?}");
    }
}

#[tokio::test]
async fn an_order_is_tried_for_no_longer_than_its_ttl_whatever_the_clock_says() {
    // The clock was an hour ahead, and was put right.
    let given = SystemTime::now() + Duration::from_secs(3600);
    let (_, attempts) = in_vain(Action::EmergencyStop, given, quick(200)).await;
    assert!(!attempts.is_empty());
    // By the clock that can be set it has not even been given yet.
    assert!(SystemTime::now() < given, "it was tried until the clock had come that far");
}

#[tokio::test]
async fn nobody_s_resume_is_undone_by_a_pause_that_was_received_before() {
    let fake = Fake::new(Phase::Printing);
    let given = Fake::take(&fake, Phase::Paused);
    let person = async {
        given.notified().await;
        tokio::time::sleep(QUICK.soon * 3).await;
        fake.show(Phase::Printing);
    };
    let wire = View { who: 0, fake: &fake };
    let give = |command: Command| {
        let wire = &wire;
        async move { conduct(wire, &command).await }
    };
    let mut pause = order(Action::Pause, SystemTime::now());
    pause.job = None;
    let policy = quick(1000);
    let (told, ()) = futures::join!(carry(give, &pause, &policy, &QUICK), person);
    assert_eq!((told.outcome, told.phase, fake.sent()), ("not_confirmed", Some("printing"), 1));
}
