//! `/v1/channel-bindings`: channels whose publications are stored, and topics and queues whose
//! messages are shown on a channel.

use crate::{Context, error::Error, extract::Json as Body};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tramline_broker::{ChannelBinding, ChannelEnd};

/// One binding: `to` stores what is published, `from` shows what comes in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binding {
    /// With `to` a pattern, with `from` a name.
    channel: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<End>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<End>,
}

/// A topic or a queue.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Topic(String),
    Queue(String),
}

impl Binding {
    fn into_domain(self) -> Result<ChannelBinding, Error> {
        let Self { channel, to, from } = self;
        let end = |end| match end {
            End::Topic(name) => ChannelEnd::Topic(name),
            End::Queue(name) => ChannelEnd::Queue(name),
        };
        match (to, from) {
            (Some(to), None) => Ok(ChannelBinding::Store { channel, to: end(to) }),
            (None, Some(from)) => Ok(ChannelBinding::Show { from: end(from), channel }),
            _ => Err(Error::malformed(
                "a binding has either `to` or `from`",
                "store with `to`, show with `from`: {\"topic\": name} or {\"queue\": name}",
            )),
        }
    }

    fn to_wire(binding: ChannelBinding) -> Self {
        let end = |end| match end {
            ChannelEnd::Topic(name) => Some(End::Topic(name)),
            ChannelEnd::Queue(name) => Some(End::Queue(name)),
        };
        match binding {
            ChannelBinding::Store { channel, to } => Self { channel, to: end(to), from: None },
            ChannelBinding::Show { from, channel } => Self { channel, to: None, from: end(from) },
        }
    }
}

/// The answer of GET `/v1/channel-bindings`.
#[derive(Serialize)]
pub(crate) struct BindingList {
    bindings: Vec<Binding>,
}

/// GET `/v1/channel-bindings`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<BindingList> {
    let bindings = cx.broker.channel_bindings().into_iter().map(Binding::to_wire).collect();
    Json(BindingList { bindings })
}

/// POST `/v1/channel-bindings`.
pub(crate) async fn bind(
    State(cx): State<Context>,
    Body(request): Body<Binding>,
) -> Result<(StatusCode, Json<Binding>), Error> {
    let binding = request.into_domain()?;
    cx.broker.bind_channel(binding.clone()).await?;
    Ok((StatusCode::CREATED, Json(Binding::to_wire(binding))))
}

/// DELETE `/v1/channel-bindings`.
pub(crate) async fn unbind(
    State(cx): State<Context>,
    Body(request): Body<Binding>,
) -> Result<StatusCode, Error> {
    cx.broker.unbind_channel(request.into_domain()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
