//! The one entry of the fuzz target `sqs_request`.

use crate::{
    from_wire::{
        Input,
        message::{Compact, Sent, stored},
        query,
    },
    to_wire::{message::outgoing, xml},
};
use tramline_types::limits::SQS_BODY_BYTES_MAX;

/// Takes hostile bytes as a request that sends a message, in JSON or, where the first byte is even,
/// as parameters of the Query protocol; what is accepted is stored and read back.
///
/// # Panics
/// When reading panics, or when a message does not come back as it was sent.
pub fn fuzz_request(data: &[u8]) {
    let Some((&kind, body)) = data.split_first() else { return };
    let body = &body[..body.len().min(SQS_BODY_BYTES_MAX)];
    let input = if kind % 2 == 0 {
        let Ok((_, tree)) = query::read("/000000000000/q", None, body) else { return };
        // Answers are made from such trees.
        let _text = xml::answer("SendMessage", &tree, "id", "ns");
        Input::Tree(tree)
    } else {
        Input::Json(body)
    };
    let Ok(mut sent) = input.read::<Sent>() else { return };
    let Ok(checked) = sent.check() else { return };
    let message = stored(checked.clone(), Compact { id: "id".to_owned(), ..Compact::default() });
    let out = outgoing(&message);
    assert_eq!(out.body, checked.body);
    assert_eq!(out.attributes, checked.attributes);
    assert_eq!((out.compact.id.as_str(), out.compact.trace), ("id", checked.trace));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_kinds_pass() {
        let attributes = r#"{"MessageBody":"b","MessageAttributes":{
            "sqs":{"DataType":"String","StringValue":"x"},
            "message-group":{"DataType":"Number","StringValue":"1e5"},
            "body-encoding":{"DataType":"Binary.x","BinaryValue":"YQ=="},
            "n":{"DataType":"String.own","StringValue":"\u00e4"}}}"#;
        let query = "Action=SendMessage&MessageBody=b&MessageAttribute.1.Name=n\
                     &MessageAttribute.1.Value.DataType=Binary&MessageAttribute.1.Value.BinaryValue=YQ";
        for (kind, body) in [(1, attributes), (0, query), (0, "%"), (1, "{"), (0, "a.b.c=&&=")] {
            fuzz_request(&[&[kind], body.as_bytes()].concat());
        }
    }

    #[test]
    fn broken_requests_are_refused_and_not_more() {
        let good = br#"1{"MessageBody":"b","MessageAttributes":{"n":{"DataType":"Number","StringValue":"1"}}}"#;
        for at in 1..good.len() {
            for byte in [0, b'"', b'{', 0xff] {
                let mut broken = good.to_vec();
                broken[at] = byte;
                fuzz_request(&broken);
                fuzz_request(&good[..at]);
            }
        }
    }
}
