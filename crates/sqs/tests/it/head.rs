//! A head that does not come, on tokio's clock, which goes on by itself when nothing else is to do.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch};
use tramline_sqs::Options;
use tramline_testkit::MemoryBroker;
use tramline_types::limits::REQUEST_READ_MAX;

#[tokio::test(start_paused = true)]
async fn half_a_head_and_none_at_all_are_given_up_after_their_time() {
    for head in ["", "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-ta"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // All of it is there before anybody looks.
        client.write_all(head.as_bytes()).unwrap();
        let ended = std::thread::spawn(move || {
            client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).map(|_| answer)
        });
        let memory = MemoryBroker::start().await.unwrap();
        let (_shutdown, stopping) = watch::channel(false);
        let begun = tokio::time::Instant::now();
        let serve =
            tramline_sqs::serve(listener, memory.broker.clone(), Options::default(), stopping);
        let serving = tokio::spawn(serve);
        while !ended.is_finished() {
            tokio::time::advance(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
            assert!(begun.elapsed() < 100_000 * REQUEST_READ_MAX, "it is never given up");
        }
        let answer = String::from_utf8(ended.join().unwrap().unwrap()).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(begun.elapsed() >= REQUEST_READ_MAX, "after {:?}", begun.elapsed());
        serving.abort();
    }
}
