//! The entries of the fuzz targets `websocket` and `channel_pattern`.

use crate::websocket::frame::Decoder;
use bytes::BytesMut;
use tramline_broker::ChannelPattern;
use tramline_types::ChannelName;

/// Takes hostile bytes as what a WebSocket's client sends, whole and in pieces: both give the same
/// messages, and every text is then read as a request.
///
/// # Panics
/// When reading panics, or when pieces make a difference.
pub fn fuzz_websocket(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else { return };
    let whole = decode(data, data.len().max(1));
    assert_eq!(whole, decode(data, usize::from(step).max(1)));
    for text in whole.0.iter().filter_map(|message| message.as_text()) {
        crate::websocket::read_request(text);
    }
}

fn decode(
    data: &[u8],
    step: usize,
) -> (Vec<crate::websocket::frame::Message>, Option<crate::websocket::frame::Refusal>) {
    let (mut decoder, mut held) = (Decoder::new(4096), BytesMut::new());
    let mut messages = Vec::new();
    for piece in data.chunks(step) {
        held.extend_from_slice(piece);
        loop {
            match decoder.next(&mut held) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(refusal) => return (messages, Some(refusal)),
            }
        }
    }
    (messages, None)
}

/// Takes hostile bytes as a pattern and a name, with a line break between them.
///
/// # Panics
/// When reading or matching panics, or when the trie and the pattern differ.
pub fn fuzz_pattern(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((pattern, name)) = text.split_once('\n') else { return };
    let (Ok(pattern), Ok(name)) = (ChannelPattern::parse(pattern), ChannelName::parse(name)) else {
        return;
    };
    let mut trie = tramline_broker::ChannelTrie::default();
    assert!(trie.insert(&pattern, 1));
    let mut found = 0;
    trie.matches(&name, &mut |_| found += 1);
    assert_eq!(found, usize::from(pattern.matches(&name)));
    assert!(found == 0 || name.as_str().starts_with(pattern.literal_prefix()));
    assert!(trie.remove(&pattern, 1) && trie.is_empty());
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    fn replay(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let inputs = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path());
        let replayed = inputs.map(|input| run(&fs::read(input).unwrap())).count();
        assert!(replayed > 0);
    }

    #[test]
    fn corpora_are_read_without_a_panic() {
        replay("websocket", super::fuzz_websocket);
        replay("channel_pattern", super::fuzz_pattern);
    }
}
