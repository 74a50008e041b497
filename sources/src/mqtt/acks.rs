//! Which messages may be acknowledged, and which ones the broker sends again.
//!
//! A message of QoS 1 is acknowledged when the tick that holds its row is safe, in the order of receipt (MQTT 3.1.1,
//! section 4.6). Packet ids mean something within one connection only. After a lost connection the broker sends again
//! what was not acknowledged, with the same packet id and the DUP flag (section 4.4): as long as a message has not
//! been acknowledged, its id cannot stand for another, so such a message is known by id and content and its row is
//! not taken twice. Only if the session was resumed, though: in a new session ids start anew. The log keeps ids and
//! contents of what is not acknowledged, so that all this holds over a restart.

use jarvis_runtime::arrival::Note;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

/// What a received message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The first time: its row is to be taken under this number.
    New(u64),
    /// Its row was taken before the connection was lost.
    Again,
}

/// Messages that wait for their acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// The number of the next new message. Numbers count all messages of this process.
    next: u64,
    /// All numbers below are safe.
    safe: u64,
    /// Ranges that became safe before what comes before them.
    early: BTreeMap<u64, u64>,
    /// Received on this connection, in that order.
    waiting: VecDeque<Waiting>,
    /// By packet id: what earlier connections received and did not acknowledge.
    carried: HashMap<u16, (u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    packet_id: u16,
    content: u64,
}

/// Bytes of a message in a note: its packet id and the hash of its content, big-endian.
const NOTED: usize = 10;

/// Adds a message to the words of a note.
pub(super) fn note(words: &mut Vec<u8>, packet_id: u16, content: u64) {
    words.extend_from_slice(&packet_id.to_be_bytes());
    words.extend_from_slice(&content.to_be_bytes());
}

impl Acks {
    /// Goes on from what an earlier process had made durable and, as far as it knew, not acknowledged.
    pub fn restored(notes: &[Note]) -> Self {
        let done = notes.iter().map(|n| n.done).max().unwrap_or(0);
        let mut acks = Acks::default();
        for note in notes {
            let numbers = note.first..note.first + note.count;
            acks.next = acks.next.max(numbers.end);
            for (number, message) in numbers.zip(note.words.chunks_exact(NOTED)).filter(|(number, _)| *number >= done) {
                let (id, content) = message.split_at(2);
                if let (Ok(id), Ok(content)) = (id.try_into(), content.try_into()) {
                    acks.carried.insert(u16::from_be_bytes(id), (number, u64::from_be_bytes(content)));
                }
            }
        }
        acks.safe = acks.next;
        acks
    }

    /// All messages with a lower number have been acknowledged.
    pub fn done(&self) -> u64 {
        let waiting = self.waiting.iter().map(|w| w.number);
        waiting.chain(self.carried.values().map(|(number, _)| *number)).min().unwrap_or(self.next)
    }

    /// A message of QoS 1 has arrived; `content` is a hash of its topic and payload.
    pub fn received(&mut self, packet_id: u16, duplicate: bool, content: u64) -> Received {
        // Whatever it is, the id now stands for this message.
        let before = self.carried.remove(&packet_id);
        let known = before.filter(|(_, same)| duplicate && *same == content);
        let number = known.map_or(self.next, |(number, _)| number);
        self.waiting.push_back(Waiting { number, packet_id, content });
        if known.is_some() {
            return Received::Again;
        }
        self.next += 1;
        Received::New(number)
    }

    /// The number that the next new message gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The rows of these messages are safe.
    pub fn safe(&mut self, numbers: Range<u64>) {
        self.early.insert(numbers.start, numbers.end);
        while let Some(first) = self.early.first_entry()
            && *first.key() <= self.safe
        {
            self.safe = self.safe.max(first.remove());
        }
    }

    /// The packet id to acknowledge next, if its turn has come.
    pub fn due(&mut self) -> Option<u16> {
        let first = self.waiting.front().filter(|first| first.number < self.safe)?;
        let packet_id = first.packet_id;
        self.waiting.pop_front();
        Some(packet_id)
    }

    /// The connection is gone, and with it what its packet ids meant.
    pub fn disconnected(&mut self) {
        self.carried.extend(self.waiting.drain(..).map(|w| (w.packet_id, (w.number, w.content))));
    }

    /// There is a connection again; without `resumed` the broker has forgotten the earlier ones.
    pub fn connected(&mut self, resumed: bool) {
        if !resumed {
            self.carried.clear();
        }
    }

    /// Messages received and not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len() + self.carried.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// A broker with a persistent session: what is in flight, by packet id, and whether it was sent before.
    #[derive(Default)]
    struct Broker {
        in_flight: VecDeque<(u16, u64, bool)>,
        to_send: usize,
        next_id: u16,
        published: u64,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Publish,
        Deliver,
        /// One of the batches that are not safe yet becomes so.
        Safe(usize),
        Cut {
            forget: bool,
            lose_acks: bool,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Publish),
            6 => Just(Step::Deliver),
            4 => (0_usize..4).prop_map(Step::Safe),
            1 => (prop::bool::weighted(0.2), any::<bool>()).prop_map(|(forget, lose_acks)| Step::Cut { forget, lose_acks }),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_taken_twice_or_acknowledged_early(steps in prop::collection::vec(step(), 1..200)) {
            let (mut broker, mut acks) = (Broker::default(), Acks::default());
            let mut taken: Vec<u64> = Vec::new();
            let mut batches: Vec<u64> = Vec::new();
            let mut safe: HashSet<u64> = HashSet::new();
            let mut acknowledged: HashSet<u64> = HashSet::new();
            let mut order: VecDeque<u16> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Publish => {
                        // Ids are used again soon, and contents repeat.
                        broker.next_id = broker.next_id % 9 + 1;
                        if broker.in_flight.iter().any(|(id, ..)| *id == broker.next_id) { continue; }
                        broker.in_flight.push_back((broker.next_id, broker.published, false));
                        broker.published += 1;
                    }
                    Step::Deliver if broker.to_send < broker.in_flight.len() => {
                        let (id, message, sent) = &mut broker.in_flight[broker.to_send];
                        broker.to_send += 1;
                        let duplicate = std::mem::replace(sent, true);
                        if let Received::New(number) = acks.received(*id, duplicate, *message % 3) {
                            prop_assert_eq!(number, taken.len() as u64);
                            prop_assert!(!taken.contains(message) || acknowledged.contains(message), "{} was taken before", message);
                            taken.push(*message);
                            batches.push(number);
                        } else {
                            prop_assert!(taken.contains(message));
                        }
                        order.push_back(*id);
                    }
                    Step::Safe(which) if !batches.is_empty() => {
                        let number = batches.remove(which % batches.len());
                        safe.insert(taken[number as usize]);
                        acks.safe(number..number + 1);
                    }
                    Step::Cut { forget, lose_acks } => {
                        acks.disconnected();
                        if forget { broker.in_flight.clear(); }
                        // Acknowledgements on the way may be lost: then the message comes again.
                        let _ = lose_acks;
                        broker.to_send = 0;
                        order.clear();
                        acks.connected(!forget);
                    }
                    _ => {}
                }
                while let Some(id) = acks.due() {
                    prop_assert_eq!(order.pop_front(), Some(id), "in the order of receipt");
                    let at = broker.in_flight.iter().position(|(other, ..)| *other == id).expect("the broker waits for it");
                    let (_, message, _) = broker.in_flight.remove(at).expect("there");
                    broker.to_send -= 1;
                    prop_assert!(safe.contains(&message), "{} is not safe", message);
                    acknowledged.insert(message);
                }
            }
        }
    }

    #[test]
    fn what_is_durable_is_not_taken_again_after_a_restart() {
        let mut acks = Acks::default();
        let mut words = vec![];
        for (id, content) in [(7, 1), (8, 2), (9, 3)] {
            acks.received(id, false, content);
            note(&mut words, id, content);
        }
        let first = Note { first: 0, count: 3, done: acks.done(), words };
        acks.safe(0..3);
        assert_eq!(acks.due(), Some(7));
        let mut words = vec![];
        acks.received(10, false, 4);
        note(&mut words, 10, 4);
        let second = Note { first: 3, count: 1, done: acks.done(), words };
        assert_eq!((first.done, second.done), (0, 1));

        let mut acks = Acks::restored(&[first, second]);
        acks.connected(true);
        assert_eq!(
            acks.received(7, true, 1),
            Received::New(4),
            "its acknowledgement was sent: the id stands for another"
        );
        assert_eq!([acks.received(8, true, 2), acks.received(9, true, 3)], [Received::Again; 2]);
        assert_eq!(acks.received(10, true, 5), Received::New(5), "another message under this id");
        acks.safe(4..6);
        assert_eq!(std::iter::from_fn(|| acks.due()).collect::<Vec<_>>(), [7, 8, 9, 10]);
        assert_eq!(acks.done(), 6);
    }

    #[test]
    fn acknowledgements_wait_for_what_was_received_before() {
        let mut acks = Acks::default();
        assert_eq!([7, 8, 9].map(|id| acks.received(id, false, 0)), [0, 1, 2].map(Received::New));
        acks.safe(1..3);
        assert_eq!(acks.due(), None);
        acks.safe(0..1);
        assert_eq!([acks.due(), acks.due(), acks.due(), acks.due()], [Some(7), Some(8), Some(9), None]);
    }

    #[test]
    fn a_message_sent_again_is_known_only_in_a_resumed_session() {
        let mut acks = Acks::default();
        acks.received(7, false, 1);
        acks.received(8, false, 2);
        acks.disconnected();
        acks.connected(true);
        assert_eq!(acks.received(7, true, 1), Received::Again);
        assert_eq!(acks.received(8, true, 3), Received::New(2), "another message under this id");
        acks.safe(0..3);
        assert_eq!([acks.due(), acks.due()], [Some(7), Some(8)]);
        acks.received(9, false, 1);
        acks.disconnected();
        acks.connected(false);
        assert_eq!(acks.received(9, true, 1), Received::New(4));
    }
}
