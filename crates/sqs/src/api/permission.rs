//! AddPermission and RemovePermission: statements of the queue's policy, which is kept and shown;
//! nothing is refused by it.

use super::find_queue;
use crate::{
    Context,
    caller::Caller,
    error::{Code, Error, required},
    from_wire::{attributes::POLICY, bounded::List},
    profile::Annotation,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tramline_broker::QueueSettings;

const ACTIONS_MAX: usize = 7;
const LABEL_MAX: usize = 80;
/// Those that can be given to others.
const ACTIONS: &[&str] = &[
    "*",
    "ChangeMessageVisibility",
    "DeleteMessage",
    "GetQueueAttributes",
    "GetQueueUrl",
    "ListDeadLetterSourceQueues",
    "PurgeQueue",
    "ReceiveMessage",
    "SendMessage",
];

/// Those that cannot.
const OWNERS: &[&str] = &[
    "AddPermission",
    "CancelMessageMoveTask",
    "CreateQueue",
    "DeleteQueue",
    "ListMessageMoveTasks",
    "ListQueueTags",
    "ListQueues",
    "RemovePermission",
    "SetQueueAttributes",
    "StartMessageMoveTask",
    "TagQueue",
    "UntagQueue",
];

#[derive(Deserialize)]
pub(crate) struct Add {
    #[serde(rename = "QueueUrl")]
    queue_url: Option<String>,
    #[serde(rename = "Label")]
    label: Option<String>,
    #[serde(rename = "AWSAccountIds")]
    accounts: Option<List<String>>,
    #[serde(rename = "Actions")]
    actions: Option<List<String>>,
}

pub(crate) async fn add(cx: &Context, caller: &Caller, request: Add) -> Result<(), Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let label = required(request.label, "Label")?;
    let accounts = required(request.accounts, "AWSAccountIds")?.0;
    if accounts.is_empty() {
        return Err(Error::value("PrincipalId", "[]", "Unable to verify"));
    }
    let actions = listed(request.actions, "Actions")?;
    check(&label, &actions)?;
    let arn = caller.arn(&found.address);
    let principals: Vec<_> = accounts.iter().map(|id| format!("arn:aws:iam::{id}:root")).collect();
    let actions: Vec<_> = actions.iter().map(|action| format!("SQS:{action}")).collect();
    let statement = json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": single(principals)},
        "Action": single(actions),
        "Resource": arn,
    });
    let empty = json!({
        "Version": "2008-10-17",
        "Id": format!("{arn}/SQSDefaultPolicy"),
        "Statement": [],
    });
    let change = |statements: &mut Vec<Value>| {
        if statements.iter().any(|statement| statement["Sid"] == label.as_str()) {
            return Err(Error::value("Label", &label, "Already exists"));
        }
        statements.push(statement);
        Ok(())
    };
    change_policy(cx, &found.queue, empty, change).await
}

/// A list that must not be empty.
fn listed(list: Option<List<String>>, name: &str) -> Result<Vec<String>, Error> {
    required(list.map(|list| list.0).filter(|list| !list.is_empty()), name)
}

fn check(label: &str, actions: &[String]) -> Result<(), Error> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    if !(1..=LABEL_MAX).contains(&label.len()) || !label.bytes().all(allowed) {
        let reason = format!(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to {LABEL_MAX} \
             in length"
        );
        return Err(Error::value("Label", label, reason));
    }
    if actions.len() > ACTIONS_MAX {
        let n = actions.len();
        let message = format!("{n} Actions were found, maximum allowed is {ACTIONS_MAX}.");
        return Err(Error::new(Code::OverLimit, message));
    }
    match actions.iter().find(|action| !ACTIONS.contains(&action.as_str())) {
        Some(action) if OWNERS.contains(&action.as_str()) => {
            let reason = "Only the queue owner is allowed to invoke this action";
            Err(Error::value("ActionName", format!("SQS:{action}"), reason))
        }
        Some(action) => {
            let reason = format!(
                "Please refer to the appropriate WSDL for a list of valid actions. {}",
                ACTIONS.join(", ")
            );
            Err(Error::value("ActionName", format!("SQS:{action}"), reason))
        }
        None => Ok(()),
    }
}

/// A list of one is written as that one, as AWS does.
fn single(mut list: Vec<String>) -> Value {
    if list.len() == 1 { list.remove(0).into() } else { list.into() }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Remove {
    queue_url: Option<String>,
    label: Option<String>,
}

pub(crate) async fn remove(cx: &Context, caller: &Caller, request: Remove) -> Result<(), Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let label = required(request.label, "Label")?;
    let change = |statements: &mut Vec<Value>| {
        let before = statements.len();
        statements.retain(|statement| statement["Sid"] != label.as_str());
        if statements.len() == before {
            return Err(Error::value("Label", &label, "can't find label on existing policy"));
        }
        Ok(())
    };
    change_policy(cx, &found.queue, json!({"Statement": []}), change).await
}

/// Changes the statements of a queue's policy; `empty` is the policy of one that has none.
async fn change_policy(
    cx: &Context,
    queue: &std::sync::Arc<tramline_broker::Queue>,
    empty: Value,
    change: impl FnOnce(&mut Vec<Value>) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let mut result = Ok(());
    let alter = |settings: &mut QueueSettings| {
        let mut annotation = Annotation::of(settings);
        let text = annotation.attributes.get(POLICY).map(String::as_str).unwrap_or_default();
        let mut policy = serde_json::from_str(text).unwrap_or(empty);
        let mut statements = match policy["Statement"].take() {
            Value::Array(statements) => statements,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        result = change(&mut statements);
        if result.is_err() {
            return;
        }
        if statements.is_empty() {
            annotation.attributes.remove(POLICY);
        } else {
            policy["Statement"] = Value::Array(statements);
            annotation.attributes.insert(POLICY.to_owned(), policy.to_string());
        }
        annotation.put(settings);
    };
    cx.broker.alter_queue(queue, alter).await?;
    result
}
