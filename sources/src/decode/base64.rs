//! Base64 with padding, RFC 4648 section 4.

/// Decodes into `bytes` (cleared first). `false` if the text is anything but canonical base64.
pub(crate) fn decode(text: &str, bytes: &mut Vec<u8>) -> bool {
    bytes.clear();
    if !text.len().is_multiple_of(4) {
        return false;
    }
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    if padding > 2 {
        return false;
    }
    let symbols = &text.as_bytes()[..text.len() - padding];
    for group in symbols.chunks(4) {
        let mut bits = 0_u32;
        for symbol in group {
            let Some(value) = value(*symbol) else { return false };
            bits = bits << 6 | u32::from(value);
        }
        let missing = 4 - group.len();
        bits <<= 6 * missing;
        let [_, out @ ..] = bits.to_be_bytes();
        let (kept, cut) = out.split_at(3 - missing);
        // Bits that no byte takes must be zero, or two texts would mean the same bytes.
        if cut.iter().any(|b| *b != 0) {
            return false;
        }
        bytes.extend_from_slice(kept);
    }
    true
}

fn value(symbol: u8) -> Option<u8> {
    Some(match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
pub(crate) fn encode(bytes: &[u8]) -> String {
    const SYMBOLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(word);
        for i in 0..4 {
            let symbol = SYMBOLS[(bits >> (18 - 6 * i) & 63) as usize] as char;
            text.push(if i <= group.len() { symbol } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut bytes = vec![1];
            assert!(decode(text, &mut bytes), "{text}");
            assert_eq!(bytes, plain.as_bytes());
            assert_eq!(encode(plain.as_bytes()), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Z m8=", "Zm9v\n", "Zg==Zg==", "Zm-_", "é==="]
        {
            assert!(!decode(text, &mut Vec::new()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_is_the_same(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut decoded = Vec::new();
            prop_assert!(decode(&encode(&bytes), &mut decoded));
            prop_assert_eq!(decoded, bytes);
        }
    }
}
