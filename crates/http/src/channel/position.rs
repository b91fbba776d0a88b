//! Places in the order of publications, as text: `<epoch in hexadecimal>:<offset>`.

use crate::error::Error;
use tramline_broker::ChannelPosition;

/// As text.
pub(crate) fn to_text(position: ChannelPosition) -> String {
    format!("{:x}:{}", position.epoch, position.offset)
}

/// Out of text.
pub(crate) fn parse(text: &str) -> Result<ChannelPosition, Error> {
    let parsed = text.split_once(':').and_then(|(epoch, offset)| {
        let epoch = u64::from_str_radix(epoch, 16).ok()?;
        Some(ChannelPosition { epoch, offset: offset.parse().ok()? })
    });
    parsed.ok_or_else(|| {
        Error::malformed(
            "this is no position of a channel",
            "send back the `position`, or the event's id, as it came, or leave it out",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_from_text() {
        for (epoch, offset) in [(0, 0), (u64::MAX, u64::MAX), (0xab, 17)] {
            let position = ChannelPosition { epoch, offset };
            assert_eq!(parse(&to_text(position)).unwrap(), position);
        }
        for text in ["", ":", "1", "1:", "x:1", "1:-1", "11111111111111111:1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
