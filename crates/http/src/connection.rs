//! The sockets: bounds the time and size of request heads and the time that a peer may take none
//! of its answer, and ends connections when the server stops.

use crate::{
    Context, Options,
    metrics::Metrics,
    routes,
    takeover::{Socket, Takeover},
};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, sync::Arc};
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
/// end: tails and waiting fetches end at once. The caller bounds the time.
pub async fn serve(
    listener: TcpListener,
    broker: Broker,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let hosts = Hosts::new(listener.local_addr()?, &options.hosts_allowed);
    let door = Door::new(&broker, "http", options.connections_max, Excess::Waits);
    let metrics = Metrics::new(&broker, &door);
    let options = Arc::new(options);
    let cx = Context { broker, options, metrics, shutdown: shutdown.clone(), hosts };
    let service = TowerToHyperService::new(routes::router(cx.clone()));
    let connection = |stream, peer| {
        let (cx, service) = (cx.clone(), service.clone());
        async move {
            if let Err(error) = run(stream, peer, service, &cx).await {
                debug!(%error, "http connection ended");
            }
        }
    };
    door.serve(listener, shutdown, connection).await;
    Ok(())
}

/// Answers requests until the client goes, or until one of them goes on with a stream of its own.
async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    service: TowerToHyperService<axum::Router>,
    cx: &Context,
) -> Result<(), hyper::Error> {
    let (stream, takeover) = (Arc::new(stream), Takeover::new(peer));
    answer(Arc::clone(&stream), &takeover, service, cx).await?;
    // The HTTP machinery with its buffers is gone here: a stream may live for long.
    if let Some(next) = takeover.take() {
        next(stream).await;
    }
    Ok(())
}

async fn answer(
    stream: Arc<TcpStream>,
    takeover: &Takeover,
    service: TowerToHyperService<axum::Router>,
    cx: &Context,
) -> Result<(), hyper::Error> {
    let clock = Arc::clone(cx.broker.clock());
    let socket = Socket::new(stream, takeover.clone());
    let io = WriteLimit::new(socket, clock, limits::RESPONSE_WRITE_MAX).counting(&cx.metrics.bytes);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(takeover.clone());
        service.call(request)
    });
    // In a box of its own, which goes with it.
    let mut connection = Box::pin(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::REQUEST_READ_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(io), service),
    );
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = takeover.is_out() => return Ok(()),
        () = cx.stopping() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = connection => ended,
        () = takeover.is_out() => Ok(()),
    }
}
