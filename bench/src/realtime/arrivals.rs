//! How long it takes until the last of many has what was published.

use super::client::{self, MARK};
use crate::load::instant;
use anyhow::Context;
use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{io::AsyncReadExt, sync::Notify, task::JoinSet};

/// Connections are opened by so many threads: each opening is a few round trips.
const OPENERS: usize = 16;
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Counts publications over all receivers.
struct Arrivals {
    count: AtomicUsize,
    wanted: AtomicUsize,
    complete: Notify,
}

/// Everyone who is to get a publication.
pub(super) struct Receivers {
    arrivals: Arc<Arrivals>,
    /// They end with this.
    _readers: JoinSet<()>,
    count: usize,
    turn: usize,
}

/// Opens so many connections.
pub(super) fn open(
    count: usize,
    open_one: impl Fn(usize) -> anyhow::Result<TcpStream> + Sync,
) -> anyhow::Result<Vec<TcpStream>> {
    thread::scope(|scope| {
        let open_one = &open_one;
        let opener = |first| move || (first..count).step_by(OPENERS).map(open_one).collect();
        let openers: Vec<_> = (0..OPENERS).map(|first| scope.spawn(opener(first))).collect();
        let mut all = Vec::with_capacity(count);
        for opener in openers {
            let opened: anyhow::Result<Vec<TcpStream>> =
                opener.join().map_err(|_| anyhow::anyhow!("an opening thread failed"))?;
            all.extend(opened?);
        }
        Ok(all)
    })
}

impl Receivers {
    pub(super) fn new(streams: Vec<TcpStream>) -> anyhow::Result<Self> {
        let arrivals = Arc::new(Arrivals {
            count: AtomicUsize::new(0),
            wanted: AtomicUsize::new(usize::MAX),
            complete: Notify::new(),
        });
        let (count, mut readers) = (streams.len(), JoinSet::new());
        for stream in streams {
            stream.set_nonblocking(true)?;
            let stream = tokio::net::TcpStream::from_std(stream)?;
            readers.spawn(read(stream, Arc::clone(&arrivals)));
        }
        Ok(Self { arrivals, _readers: readers, count, turn: 0 })
    }

    /// From the request that publishes until the last one has it, in milliseconds.
    pub(super) async fn time(
        &mut self,
        publisher: &mut TcpStream,
        request: &[u8],
    ) -> anyhow::Result<f64> {
        self.turn += 1;
        self.arrivals.wanted.store(self.turn * self.count, Ordering::SeqCst);
        let at = instant();
        std::io::Write::write_all(publisher, request)?;
        let complete = tokio::time::timeout(ARRIVAL_MAX, self.arrivals.complete.notified());
        complete.await.with_context(|| {
            let came = self.arrivals.count.load(Ordering::SeqCst);
            format!("{came} of {} came", self.turn * self.count)
        })?;
        Ok(at.elapsed().as_secs_f64() * 1e3)
    }
}

async fn read(mut stream: tokio::net::TcpStream, arrivals: Arc<Arrivals>) {
    let mut buffer = [0; 2048];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        let marks = buffer[..bytes].iter().filter(|byte| **byte == MARK).count();
        let before = arrivals.count.fetch_add(marks, Ordering::SeqCst);
        if marks > 0 && before + marks == arrivals.wanted.load(Ordering::SeqCst) {
            arrivals.complete.notify_one();
        }
    }
}

/// Subscribers to the channel of the bench.
pub(super) fn subscribers(
    address: &str,
    speaks: client::Speaks,
    count: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    open(count, |_| client::subscriber(address, speaks))
}
