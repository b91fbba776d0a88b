//! A message's body: a unique value, and filler that depends on it, so that no byte can change
//! unseen.
//!
//! ```text
//! value ':' filler
//! ```

use bytes::Bytes;
use tramline_store::fs::sim::Random;

/// A body of this many bytes, or as long as the value needs.
pub fn encode(value: &str, bytes: usize) -> Bytes {
    let mut body = Vec::with_capacity(bytes.max(value.len() + 1));
    body.extend_from_slice(value.as_bytes());
    body.push(b':');
    fill(value, &mut body, bytes);
    body.into()
}

/// The value of a body; where a byte has changed, a text that was never sent.
pub fn decode(body: Option<&[u8]>) -> String {
    let body = body.unwrap_or_default();
    let end = body.iter().position(|byte| *byte == b':').unwrap_or(body.len());
    match std::str::from_utf8(&body[..end]) {
        Ok(value) if encode(value, body.len()) == body => value.to_owned(),
        _ => format!("damaged: {}", body[..body.len().min(60)].escape_ascii()),
    }
}

fn fill(value: &str, body: &mut Vec<u8>, bytes: usize) {
    let seed = value.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
    let mut random = Random::new(seed);
    while body.len() < bytes {
        body.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    body.truncate(bytes.max(value.len() + 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_noticed() {
        for bytes in [0, 5, 9, 100] {
            let body = encode("v-17", bytes);
            assert_eq!(decode(Some(&body)), "v-17");
            for i in 0..body.len() {
                let mut changed = body.to_vec();
                changed[i] ^= 1;
                assert_ne!(decode(Some(&changed)), "v-17", "byte {i} of {bytes}");
            }
        }
        assert!(decode(None).starts_with("damaged"));
    }
}
