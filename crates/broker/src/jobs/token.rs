//! Tokens that let a browser watch one job for a while, without the broker's credentials.
//!
//! ```text
//! token   <expires, s since 1970, hexadecimal> "." base64url(HMAC-SHA-256(key, expires "." id))
//! ```
//! The key is made at the first start and kept in the key-value space under `jobs/key`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::Arc;
use tramline_store::{LogStore, Op};
use tramline_types::Timestamp;

const KEY: &[u8] = b"jobs/key";
const KEY_BYTES: usize = 32;

/// What tokens are signed with.
pub(super) struct Key(Bytes);

impl Key {
    /// The stored one, or a fresh one, which [`Key::stored`] says how to store.
    pub(super) fn load(store: &Arc<dyn LogStore>) -> Self {
        let stored = store.get(KEY).filter(|key| key.len() == KEY_BYTES);
        let fresh = || Bytes::copy_from_slice(&rand::random::<[u8; KEY_BYTES]>());
        Self(stored.unwrap_or_else(fresh))
    }

    /// What to commit so that it is there after a restart.
    pub(super) fn stored(&self) -> Op {
        Op::Put(Bytes::from_static(KEY), self.0.clone())
    }

    /// A token for a job until this time.
    pub(super) fn sign(&self, id: &str, expires: Timestamp) -> String {
        let expires = format!("{:x}", expires.as_millis() / 1000);
        let mac = self.mac(&expires, id).finalize().into_bytes();
        format!("{expires}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Whether a token is for this job, and still good.
    pub(super) fn admits(&self, id: &str, token: &str, now: Timestamp) -> bool {
        let Some((expires, mac)) = token.split_once('.') else { return false };
        let Ok(seconds) = i64::from_str_radix(expires, 16) else { return false };
        let Ok(mac) = URL_SAFE_NO_PAD.decode(mac) else { return false };
        seconds > now.as_millis() / 1000 && self.mac(expires, id).verify_slice(&mac).is_ok()
    }

    fn mac(&self, expires: &str, id: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is one");
        mac.update(expires.as_bytes());
        mac.update(b".");
        mac.update(id.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LATER: Timestamp = Timestamp::from_millis(1_700_000_060_000);

    #[test]
    fn a_token_is_good_for_one_job_and_a_while() {
        let key = Key(Bytes::from_static(&[7; KEY_BYTES]));
        let token = key.sign("a", LATER);
        assert!(key.admits("a", &token, NOW));
        assert!(!key.admits("b", &token, NOW));
        assert!(!key.admits("a", &token, LATER));
        let (expires, mac) = token.split_once('.').unwrap();
        let later = format!("{:x}.{mac}", i64::from_str_radix(expires, 16).unwrap() + 60);
        assert!(!key.admits("a", &later, NOW), "its time is signed");
        let other = Key(Bytes::from_static(&[8; KEY_BYTES]));
        assert!(!other.admits("a", &token, NOW));
        for damaged in ["", ".", "x", "ffffffffff", "ffffffffff.", "-1.AAAA", "ffffffffff.????"] {
            assert!(!key.admits("a", damaged, NOW), "{damaged}");
        }
    }
}
