//! Any pattern and any topic. The body is that of the fuzz target `topic`.

#[path = "../../../fuzz/bodies/mutation.rs"]
mod mutation;
#[path = "../../../fuzz/bodies/topic.rs"]
mod topic;

use mutation::changed;
use proptest::prelude::*;

const WORDS: [&str; 18] = [
    "/", "//", "+", "#", "/#", "+/", "{tool}", "{zone}", "{", "}", "{}", "$", "$SYS", "$share/", "\0", "é", "a",
    "{nobody}",
];

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn patterns() -> impl Strategy<Value = Vec<u8>> {
    changed(
        texts(&["shop/{tool}/temperature", "+/{zone}/#", "a/b/c", "{tool}/{zone}/{a}", "$SYS/broker/#", "#"]),
        &WORDS,
    )
}

fn topics() -> impl Strategy<Value = Vec<u8>> {
    changed(texts(&["shop/t0/temperature", "a/b/c", "x/y/z", "$SYS/broker/load", "shop//", "a"]), &WORDS)
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_standard(pattern in patterns(), given in topics()) {
        topic::read(&String::from_utf8_lossy(&pattern), &String::from_utf8_lossy(&given));
    }

    #[test]
    fn any_text_is_a_pattern_or_refused(pattern in any::<String>(), given in any::<String>()) {
        topic::read(&pattern, &given);
    }
}
