//! Requests that `aws-sigv4` signs, in the header and in the query, against a broker that verifies
//! them: paths, queries, headers and bodies that no SDK sends are signed and read alike.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use tramline_conformance_broker::Broker;

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REQUESTS: usize = 400;

/// Numbers that look like chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % n
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Some of these, one behind the other.
    fn some(&mut self, of: &[&str], n_max: usize) -> String {
        (0..self.below(n_max + 1)).map(|_| self.pick(of)).collect()
    }
}

const OF_PATHS: &[&str] =
    &["/", "a", "Z", "0", "-", "_", "~", ".", "..", "%20", "%C3%A4", "%2F", "+", "=", "$", "'"];
const OF_QUERIES: &[&str] = &[
    "a", "B", "1", "-", "_", "~", ".", "%20", "+", "%C3%A4", "%26", "%3D", "%2B", "*", "'", "/",
    ":", "(", "%25",
];
const OF_HEADERS: &[&str] = &["a", "B", " ", "  ", "1", ",", ";", "=", "\"", "/"];
const OF_BODIES: &[&str] = &["a", "=", "&", "%", "ä", "\n", " ", "\u{1F600}"];

/// One that lists queues, whatever else it says.
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn request(chance: &mut Chance) -> Request {
    let mut target = format!("/{}", chance.some(OF_PATHS, 8));
    target += "?Action=ListQueues";
    for _ in 0..chance.below(5) {
        let (name, value) = (chance.some(OF_QUERIES, 4), chance.some(OF_QUERIES, 6));
        target += &format!("&x{name}={value}");
    }
    let mut headers = Vec::new();
    for name in ["x-one", "x-two", "x-amz-meta"] {
        if chance.below(2) == 0 {
            headers.push((name, format!("v{}w", chance.some(OF_HEADERS, 8))));
        }
    }
    let method = chance.pick(&["GET", "POST"]);
    let body = if method == "POST" { chance.some(OF_BODIES, 20) } else { String::new() };
    if method == "POST" {
        headers.push(("content-type", "text/plain".to_owned()));
    }
    Request { method, target, headers, body }
}

/// Adds a signature as the SDK would.
fn signed(mut request: Request, host: &str, location: SignatureLocation) -> Request {
    let identity = Credentials::new(KEY, SECRET, None, None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    if location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_secs(300));
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("sqs")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .expect("all is set")
        .into();
    let url = format!("http://{host}{}", request.target);
    let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let body = SignableBody::Bytes(request.body.as_bytes());
    let signable = SignableRequest::new(request.method, url, headers, body).expect("a request");
    let (instructions, _) = sign(signable, &params).expect("it is signed").into_parts();
    let (headers, params) = instructions.into_parts();
    for header in headers {
        request.headers.push((header.name(), header.value().to_owned()));
    }
    for (name, value) in params {
        let value: String = value.bytes().map(encoded).collect();
        request.target += &format!("&{name}={value}");
    }
    request
}

fn encoded(byte: u8) -> String {
    match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    }
}

/// Sends it; gives the answer's status and body.
fn answer(request: &Request, host: &str) -> (u16, String) {
    let Request { method, target, headers, body } = request;
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(host).expect("the broker is up");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    stream.write_all(text.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is answered");
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

fn check(location: SignatureLocation) {
    let broker = Broker::start_with(&format!("[sqs.keys]\n{KEY} = \"{SECRET}\"\n"));
    let host = &broker.addresses().sqs;
    let mut chance = Chance(7);
    for n in 0..REQUESTS {
        let mut request = signed(request(&mut chance), host, location);
        let (status, text) = answer(&request, host);
        assert_eq!(status, 200, "{n}: {} {} {text}", request.method, request.target);
        // Nothing that was signed can be another.
        if n % 2 == 0 {
            request.body.push('x');
        } else {
            request.target = request.target.replacen("ListQueues", "ListQueues&y=1", 1);
        }
        let (status, text) = answer(&request, host);
        assert_eq!(status, 403, "{n}: {} {} {text}", request.method, request.target);
        assert!(text.contains("SignatureDoesNotMatch"), "{text}");
    }
}

#[test]
fn what_is_signed_in_the_header_passes_and_nothing_else() {
    check(SignatureLocation::Headers);
}

#[test]
fn what_is_signed_in_the_query_passes_and_nothing_else() {
    check(SignatureLocation::QueryParams);
}
