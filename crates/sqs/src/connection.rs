//! The sockets: accepts up to a limit, bounds the time and size of request heads and the time
//! that a peer may take none of its answer, and ends connections when the server stops.

mod write_limit;

use crate::{Context, Options, memory::Memory, metrics::Metrics, profile::Profiles, request};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tracing::{debug, warn};
use tramline_broker::Broker;
use tramline_types::limits;
use write_limit::WriteLimit;

/// The request line and the headers.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown` turns true (or its sender is gone), then lets every running request
/// end: waiting receives end at once. The caller bounds the time.
pub async fn serve(
    listener: TcpListener,
    broker: Broker,
    options: Options,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let is_loopback = listener.local_addr()?.ip().is_loopback();
    let places = Arc::new(Semaphore::new(options.connections_max));
    let metrics = Metrics::new(&broker);
    let memory = Arc::new(Memory::new(&options));
    let (options, profiles) = (Arc::new(options), Arc::new(Profiles::default()));
    let cx = Context { broker, options, memory, profiles, metrics, shutdown, is_loopback };
    let router = Router::new().fallback(request::handle).with_state(cx.clone());
    let service = TowerToHyperService::new(router);
    let mut connections = JoinSet::new();
    let mut stopping = pin!(cx.stopping());
    loop {
        tokio::select! {
            () = &mut stopping => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    let (cx, service) = (cx.clone(), service.clone());
                    connections.spawn(async move {
                        cx.metrics.connections.inc();
                        if let Err(error) = run(stream, service, &cx).await {
                            debug!(%error, "sqs connection ended");
                        }
                        cx.metrics.connections.dec();
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "sqs connection not accepted");
                    let clock = cx.broker.clock();
                    clock.sleep_until(Some(clock.monotonic().plus(ACCEPT_RETRY))).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn run(
    stream: TcpStream,
    service: TowerToHyperService<Router>,
    cx: &Context,
) -> Result<(), hyper::Error> {
    // A failure here means that the peer is gone already; reading will say so.
    let _ = stream.set_nodelay(true);
    let io = WriteLimit::new(stream, Arc::clone(cx.broker.clock()), limits::RESPONSE_WRITE_MAX);
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
