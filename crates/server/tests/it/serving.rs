//! Starting, stopping, and refusing to start.

use crate::binary::{Broker, complaint, read, tramline};
use serde_json::Value;
use std::{fs, net::TcpListener, path::Path, process::Output, thread};

/// Tries to serve in `dir`, which must fail.
fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output: Output = tramline(&["serve"]).args(arguments).current_dir(dir).output().unwrap();
    complaint(&output)
}

/// Every listener's flag, and its setting.
const LISTENERS: [(&str, &str); 4] = [
    ("--listen-http", "`http.listen`"),
    ("--listen-kafka", "`kafka.listen`"),
    ("--listen-amqp", "`amqp.listen`"),
    ("--listen-sqs", "`sqs.listen`"),
];

/// Arguments that have this listener at an address, and the others off.
fn only<'a>(flag: &str, address: &'a str) -> Vec<&'a str> {
    let at = |of: &&'static str| if *of == flag { address } else { "off" };
    LISTENERS.iter().flat_map(|(of, _)| [*of, at(of)]).collect()
}

const FREE: [&str; 8] = [
    "--listen-http",
    "127.0.0.1:0",
    "--listen-kafka",
    "127.0.0.1:0",
    "--listen-amqp",
    "127.0.0.1:0",
    "--listen-sqs",
    "127.0.0.1:0",
];

#[test]
fn ready_is_one_line_and_a_file_with_the_addresses() {
    let broker = Broker::start();
    let log = broker.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(" ready ")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let http = broker.http.trim_start_matches("http://");
    assert!(lines[0].contains(&format!("http=\"{http}\"")), "{log}");
    assert!(lines[0].contains(&format!("kafka=\"{}\"", broker.kafka)), "{log}");
    assert!(lines[0].contains("took_ms="), "{log}");
    assert!(!http.ends_with(":0") && !broker.kafka.ends_with(":0"));
    let ready = broker.dir.path().join("ready");
    assert!(ready.exists());
    let dir = broker.stop();
    assert!(!dir.path().join("ready").exists());
}

#[test]
fn sigterm_and_sigint_stop_cleanly_with_a_reader_connected() {
    for signal in ["-TERM", "-INT"] {
        let broker = Broker::start();
        broker.run(&["pub", "t", "kept"]);
        let mut reader = broker.command(&["sub", "t", "--from-beginning"]).spawn().unwrap();
        crate::binary::read_until(reader.stdout.as_mut().unwrap(), "kept\n");
        broker.signal(signal);
        let (dir, status) = broker.wait();
        reader.kill().unwrap();
        reader.wait().unwrap();
        assert!(status.success(), "{signal}: {status}");
        let log = read(&dir.path().join("log"));
        assert!(log.trim_end().ends_with("stopped"), "{log}");
    }
}

#[test]
fn what_was_published_is_there_after_a_clean_stop_and_after_a_kill() {
    let broker = Broker::start();
    broker.run(&["pub", "t", "one"]);
    let dir = broker.stop();
    let broker = Broker::start_in(dir, &[]);
    broker.run(&["pub", "t", "two"]);
    broker.signal("-KILL");
    let (dir, _) = broker.wait();
    let broker = Broker::start_in(dir, &[]);
    broker.run(&["pub", "t", "three"]);
    let all = broker.run(&["sub", "t", "-b", "--count", "3", "--output", "value"]);
    assert_eq!(all, "one\ntwo\nthree\n");
}

#[test]
fn a_taken_port_is_one_error_that_names_port_and_setting() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) =
        (taken.local_addr().unwrap().to_string(), taken.local_addr().unwrap().port());
    for (flag, setting) in LISTENERS {
        let error = refused(dir.path(), &only(flag, &address));
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(&format!("port {port} ")) && error.contains(setting), "{error}");
    }
    assert!(!dir.path().join("tramline-data").exists(), "nothing is made before the ports are had");
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused() {
    let broker = Broker::start();
    let mut arguments = FREE.to_vec();
    let data_dir = broker.data_dir();
    arguments.extend(["--data-dir", &data_dir]);
    let error = refused(broker.dir.path(), &arguments);
    assert!(error.contains("tramline-data") && error.contains("in use"), "{error}");
    broker.run(&["topic", "list"]);
}

#[test]
fn addresses_that_others_reach_need_insecure() {
    let dir = tempfile::tempdir().unwrap();
    for (flag, setting) in LISTENERS {
        let error = refused(dir.path(), &only(flag, "0.0.0.0:0"));
        assert!(error.contains(setting) && error.contains("--insecure"), "{error}");
    }
    fs::write(
        dir.path().join("c.toml"),
        "insecure = true\n[http]\nlisten = \"0.0.0.0:0\"\n[kafka]\nlisten = \"off\"\n\
         [amqp]\nlisten = \"off\"\n[sqs]\nlisten = \"off\"\n",
    )
    .unwrap();
    let mut child = tramline(&["serve", "--ready-file", "ready", "--config", "c.toml"]);
    let mut child = child.current_dir(dir.path()).spawn().unwrap();
    crate::binary::read_until(child.stderr.as_mut().unwrap(), "ready");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_wrong_configuration_is_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    for (text, part) in [
        ("data_dri = \"x\"\n", "did you mean `data_dir`"),
        ("[kafka]\nlisten = 9092\n", "127.0.0.1:9092"),
        ("[topics]\npartitions = \"many\"\n", "partitions"),
        ("[topics.defaults]\n\"retention.sm\" = \"1\"\n", "retention.sm"),
        ("not toml", "c.toml"),
        ("[log]\nlevel = \"=loud=\"\n", "log.level"),
        ("[sqs]\naccount = \"1\"\n", "sqs.account"),
    ] {
        fs::write(dir.path().join("c.toml"), text).unwrap();
        let error = refused(dir.path(), &["--config", "c.toml"]);
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(refused(dir.path(), &["--config", "missing.toml"]).contains("missing.toml"));
    let error = refused(dir.path(), &only("none", "off"));
    assert!(error.contains("every listener is off"), "{error}");
    assert!(!dir.path().join("tramline-data").exists());
}

#[test]
fn the_default_file_can_be_served_and_sets_topics() {
    let dir = tempfile::tempdir().unwrap();
    let output = tramline(&["config", "print-default"]).output().unwrap();
    let text = crate::binary::text(&output.stdout).replace("partitions = 1\n", "partitions = 4\n");
    fs::write(dir.path().join("c.toml"), text).unwrap();
    let broker = Broker::start_in(dir, &["--config", "c.toml"]);
    broker.run(&["topic", "create", "t"]);
    let topics: Value =
        serde_json::from_str(&broker.run(&["topic", "list", "--output", "json"])).unwrap();
    assert_eq!(topics["topics"][0]["partitions"], 4);
}

#[test]
fn an_idle_broker_is_small_and_has_all_file_descriptors() {
    let broker = Broker::start();
    let status = read(Path::new(&format!("/proc/{}/status", broker.pid())));
    if let Some(line) = status.lines().find(|line| line.starts_with("VmRSS:")) {
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kib < 40 * 1024, "{line}");
    }
    let limits = read(Path::new(&format!("/proc/{}/limits", broker.pid())));
    if let Some(line) = limits.lines().find(|line| line.starts_with("Max open files")) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[3], fields[4], "{line}");
    }
}

#[test]
fn the_kafka_port_answers_and_takes_many_connections() {
    let broker = Broker::start();
    let connect = || std::net::TcpStream::connect(&broker.kafka).unwrap();
    // Length 10; ApiVersions (18) v0, correlation id 7, null client id.
    let request = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                use std::io::{Read, Write};
                let mut stream = connect();
                stream.write_all(&request).unwrap();
                let mut head = [0; 10];
                stream.read_exact(&mut head).unwrap();
                assert_eq!(&head[4..], [0, 0, 0, 7, 0, 0]);
            });
        }
    });
}
