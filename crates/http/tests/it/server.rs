//! A front-end on a free port, and a client that keeps what it is told.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    time::Duration,
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch, task::JoinHandle};
use tramline_broker::Options as BrokerOptions;
use tramline_http::Options;
use tramline_testkit::MemoryBroker;
use ureq::{
    Agent, Body,
    http::{Request, Response},
};

/// A running front-end.
pub(crate) struct Server {
    pub(crate) runtime: Runtime,
    pub(crate) memory: MemoryBroker,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: watch::Sender<bool>,
    pub(crate) serving: Option<JoinHandle<std::io::Result<()>>>,
    agent: Agent,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(BrokerOptions::default(), Options::default())
    }

    pub(crate) fn start_with(broker: BrokerOptions, options: Options) -> Self {
        let runtime = Runtime::new().unwrap();
        let (shutdown, stopping) = watch::channel(false);
        let (memory, address, serving) = runtime.block_on(async {
            let memory = MemoryBroker::start_with(broker).await.unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let serve = tramline_http::serve(listener, memory.broker.clone(), options, stopping);
            (memory, address, tokio::spawn(serve))
        });
        // The broker's upkeep has begun to wait, so that tests can tell when somebody else does.
        while memory.clock.sleepers() == 0 {
            std::thread::yield_now();
        }
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).build();
        let agent = config.into();
        Self { runtime, memory, address, shutdown, serving: Some(serving), agent }
    }

    /// Calls `start`, then `then` as soon as one more waits on the clock; gives what `start` gave.
    pub(crate) fn while_waiting<T: Send>(
        &self,
        start: impl FnOnce() -> T + Send,
        then: impl FnOnce(),
    ) -> T {
        let before = self.memory.clock.sleepers();
        std::thread::scope(|scope| {
            let started = scope.spawn(start);
            while self.memory.clock.sleepers() <= before && !started.is_finished() {
                std::thread::yield_now();
            }
            then();
            started.join().unwrap()
        })
    }

    /// Moves the clock on, step by step, until `start` gives something.
    pub(crate) fn while_time_passes<T: Send>(&self, start: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let started = scope.spawn(start);
            while !started.is_finished() {
                self.memory.clock.advance(Duration::from_secs(1));
                std::thread::yield_now();
            }
            started.join().unwrap()
        })
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> Call<'_> {
        Call { server: self, method: method.to_owned(), path: path.to_owned(), headers: Vec::new() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send(b"")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let call = self.request(method, path).header("content-type", "application/json");
        call.send(body.to_string().as_bytes())
    }

    /// Sends to a topic and expects it to be durable.
    pub(crate) fn publish(&self, topic: &str, messages: &Value) -> Value {
        let path = format!("/v1/topics/{topic}/messages");
        let answer = self.json("POST", &path, &serde_json::json!({ "messages": messages }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Publishes a batch as a Kafka client would, past this front-end.
    pub(crate) fn publish_batch(&self, topic: &str, batch: tramline_record::Batch) {
        let name = tramline_types::TopicName::parse(topic).unwrap();
        let topic = self.memory.broker.topic(&name).unwrap();
        let item = tramline_broker::PublishItem { topic, partition: 0, batch };
        let published = async { self.memory.broker.publish(vec![item]).await.await };
        self.runtime.block_on(published).remove(0).unwrap();
    }

    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        let body = serde_json::json!({ "name": topic, "partitions": partitions });
        assert_eq!(self.json("POST", "/v1/topics", &body).status, 201);
    }
}

/// A request that is being put together.
pub(crate) struct Call<'a> {
    server: &'a Server,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Call<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn run(self, body: &[u8]) -> Response<Body> {
        let uri = format!("http://{}{}", self.server.address, self.path);
        let mut request = Request::builder().method(self.method.as_str()).uri(uri);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let agent = &self.server.agent;
        if body.is_empty() && self.method != "POST" {
            agent.run(request.body(()).unwrap()).unwrap()
        } else {
            agent.run(request.body(body.to_vec()).unwrap()).unwrap()
        }
    }

    pub(crate) fn send(self, body: &[u8]) -> Answer {
        let mut response = self.run(body);
        let text = response.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body,
            text,
        }
    }

    pub(crate) fn events(self) -> Events {
        let response = self.run(b"");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        Events(BufReader::new(Box::new(response.into_body().into_reader())))
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The status and the error's kind and message.
    pub(crate) fn error(&self) -> (u16, &str, &str) {
        let field = |name: &str| self.body["error"][name].as_str().unwrap_or_default();
        assert!(!field("hint").is_empty(), "an error without advice: {}", self.text);
        (self.status, field("kind"), field("message"))
    }
}

/// A stream of events.
pub(crate) struct Events(BufReader<Box<dyn Read + Send>>);

/// One block of lines up to a blank one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
    pub(crate) comment: String,
}

impl Events {
    /// The next block; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", id)) => event.id = id.to_owned(),
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                Some(("", comment)) => event.comment = comment.to_owned(),
                Some(("retry", _)) => {}
                Some(other) => panic!("unknown line {other:?}"),
                None => return Some(event),
            }
        }
    }

    /// The value and the id of the next message.
    pub(crate) fn message(&mut self) -> (String, String) {
        let event = self.next().expect("the stream goes on");
        assert_eq!((event.name.as_str(), event.comment.as_str()), ("", ""));
        (event.data["value"].as_str().unwrap().to_owned(), event.id)
    }
}
