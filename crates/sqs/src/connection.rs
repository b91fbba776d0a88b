//! The sockets: bounds the time and size of request heads and the time that a peer may take none
//! of its answer, and ends connections when the server stops.

use crate::{
    Context, Options, declared, memory::Memory, metrics::Metrics, profile::Profiles, request,
};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, pin::pin, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tracing::debug;
use tramline_broker::{Broker, Door, Excess, Hosts, WriteLimit};
use tramline_types::limits;

/// The request line and the headers.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Serves until `shutdown` turns true (or its sender is gone), then lets every running request
/// end: waiting receives end at once. The caller bounds the time.
pub async fn serve(
    listener: TcpListener,
    broker: Broker,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let hosts = Hosts::new(listener.local_addr()?, &options.hosts_allowed);
    let door = Door::new(&broker, "sqs", options.connections_max, Excess::Waits);
    let metrics = Metrics::new(&broker, &door);
    let memory = Arc::new(Memory::new(&options));
    let (options, profiles) = (Arc::new(options), Arc::new(Profiles::default()));
    let until = shutdown.clone();
    let cx = Context { broker, options, memory, profiles, metrics, shutdown, hosts };
    declared::create(&cx).await?;
    let router = Router::new().fallback(request::handle).with_state(cx.clone());
    let service = TowerToHyperService::new(router);
    let connection = |stream, _| {
        let (cx, service) = (cx.clone(), service.clone());
        async move {
            if let Err(error) = run(stream, service, &cx).await {
                debug!(%error, "sqs connection ended");
            }
        }
    };
    door.serve(listener, until, connection).await;
    Ok(())
}

async fn run(
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    cx: &Context,
) -> Result<(), hyper::Error> {
    let io = WriteLimit::new(stream, Arc::clone(cx.broker.clock()), limits::RESPONSE_WRITE_MAX)
        .counting(&cx.metrics.bytes);
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::REQUEST_READ_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(io), service)
    );
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = cx.stopping() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
