//! Which subscribers get a value while it is rolled out in stages.
//!
//! A subscriber's place is a number from 0 to 9,999 that depends on its id and the seed alone,
//! so that it gets the old or the new value consistently, on every node and after every restart,
//! and whoever has the new value keeps it while the share grows.

use std::sync::Arc;

/// Places in all.
pub(crate) const PLACES: u16 = 10_000;

/// A value that some subscribers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The places below this get it: hundredths of a percent.
    pub share: u16,
    /// The revision that all others get; `None`: no value.
    pub base: Option<u64>,
    /// Mixed into the places: another seed chooses other subscribers.
    pub seed: Arc<str>,
}

impl Rollout {
    /// Whether a subscriber gets the new value. One without an id never does.
    pub fn includes(&self, client: Option<&str>) -> bool {
        client.is_some_and(|client| place(&self.seed, client) < self.share)
    }
}

/// A subscriber's place: FNV-1a over seed, a zero byte and id, in 64 bits, its bits mixed as in
/// `MurmurHash3`'s last step, modulo 10,000.
pub(crate) fn place(seed: &str, client: &str) -> u16 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.bytes().chain([0]).chain(client.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    u16::try_from(hash % u64::from(PLACES)).expect("a remainder is below its divisor")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(share: u16, seed: &str) -> Rollout {
        Rollout { share, base: Some(1), seed: seed.into() }
    }

    #[test]
    fn a_share_gets_about_its_part_and_a_larger_one_the_same_and_more() {
        let clients: Vec<String> = (0..20_000).map(|n| format!("web-{n}")).collect();
        let count = |share: u16| {
            let rollout = rollout(share, "");
            clients.iter().filter(|client| rollout.includes(Some(client))).count()
        };
        for (share, expected) in [(0, 0), (100, 200), (1_000, 2_000), (5_000, 10_000)] {
            let off = count(share).abs_diff(expected);
            assert!(off <= expected / 5, "{share}: {} of 20,000", count(share));
        }
        assert_eq!(count(PLACES), 20_000);
        let (few, more) = (rollout(500, ""), rollout(600, ""));
        let kept = |client: &&String| few.includes(Some(client));
        assert!(clients.iter().filter(kept).all(|client| more.includes(Some(client))));
    }

    #[test]
    fn the_place_is_the_documented_one_and_a_seed_changes_it() {
        // Computed by another program from the documented rule.
        for (seed, client, expected) in
            [("", "web-1", 8401), ("", "web-2", 6739), ("b", "web-1", 8850), ("", "ä", 3940)]
        {
            assert_eq!(place(seed, client), expected, "{seed} {client}");
        }
        let moved = (0..100).filter(|n| {
            let client = format!("web-{n}");
            place("", &client) != place("b", &client)
        });
        assert!(moved.count() > 90);
        assert!(!rollout(PLACES, "").includes(None), "nobody in particular is in no share");
    }
}
