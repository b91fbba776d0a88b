//! The entries of the fuzz targets `sqs_json`, `sqs_query` and `sqs_signature`.

use crate::{
    Options, api,
    from_wire::{
        Input,
        message::{Compact, Sent, stored},
        query,
    },
    signature,
    to_wire::{message::outgoing, xml},
};
use axum::http::Request;
use tramline_types::{Timestamp, limits::SQS_BODY_BYTES_MAX};

/// Takes hostile bytes as the body of an AWS JSON request; the first one says of which action.
///
/// # Panics
/// When reading panics, or when a message does not come back as it was sent.
pub fn fuzz_json(data: &[u8]) {
    let Some((&action, body)) = data.split_first() else { return };
    read(action, &Input::Json(&body[..body.len().min(SQS_BODY_BYTES_MAX)]));
}

/// Takes hostile bytes as parameters of the Query protocol: the first one says for which action
/// they are read, then what is up to a line break is the query string and the rest the form.
///
/// # Panics
/// When reading panics, or when a message does not come back as it was sent.
pub fn fuzz_query(data: &[u8]) {
    let Some((&action, rest)) = data.split_first() else { return };
    let rest = &rest[..rest.len().min(SQS_BODY_BYTES_MAX)];
    let (query, form) = match rest.iter().position(|c| *c == b'\n') {
        Some(at) => (str::from_utf8(&rest[..at]).ok(), &rest[at + 1..]),
        None => (None, rest),
    };
    let Ok((name, tree)) = query::read("/000000000000/q", query, form) else { return };
    // Answers are made from such trees.
    let _text = xml::answer(api::find(&name).unwrap_or("SendMessage"), &tree, "id", "ns");
    read(action, &Input::Tree(tree));
}

fn read(action: u8, input: &Input<'_>) {
    let _checked_by_its_type = api::parse(action.into(), input);
    let Ok(mut sent) = input.read::<Sent>() else { return };
    let Ok(checked) = sent.check() else { return };
    let message = stored(checked.clone(), Compact { id: "id".to_owned(), ..Compact::default() });
    let out = outgoing(&message);
    assert_eq!(out.body, checked.body);
    assert_eq!(out.attributes, checked.attributes);
    assert_eq!((out.compact.id.as_str(), out.compact.trace), ("id", checked.trace));
}

/// Takes hostile bytes as a signed request: up to a line break the path with its query string, and
/// then the header `Authorization`.
///
/// # Panics
/// When reading panics, or when somebody passes who has no secret.
pub fn fuzz_signature(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (target, authorization) = text.split_once('\n').unwrap_or((text, ""));
    let request = Request::builder().uri(target).header("host", "localhost");
    let request = request.header("x-amz-date", "20261122T230000Z");
    let request = request.header("authorization", authorization);
    let Ok(request) = request.body(()) else { return };
    let (parts, ()) = request.into_parts();
    let keys = [("AKIDEXAMPLE".to_owned(), "a secret that nobody knows".to_owned())];
    let options = Options { keys: keys.into_iter().collect(), ..Options::default() };
    let _caller = crate::caller::Caller::of(&parts, &options);
    // 2026-11-22 23:00:00.
    let now = Timestamp::from_millis(1_795_388_400_000);
    if let Ok(signed) = signature::claim(&parts, &options, now) {
        let signed = signed.expect("there are keys");
        assert!(signature::verify(&parts, b"", &options, &signed).is_err());
    }
}

#[cfg(test)]
mod tests;
