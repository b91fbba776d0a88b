//! The class `connection`: logging in, agreeing on limits, opening, closing.

use crate::{
    client::{Capabilities, Client, Place, Step},
    error::Refusal,
    session::Phase,
};
use tramline_wire_amqp091::{Frame, Method, ReplyCode, Table, Value, method::connection};

/// The virtual host that there is.
const VIRTUAL_HOST: &str = "/";

/// The greeting is right: the broker says what it is.
pub(crate) fn start(client: &mut Client) {
    let options = &client.cx.options;
    let capability = |name: &str| (name.to_owned(), Value::Bool(true));
    let capabilities = Table(
        [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "consumer_priorities",
            "authentication_failure_close",
            "per_consumer_qos",
            "direct_reply_to",
        ]
        .map(capability)
        .to_vec(),
    );
    let texts = [
        ("product", options.product.as_str()),
        ("version", options.product_version.as_str()),
        ("platform", concat!("Tramline ", env!("CARGO_PKG_VERSION"))),
        ("information", "Tramline speaks AMQP 0-9-1 as RabbitMQ does"),
        ("cluster_name", client.broker().cluster_id()),
    ];
    let mut properties = Table(vec![("capabilities".to_owned(), Value::Table(capabilities))]);
    for (name, text) in texts {
        properties.set(name, Value::text(text));
    }
    client.session.enter(Phase::Login, client.now);
    client.send(
        0,
        connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties,
            mechanisms: b"AMQPLAIN PLAIN".to_vec(),
            locales: b"en_US".to_vec(),
        },
    );
}

/// A method on channel 0, or on any before the connection is open.
pub(crate) fn handle(client: &mut Client, frame: &Frame<'_>) -> Result<Step, Refusal> {
    let method = Method::decode(frame.payload);
    let phase = client.session.phase();
    if phase == Phase::Closing {
        match method {
            Ok(Method::ConnectionCloseOk(_)) => client.session.enter(Phase::Closed, client.now),
            Ok(Method::ConnectionClose(_)) => {
                client.send(0, connection::CloseOk {});
                client.session.enter(Phase::Closed, client.now);
            }
            // Sent before the client saw the close.
            Ok(_) | Err(_) => {}
        }
        return Ok(Step::Done);
    }
    if frame.channel != 0 {
        return Err(Refusal::new(ReplyCode::ChannelError, "the connection is not open"));
    }
    match (phase, method?) {
        (_, Method::ConnectionClose(_)) => return Ok(close(client)),
        (Phase::Login, Method::ConnectionStartOk(start_ok)) => login(client, &start_ok)?,
        (Phase::Tuning, Method::ConnectionTuneOk(tune)) => {
            let (channels, frame, heartbeat) = (tune.channel_max, tune.frame_max, tune.heartbeat);
            let tuned = client.session.handle_tune(channels, frame, heartbeat);
            tuned.map_err(|text| Refusal::new(ReplyCode::NotAllowed, text))?;
            client.session.enter(Phase::Opening, client.now);
        }
        (Phase::Opening, Method::ConnectionOpen(open)) => {
            if open.virtual_host != VIRTUAL_HOST {
                let text = format!("vhost {} not found", open.virtual_host);
                return Err(Refusal::new(ReplyCode::NotAllowed, text));
            }
            client.session.enter(Phase::Open, client.now);
            client.send(0, connection::OpenOk::default());
        }
        (Phase::Open, Method::ConnectionUpdateSecret(_)) => {
            // A log-in has nothing that could be renewed: its answer is all that is waited for.
            client.send(0, connection::UpdateSecretOk {});
        }
        (_, other) => return Err(super::invalid(&other)),
    }
    Ok(Step::Done)
}

/// The client says goodbye. What it published is in its queues before that.
fn close(client: &mut Client) -> Step {
    if client.publishes.is_unflushed() {
        return Step::Flush;
    }
    client.release();
    client.send(0, connection::CloseOk {});
    client.session.enter(Phase::Closed, client.now);
    Step::Done
}

fn login(client: &mut Client, start_ok: &connection::StartOk) -> Result<(), Refusal> {
    let can = |name: &str| {
        let capabilities = start_ok.client_properties.get("capabilities");
        let Some(Value::Table(table)) = capabilities else { return false };
        table.get(name) == Some(&Value::Bool(true))
    };
    client.capabilities = Capabilities {
        cancel_notify: can("consumer_cancel_notify"),
        blocked: can("connection.blocked"),
        authentication_failure_close: can("authentication_failure_close"),
    };
    let credentials = match start_ok.mechanism.as_str() {
        "PLAIN" => plain(&start_ok.response),
        "AMQPLAIN" => amqplain(&start_ok.response),
        other => {
            let text = format!("unsupported authentication mechanism '{other}'");
            return Err(Refusal::new(ReplyCode::CommandInvalid, text));
        }
    };
    let is_near = client.peer.ip().to_canonical().is_loopback();
    let allowed = is_near || client.cx.options.remote_guest;
    match credentials {
        Some((user, password)) if allowed && user == "guest" && password == "guest" => {
            let product = start_ok.client_properties.get("product");
            let product = product.and_then(Value::as_text).map(str::to_owned);
            client.registration.identify(product, Some(user.clone()));
            client.user = user;
        }
        _ => return refuse_login(client, &start_ok.mechanism),
    }
    client.session.enter(Phase::Tuning, client.now);
    let offered = client.session.agreed();
    client.send(
        0,
        connection::Tune {
            channel_max: offered.channels_max,
            frame_max: offered.frame_bytes_max,
            heartbeat: u16::try_from(offered.heartbeat.as_secs()).unwrap_or(u16::MAX),
        },
    );
    Ok(())
}

/// A client that cannot take a close at this point is hung up on.
fn refuse_login(client: &mut Client, mechanism: &str) -> Result<(), Refusal> {
    tracing::info!(peer = %client.peer, mechanism, "log-in refused");
    if client.capabilities.authentication_failure_close {
        let text = format!(
            "Login was refused using authentication mechanism {mechanism}. For details see the \
             broker logfile."
        );
        let refusal = Refusal::new(ReplyCode::AccessRefused, text);
        client.close(Place::default(), &refusal);
    } else {
        client.session.enter(Phase::Closed, client.now);
    }
    Ok(())
}

/// RFC 4616: identity to act as, NUL, user, NUL, password.
fn plain(response: &[u8]) -> Option<(String, String)> {
    let mut parts = str::from_utf8(response).ok()?.split('\0');
    let (_acting_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then(|| (user.to_owned(), password.to_owned()))
}

/// A field table without its length.
fn amqplain(response: &[u8]) -> Option<(String, String)> {
    let table = Table::decode(response).ok()?;
    let text = |name: &str| table.get(name)?.as_text().map(str::to_owned);
    Some((text("LOGIN")?, text("PASSWORD")?))
}
