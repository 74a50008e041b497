#![no_main]

#[allow(dead_code, reason = "the other formats have targets of their own")]
#[path = "../bodies/decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|payload: &[u8]| decode::csv(payload));
