#![no_main]

#[path = "../bodies/topic.rs"]
mod topic;

libfuzzer_sys::fuzz_target!(|texts: (&str, &str)| topic::read(texts.0, texts.1));
