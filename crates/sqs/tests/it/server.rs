//! A front-end on a free port, and a client that sends whatever bytes a test wants.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch, task::JoinHandle};
use tramline_sqs::Options;
use tramline_testkit::MemoryBroker;

/// A running front-end.
pub(crate) struct Server {
    runtime: Runtime,
    pub(crate) memory: MemoryBroker,
    address: SocketAddr,
    // Dropped, it stops the front-end.
    _shutdown: watch::Sender<bool>,
    _serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub(crate) fn start_with(options: Options) -> Self {
        let runtime = Runtime::new().unwrap();
        let (shutdown, stopping) = watch::channel(false);
        let (memory, address, serving) = runtime.block_on(async {
            let memory = MemoryBroker::start().await.unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let serve = tramline_sqs::serve(listener, memory.broker.clone(), options, stopping);
            (memory, address, tokio::spawn(serve))
        });
        // The broker's upkeep has begun to wait, so that tests can tell when somebody else does.
        while memory.clock.sleepers() == 0 {
            std::thread::yield_now();
        }
        Self { runtime, memory, address, _shutdown: shutdown, _serving: serving }
    }

    pub(crate) fn connect(&self) -> Plain {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Plain { stream }
    }

    /// Calls an action by AWS JSON.
    pub(crate) fn json(&self, action: &str, body: &Value) -> Answer {
        let mut plain = self.connect();
        plain.send(&request(action, body));
        plain.answer()
    }

    /// As [`Server::json`], for what must succeed.
    pub(crate) fn done(&self, action: &str, body: &Value) -> Value {
        let answer = self.json(action, body);
        assert_eq!(answer.status, 200, "{action}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap_or_default()
    }

    pub(crate) fn create(&self, name: &str) -> String {
        let attributes = match name.ends_with(".fifo") {
            true => json!({ "FifoQueue": "true", "ContentBasedDeduplication": "true" }),
            false => json!({}),
        };
        let answer =
            self.done("CreateQueue", &json!({ "QueueName": name, "Attributes": attributes }));
        answer["QueueUrl"].as_str().unwrap().to_owned()
    }

    /// The bodies and handles of what can be received.
    pub(crate) fn receive(&self, queue: &str) -> Vec<(String, String)> {
        let body = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "VisibilityTimeout": 10 });
        let answer = self.done("ReceiveMessage", &body);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        messages.iter().map(|m| (text(&m["Body"]), text(&m["ReceiptHandle"]))).collect()
    }

    /// The queue of a name, in the broker.
    pub(crate) fn queue(&self, name: &str) -> std::sync::Arc<tramline_broker::Queue> {
        let name = tramline_types::QueueName::parse(name).unwrap();
        self.memory.broker.queue(&name).unwrap()
    }

    /// Moves the clock on, step by step, until `start` gives something; gives how far, too.
    pub(crate) fn while_time_passes<T: Send>(
        &self,
        start: impl FnOnce() -> T + Send,
    ) -> (T, Duration) {
        let mut passed = Duration::ZERO;
        std::thread::scope(|scope| {
            let started = scope.spawn(start);
            while !started.is_finished() {
                passed += Duration::from_millis(100);
                self.memory.clock.advance(Duration::from_millis(100));
                std::thread::yield_now();
            }
            (started.join().unwrap(), passed)
        })
    }

    /// How many wait on the clock when nobody calls.
    pub(crate) fn sleepers(&self) -> usize {
        let (mut count, mut seen) = (self.memory.clock.sleepers(), 0);
        while seen < 10_000 {
            std::thread::yield_now();
            let now = self.memory.clock.sleepers();
            (count, seen) = if now == count { (count, seen + 1) } else { (now, 0) };
        }
        count
    }

    /// Waits for what another thread does.
    pub(crate) fn eventually(&self, what: impl Fn() -> bool) {
        self.runtime.block_on(async {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            while !what() {
                assert!(tokio::time::Instant::now() < deadline, "it never came");
                tokio::task::yield_now().await;
            }
        });
    }
}

/// A request of AWS JSON.
pub(crate) fn request(action: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.0\r\n\
         x-amz-target: AmazonSQS.{action}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A bare connection.
pub(crate) struct Plain {
    stream: TcpStream,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    /// The status and the name of the error's shape.
    pub(crate) fn error(&self) -> (u16, String) {
        let answer: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let shape = answer["__type"].as_str().unwrap_or_default();
        (self.status, shape.rsplit('#').next().unwrap_or_default().to_owned())
    }
}

impl Plain {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends no more.
    pub(crate) fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The next answer.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            assert_eq!(self.stream.read(&mut byte).unwrap(), 1, "closed without an answer");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|at| at.split('\r').next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head,
            text: String::from_utf8(body).unwrap(),
        }
    }

    /// Reads to the end of the connection; gives what came.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }
}
