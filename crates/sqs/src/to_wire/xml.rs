//! Answers of the Query protocol, made from the tree that JSON clients get.

use serde_json::{Map, Value};
use std::fmt::Write;

/// How a member of an answer is written.
enum Shape {
    /// One element after the other, of this name.
    List(&'static str),
    /// Elements of this name that hold the action's entries.
    Entries,
    /// Elements of the first name, each with the other two for its name and value.
    Map(&'static str, &'static str, &'static str),
    /// An element of its own name.
    Plain,
}

fn shape(member: &str) -> Shape {
    match member {
        "QueueUrls" | "queueUrls" => Shape::List("QueueUrl"),
        "Messages" => Shape::List("Message"),
        "Failed" => Shape::List("BatchResultErrorEntry"),
        "Results" => Shape::List("ListMessageMoveTasksResultEntry"),
        "Successful" => Shape::Entries,
        "Attributes" => Shape::Map("Attribute", "Name", "Value"),
        "MessageAttributes" => Shape::Map("MessageAttribute", "Name", "Value"),
        "Tags" => Shape::Map("Tag", "Key", "Value"),
        _ => Shape::Plain,
    }
}

/// A whole answer.
pub(crate) fn answer(action: &str, tree: &Value, id: &str, namespace: &str) -> String {
    let mut out = String::from("<?xml version=\"1.0\"?>\n");
    // Writing to a string does not fail.
    let _ = write!(out, "<{action}Response xmlns=\"{namespace}\">");
    if let Value::Object(object) = tree {
        let _ = write!(out, "<{action}Result>");
        members(&mut out, action, object);
        let _ = write!(out, "</{action}Result>");
    }
    let _ = write!(
        out,
        "<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>"
    );
    out
}

/// A refusal: who is at fault, the code, and the message.
pub(crate) fn error(
    (kind, code, message): (&str, &str, &str),
    id: &str,
    namespace: &str,
) -> String {
    let message = escaped(message);
    format!(
        "<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{kind}</Type>\
         <Code>{code}</Code><Message>{message}</Message><Detail/></Error>\
         <RequestId>{id}</RequestId></ErrorResponse>"
    )
}

fn members(out: &mut String, action: &str, object: &Map<String, Value>) {
    for (member, value) in object {
        match (shape(member), value) {
            (_, Value::Null) => {}
            (Shape::List(name), Value::Array(list)) => {
                list.iter().for_each(|item| element(out, action, name, item));
            }
            (Shape::Entries, Value::Array(list)) => {
                let name = format!("{action}ResultEntry");
                list.iter().for_each(|item| element(out, action, &name, item));
            }
            (Shape::Map(name, key, value_name), Value::Object(map)) => {
                for (of_key, value) in map {
                    let _ = write!(out, "<{name}><{key}>{}</{key}>", escaped(of_key));
                    element(out, action, value_name, value);
                    let _ = write!(out, "</{name}>");
                }
            }
            (_, value) => element(out, action, member, value),
        }
    }
}

fn element(out: &mut String, action: &str, name: &str, value: &Value) {
    let _ = write!(out, "<{name}>");
    match value {
        Value::Object(object) => members(out, action, object),
        Value::String(text) => out.push_str(&escaped(text)),
        Value::Null | Value::Array(_) => {}
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
    let _ = write!(out, "</{name}>");
}

/// Text as it stands in an element. What XML 1.0 cannot hold becomes the replacement character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            c if is_char(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

/// Whether XML 1.0 can hold this text.
pub(crate) fn is_text(text: &str) -> bool {
    /// Above the control characters, XML has all but U+FFFE and U+FFFF, which begin with this.
    const LAST_LEAD: u8 = 0xef;
    // In blocks that are looked at to their ends, so that the compiler takes many bytes at once.
    let is_plain = |block: &[u8]| {
        block.iter().fold(true, |plain, c| {
            plain & ((*c >= b' ') | matches!(*c, b'\t' | b'\n' | b'\r')) & (*c != LAST_LEAD)
        })
    };
    text.as_bytes().chunks(64).all(is_plain) || text.chars().all(is_char)
}

/// Whether XML 1.0 has this character.
pub(crate) const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_maps_are_flat() {
        let tree = json!({
            "Messages": [{
                "Body": "a<\r\"&\u{1}",
                "Attributes": {"SenderId": "x"},
                "MessageAttributes": {"n": {"DataType": "Number", "StringValue": "5"}},
            }],
        });
        let text = answer("ReceiveMessage", &tree, "ID", NS);
        assert!(
            text.ends_with(
                "<ReceiveMessageResponse xmlns=\"NS\"><ReceiveMessageResult><Message>\
             <Attribute><Name>SenderId</Name><Value>x</Value></Attribute>\
             <Body>a&lt;&#xD;&quot;&amp;\u{fffd}</Body>\
             <MessageAttribute><Name>n</Name><Value><DataType>Number</DataType>\
             <StringValue>5</StringValue></Value></MessageAttribute>\
             </Message></ReceiveMessageResult>\
             <ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata>\
             </ReceiveMessageResponse>"
            ),
            "{text}"
        );
    }

    #[test]
    fn text_is_what_has_only_characters_of_xml() {
        for c in (0..=0x11_0000_u32).filter_map(char::from_u32) {
            let text = format!("{}{c}b", "a".repeat(63));
            assert_eq!(is_text(&text), is_char(c), "{c:?}");
        }
        assert!(is_text("") && is_text(&"\t\r\n ~\u{7f}\u{85}\u{fffd}".repeat(50)));
        assert!(!is_text(&format!("{}\0", "a".repeat(1000))));
    }

    const NS: &str = "NS";

    #[test]
    fn entries_are_named_by_their_action_and_nothing_has_no_result() {
        let tree = json!({"Successful": [{"Id": "1"}], "Failed": []});
        let text = answer("DeleteMessageBatch", &tree, "ID", NS);
        assert!(
            text.contains(
                "<DeleteMessageBatchResult><DeleteMessageBatchResultEntry><Id>1</Id>\
             </DeleteMessageBatchResultEntry></DeleteMessageBatchResult>"
            ),
            "{text}"
        );
        assert!(!answer("DeleteMessage", &Value::Null, "ID", NS).contains("Result"));
    }
}
