//! A broker in memory behind a listener, and a client that speaks plain frames.

use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tramline_broker::{Broker, SystemClock};
use tramline_store::MemoryStore;
use tramline_types::Clock;
use tramline_wire_amqp091::{
    ContentHeader, FrameKind, Method, PROTOCOL_HEADER, Properties, Table, Value, Writer, content,
    frame::{FRAME_END, split},
    method::{basic, channel, confirm, connection, queue},
};

/// Far beyond what any test needs on a slow machine: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener and what stands behind it.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) broker: Broker,
    _stop: watch::Sender<bool>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let options = tramline_broker::Options::default();
        Self::start_with(Arc::new(SystemClock::new()), options).await
    }

    pub(crate) async fn start_with(
        clock: Arc<dyn Clock>,
        options: tramline_broker::Options,
    ) -> Self {
        let store = Arc::new(MemoryStore::new());
        let stored = Arc::<MemoryStore>::clone(&store);
        let broker = Broker::start(stored, clock, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let options = tramline_amqp091::Options::default();
        let broker = broker.await.unwrap();
        tokio::spawn(tramline_amqp091::serve(listener, broker.clone(), options, stopping));
        Self { address, store, broker, _stop: stop }
    }

    /// A client with channel 1 open.
    pub(crate) async fn client(&self) -> Client {
        let mut client = Client::connect(self.address).await;
        client.open().await;
        client.call(1, channel::Open::default()).await;
        client
    }
}

/// What comes in frames.
#[derive(Debug)]
pub(crate) enum Incoming {
    Method(Method),
    Header(u64),
    Body(Vec<u8>),
    End,
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream, received: Vec::new() };
        client.send(&PROTOCOL_HEADER).await;
        client
    }

    pub(crate) async fn open(&mut self) {
        assert!(matches!(self.method().await, Method::ConnectionStart(_)));
        let blocked = ("connection.blocked".to_owned(), Value::Bool(true));
        let capabilities = Value::Table(Table(vec![blocked]));
        let start_ok = connection::StartOk {
            client_properties: Table(vec![("capabilities".to_owned(), capabilities)]),
            mechanism: "PLAIN".to_owned(),
            response: b"\0guest\0guest".to_vec(),
            ..connection::StartOk::default()
        };
        assert!(matches!(self.call(0, start_ok).await, Method::ConnectionTune(_)));
        self.send_method(0, connection::TuneOk::default()).await;
        let open = connection::Open { virtual_host: "/".to_owned(), ..Default::default() };
        assert!(matches!(self.call(0, open).await, Method::ConnectionOpenOk(_)));
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let sent = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        sent.expect("the broker reads").unwrap();
    }

    pub(crate) async fn send_method(&mut self, channel: u16, method: impl Into<Method>) {
        let mut writer = Writer::new();
        method.into().encode_into(&mut writer, channel);
        self.send(writer.as_slice()).await;
    }

    /// Sends a method and waits for the next one that comes.
    pub(crate) async fn call(&mut self, channel: u16, method: impl Into<Method>) -> Method {
        self.send_method(channel, method).await;
        self.method().await
    }

    /// The next frame; heartbeats are passed over.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            if let Some(frame) = split(&self.received, usize::MAX).unwrap() {
                let length = frame.len();
                let incoming = match frame.kind {
                    FrameKind::Method => {
                        Some(Incoming::Method(Method::decode(frame.payload).unwrap()))
                    }
                    FrameKind::Header => {
                        let header = ContentHeader::decode(frame.payload).unwrap();
                        Some(Incoming::Header(header.body_size))
                    }
                    FrameKind::Body => Some(Incoming::Body(frame.payload.to_vec())),
                    FrameKind::Heartbeat => None,
                };
                self.received.drain(..length);
                match incoming {
                    Some(incoming) => return incoming,
                    None => continue,
                }
            }
            let read = self.stream.read_buf(&mut self.received);
            match tokio::time::timeout(PATIENCE, read).await.expect("the broker answers") {
                Ok(0) | Err(_) => return Incoming::End,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn method(&mut self) -> Method {
        match self.next().await {
            Incoming::Method(method) => method,
            other => panic!("not a method: {other:?}"),
        }
    }

    /// Whether the broker has hung up, or does so in a moment.
    pub(crate) async fn is_closed_now(&mut self) -> bool {
        let moment = Duration::from_millis(200);
        matches!(tokio::time::timeout(moment, self.next()).await, Ok(Incoming::End))
    }

    /// Code and text of the next method, which closes the connection.
    pub(crate) async fn closed_with(&mut self) -> (u16, String) {
        match self.method().await {
            Method::ConnectionClose(close) => (close.reply_code, close.reply_text),
            other => panic!("not a close: {other:?}"),
        }
    }

    pub(crate) async fn declare(&mut self, name: &str, durable: bool) {
        let declare = queue::Declare { queue: name.to_owned(), durable, ..Default::default() };
        assert!(matches!(self.call(1, declare).await, Method::QueueDeclareOk(_)));
    }

    pub(crate) async fn confirm(&mut self) {
        let selected = self.call(1, confirm::Select { nowait: false }).await;
        assert!(matches!(selected, Method::ConfirmSelectOk(_)));
    }

    pub(crate) async fn consume(&mut self, name: &str, no_ack: bool) {
        let consume = basic::Consume { queue: name.to_owned(), no_ack, ..Default::default() };
        assert!(matches!(self.call(1, consume).await, Method::BasicConsumeOk(_)));
    }

    /// The next delivery: its number, whether it came before, and its body.
    pub(crate) async fn delivery(&mut self) -> (u64, bool, Vec<u8>) {
        let Method::BasicDeliver(deliver) = self.method().await else { panic!("no delivery") };
        let Incoming::Header(size) = self.next().await else { panic!("no header") };
        let mut body = Vec::new();
        while u64::try_from(body.len()).unwrap() < size {
            let Incoming::Body(part) = self.next().await else { panic!("no body") };
            body.extend(part);
        }
        (deliver.delivery_tag, deliver.redelivered, body)
    }
}

/// The frames of a publish to the default exchange.
pub(crate) fn publish(queue: &str, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    let method = basic::Publish { routing_key: queue.to_owned(), ..Default::default() };
    Method::from(method).encode_into(&mut writer, 1);
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() }.to_bytes();
    let body_size = u64::try_from(body.len()).unwrap();
    ContentHeader { class: content::BASIC, body_size, properties: &properties }
        .encode_into(&mut writer, 1);
    for part in body.chunks(100_000) {
        content::encode_body_head(&mut writer, 1, part.len());
        writer.slice(part);
        writer.u8(FRAME_END);
    }
    writer.into_bytes()
}
