//! The Query protocol: flat parameters become the tree that JSON clients send.
//!
//! `Attribute.1.Name=DelaySeconds&Attribute.1.Value=5` is `{"Attributes": {"DelaySeconds": "5"}}`.

use crate::error::{Code, Error};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Parameters of one request: a batch of ten with ten attributes each has a few hundred.
const PARAMETERS_MAX: usize = 2_000;
/// Names nest so deep: `SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue`.
const DEPTH_MAX: usize = 8;

/// What a list of parameters becomes.
#[derive(Clone, Copy)]
enum Shape {
    /// Texts, in the order of their numbers.
    List,
    /// Names with texts, under these two words.
    Texts(&'static str, &'static str),
    /// Names with objects, under `Name` and `Value`.
    Objects,
    /// Objects, in the order of their numbers.
    Entries,
}

/// The word in parameters, the member in JSON, and what it holds.
const MEMBERS: &[(&str, &str, Shape)] = &[
    ("AWSAccountId", "AWSAccountIds", Shape::List),
    ("ActionName", "Actions", Shape::List),
    ("Attribute", "Attributes", Shape::Texts("Name", "Value")),
    ("AttributeName", "AttributeNames", Shape::List),
    ("ChangeMessageVisibilityBatchRequestEntry", "Entries", Shape::Entries),
    ("DeleteMessageBatchRequestEntry", "Entries", Shape::Entries),
    ("MessageAttribute", "MessageAttributes", Shape::Objects),
    ("MessageAttributeName", "MessageAttributeNames", Shape::List),
    ("MessageSystemAttribute", "MessageSystemAttributes", Shape::Objects),
    ("MessageSystemAttributeName", "MessageSystemAttributeNames", Shape::List),
    ("SendMessageBatchRequestEntry", "Entries", Shape::Entries),
    ("Tag", "Tags", Shape::Texts("Key", "Value")),
    ("TagKey", "TagKeys", Shape::List),
];

/// Parameters that are numbers in JSON.
const NUMBERS: &[&str] = &[
    "DelaySeconds",
    "MaxNumberOfMessages",
    "MaxNumberOfMessagesPerSecond",
    "MaxResults",
    "VisibilityTimeout",
    "WaitTimeSeconds",
];

/// Parameters by the parts of their names.
#[derive(Default)]
struct Node {
    text: Option<String>,
    parts: BTreeMap<String, Self>,
}

/// Reads the action and its parameters out of a query string and a form. A path that names a
/// queue stands for the parameter `QueueUrl`.
pub(crate) fn read(path: &str, query: Option<&str>, form: &[u8]) -> Result<(String, Value), Error> {
    let mut root = Node::default();
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .chain(form_urlencoded::parse(form));
    for (n, (name, value)) in pairs.enumerate() {
        if n >= PARAMETERS_MAX {
            let message = format!("a request may have {PARAMETERS_MAX} parameters");
            return Err(Error::new(Code::Serialization, message));
        }
        root.insert(&name, value.into_owned())?;
    }
    let action = root.parts.remove("Action").and_then(|node| node.text);
    let action = action.ok_or_else(|| {
        Error::new(Code::MissingAction, "The request must contain the parameter Action.")
    })?;
    let mut tree = root.into_object()?;
    if path.len() > 1 && !tree.contains_key("QueueUrl") {
        tree.insert("QueueUrl".to_owned(), Value::String(path.to_owned()));
    }
    Ok((action, Value::Object(tree)))
}

impl Node {
    fn insert(&mut self, name: &str, value: String) -> Result<(), Error> {
        let mut node = self;
        for (depth, part) in name.split('.').enumerate() {
            if depth >= DEPTH_MAX {
                let message = format!("the parameter {name} has too many parts");
                return Err(Error::new(Code::Serialization, message));
            }
            node = node.parts.entry(part.to_owned()).or_default();
        }
        node.text = Some(value);
        Ok(())
    }

    fn into_object(self) -> Result<Map<String, Value>, Error> {
        let mut object = Map::new();
        for (name, node) in self.parts {
            let member = MEMBERS.iter().find(|(word, ..)| *word == name);
            if let Some((_, member, shape)) = member {
                object.insert((*member).to_owned(), node.into_shape(*shape)?);
            } else if MEMBERS.iter().any(|(_, member, _)| *member == name) {
                // An empty list, which botocore sends by its name in JSON: as good as none.
            } else if let Some(text) = node.text {
                let value = if NUMBERS.contains(&name.as_str()) {
                    let number = text.trim().parse::<i64>();
                    Value::from(number.map_err(|_| Error::value(&name, &text, "Must be a number"))?)
                } else {
                    Value::String(text)
                };
                object.insert(name, value);
            }
        }
        Ok(object)
    }

    fn into_shape(self, shape: Shape) -> Result<Value, Error> {
        // In the order of their numbers: as texts, 10 would stand before 2.
        let mut items: Vec<(u64, Self)> = self
            .parts
            .into_iter()
            .filter_map(|(number, node)| Some((number.parse().ok()?, node)))
            .collect();
        items.sort_by_key(|(number, _)| *number);
        let items = items.into_iter().map(|(_, node)| node);
        Ok(match shape {
            Shape::List => items.filter_map(|node| node.text).map(Value::String).collect(),
            Shape::Entries => {
                let entries = items.map(|node| node.into_object().map(Value::Object));
                Value::Array(entries.collect::<Result<_, _>>()?)
            }
            Shape::Texts(name, value) => {
                let pairs = items.filter_map(|mut node| {
                    let text = node.take(value).and_then(|node| node.text).unwrap_or_default();
                    Some((node.take(name)?.text?, Value::String(text)))
                });
                Value::Object(pairs.collect())
            }
            Shape::Objects => {
                let mut object = Map::new();
                for mut node in items {
                    let value = node.take("Value").unwrap_or_default().into_object()?;
                    if let Some(name) = node.take("Name").and_then(|node| node.text) {
                        object.insert(name, Value::Object(value));
                    }
                }
                Value::Object(object)
            }
        })
    }

    fn take(&mut self, part: &str) -> Option<Self> {
        self.parts.remove(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree(form: &str) -> Value {
        read("/", None, form.as_bytes()).unwrap().1
    }

    #[test]
    fn flat_parameters_become_what_json_clients_send() {
        let form = "Action=CreateQueue&Version=2012-11-05&QueueName=q&Attribute.2.Name=DelaySeconds\
                    &Attribute.2.Value=5&Attribute.1.Name=Policy&Attribute.1.Value=&Tag.1.Key=k\
                    &Tag.1.Value=v+w";
        let wanted = json!({
            "Version": "2012-11-05",
            "QueueName": "q",
            "Attributes": {"DelaySeconds": "5", "Policy": ""},
            "Tags": {"k": "v w"},
        });
        assert_eq!(tree(form), wanted);
    }

    #[test]
    fn entries_keep_the_order_of_their_numbers() {
        let mut form = "Action=SendMessageBatch".to_owned();
        for n in (1..=11).rev() {
            form += &format!("&SendMessageBatchRequestEntry.{n}.Id=e{n}");
        }
        form += "&SendMessageBatchRequestEntry.2.MessageAttribute.1.Name=a\
                 &SendMessageBatchRequestEntry.2.MessageAttribute.1.Value.DataType=Number\
                 &SendMessageBatchRequestEntry.2.DelaySeconds=7";
        let tree = tree(&form);
        let entries = tree["Entries"].as_array().unwrap();
        let ids: Vec<_> = entries.iter().map(|entry| entry["Id"].as_str().unwrap()).collect();
        assert_eq!(ids[0..3], ["e1", "e2", "e3"]);
        assert_eq!(ids[10], "e11");
        assert_eq!(entries[1]["DelaySeconds"], 7);
        assert_eq!(entries[1]["MessageAttributes"], json!({"a": {"DataType": "Number"}}));
    }

    #[test]
    fn an_empty_list_is_an_empty_text() {
        let tree = tree("Action=X&AttributeNames=&Entries=&AttributeName=&Attribute=");
        assert_eq!(tree, json!({"AttributeNames": [], "Attributes": {}}));
    }

    #[test]
    fn the_path_names_the_queue_where_no_parameter_does() {
        let (action, tree) =
            read("/000000000000/q", Some("Action=SendMessage&MessageBody=a%20b"), b"").unwrap();
        assert_eq!(action, "SendMessage");
        assert_eq!(tree, json!({"MessageBody": "a b", "QueueUrl": "/000000000000/q"}));
    }

    #[test]
    fn too_much_is_refused() {
        let many = "a=b&".repeat(PARAMETERS_MAX) + "Action=ListQueues";
        let deep = format!("Action=ListQueues&{}=1", "a.".repeat(DEPTH_MAX));
        for wrong in [many.as_str(), &deep, "", "a=b", "Action=X&DelaySeconds=soon"] {
            assert!(read("/", None, wrong.as_bytes()).is_err());
        }
    }
}
