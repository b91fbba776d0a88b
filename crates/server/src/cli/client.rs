//! Speaks to the broker: JSON in, JSON out, errors with what the broker advises.

use crate::arguments;
use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::{io, time::Duration};
use ureq::{
    Agent, Body,
    http::{Method, Request, Response},
};

/// The largest answer that is read as a whole.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// One broker.
pub(crate) struct Client {
    agent: Agent,
    server: String,
}

/// The broker refused: its status, and its own words.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", advice(.hint))]
pub(crate) struct Refused {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

fn advice(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("\n hint: {hint}") }
}

impl Client {
    /// Takes the address as it was typed.
    pub(crate) fn new(arguments: &arguments::Client) -> anyhow::Result<Self> {
        let server = arguments.server.trim_end_matches('/');
        if server.starts_with("https://") {
            bail!("`{server}`: the command line speaks plain http; use http://host:port");
        }
        let server =
            if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_MAX))
            .proxy(None)
            .user_agent(concat!("tramline/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.into(), server })
    }

    /// Asks for a path.
    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(Method::GET, path, None)
    }

    /// Sends JSON, or nothing, and reads JSON, or nothing.
    pub(crate) fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        let request = request.header("accept", "application/json");
        let response = match body {
            Some(body) => {
                let body = serde_json::to_vec(body)?;
                self.agent.run(request.header("content-type", "application/json").body(body)?)
            }
            None => self.agent.run(request.body(())?),
        };
        self.parsed(path, response)
    }

    /// Posts bytes and reads JSON, or nothing.
    pub(crate) fn send(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> anyhow::Result<Value> {
        let request = Request::builder().method(Method::POST).uri(format!("{}{path}", self.server));
        let response = self.agent.run(request.header("content-type", content_type).body(body)?);
        self.parsed(path, response)
    }

    fn parsed(
        &self,
        path: &str,
        response: Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<Value> {
        let mut response = self.checked(response)?;
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&text).with_context(|| format!("{path} did not answer with JSON"))
    }

    /// Sends bytes with these headers, and reads bytes.
    pub(crate) fn bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let has_body = method == Method::PUT || method == Method::POST;
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = match has_body {
            true => self.agent.run(request.body(body)?),
            false => self.agent.run(request.body(())?),
        };
        let mut response = self.checked(response)?;
        Ok(response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?)
    }

    /// Opens a stream of events, going on behind `last_id`.
    pub(crate) fn events(&self, path: &str, last_id: Option<&str>) -> anyhow::Result<Body> {
        let mut request = Request::builder().uri(format!("{}{path}", self.server));
        request = request.header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = self.agent.run(request.body(())?);
        Ok(self.checked(response)?.into_body())
    }

    fn checked(
        &self,
        response: Result<Response<Body>, ureq::Error>,
    ) -> anyhow::Result<Response<Body>> {
        let mut response = response.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let field = |name: &str| answer["error"][name].as_str().unwrap_or_default().to_owned();
        if answer["error"].is_object() {
            let (kind, message, hint) = (field("kind"), field("message"), field("hint"));
            return Err(Refused { kind, message, hint }.into());
        }
        bail!("{} answered {status}: is this a broker's HTTP address?", self.server)
    }

    fn unreachable(&self, error: ureq::Error) -> anyhow::Error {
        let server = &self.server;
        match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => anyhow!(
                "cannot connect to {server}: nothing listens there\n hint: start a broker with \
                 `tramline serve`, or name another one with --server or TRAMLINE_SERVER"
            ),
            ureq::Error::Io(error) => {
                anyhow::Error::from(error).context(format!("connection to {server}"))
            }
            ureq::Error::HostNotFound => anyhow!(
                "cannot find the host of {server}\n hint: correct --server or TRAMLINE_SERVER"
            ),
            ureq::Error::BadUri(detail) => anyhow!(
                "`{server}` is no address: {detail}\n hint: write it as http://127.0.0.1:8080"
            ),
            error => anyhow!("{server}: {error}"),
        }
    }
}

/// Whether the broker says that something exists already.
pub(crate) fn exists_already(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refused>().is_some_and(|refused| refused.kind == "ALREADY_EXISTS")
}

/// A name as part of a path.
pub(crate) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_paths_and_queries() {
        assert_eq!(escape("orders.v1_x-~"), "orders.v1_x-~");
        assert_eq!(escape("a/b c?ä+"), "a%2Fb%20c%3F%C3%A4%2B");
    }
}
