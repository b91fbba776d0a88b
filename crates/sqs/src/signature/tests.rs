//! Signatures as botocore 1.44.5 makes them, for one key at one time.

use super::*;
use axum::http::Request;

const KEY: &str = "AKIDEXAMPLE";
const BODY: &[u8] = br#"{"QueueName":"q"}"#;
/// 2026-11-22 23:00:00.
const AT: i64 = 1_795_388_400_000;

fn options() -> Options {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
    Options { keys: [(KEY.to_owned(), secret)].into_iter().collect(), ..Options::default() }
}

fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let request = Request::builder().method(method).uri(uri).header("host", "localhost:9324");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn check(parts: &Parts, body: &[u8], at: i64) -> Result<(), Code> {
    let options = options();
    claim(parts, &options, Timestamp::from_millis(at))
        .and_then(|signed| verify(parts, body, &options, &signed.unwrap()))
        .map_err(|error| error.code)
}

fn authorization(headers: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/20261122/us-east-1/sqs/aws4_request, \
         SignedHeaders={headers}, Signature={signature}"
    )
}

fn json(change: impl Fn(&mut Vec<(&'static str, String)>)) -> Parts {
    let signature = "0f8810daa4f8fac95f905479e2a4e6935d15d080420dddb2943f05b8af3d2f98";
    let signed = "content-type;host;x-amz-date;x-amz-target";
    let mut headers = vec![
        ("x-amz-target", "AmazonSQS.GetQueueUrl".to_owned()),
        ("content-type", "application/x-amz-json-1.0".to_owned()),
        ("x-amz-date", "20261122T230000Z".to_owned()),
        ("authorization", authorization(signed, signature)),
    ];
    change(&mut headers);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    parts("POST", "http://localhost:9324/", &headers)
}

#[test]
fn a_header_signs_for_a_quarter_of_an_hour() {
    let signed = json(|_| ());
    assert_eq!(check(&signed, BODY, AT), Ok(()));
    assert_eq!(check(&signed, BODY, AT + 900_000), Ok(()));
    assert_eq!(check(&signed, BODY, AT - 900_000), Ok(()));
    for late in [AT + 901_000, AT - 901_000] {
        assert_eq!(check(&signed, BODY, late), Err(Code::SignatureDoesNotMatch));
    }
}

#[test]
fn whatever_is_changed_is_told() {
    let wrong = Err(Code::SignatureDoesNotMatch);
    assert_eq!(check(&json(|_| ()), b"{}", AT), wrong);
    assert_eq!(
        check(&json(|headers| headers[0].1 = "AmazonSQS.DeleteQueue".to_owned()), BODY, AT),
        wrong
    );
    // Neither the target nor the host may be left out of what is signed.
    for signed in ["content-type;host;x-amz-date", "content-type;x-amz-date;x-amz-target"] {
        let changed = json(|headers| headers[3].1 = authorization(signed, &"0".repeat(64)));
        assert_eq!(check(&changed, BODY, AT), wrong);
    }
    let many = format!("host;x-amz-target{}", ";content-type".repeat(HEADERS_MAX));
    let changed = json(|headers| headers[3].1 = authorization(&many, "0"));
    assert!(claim(&changed, &options(), Timestamp::from_millis(AT)).is_err());
    for (bad, code) in [
        (String::new(), Code::MissingAuthenticationToken),
        ("Basic x".to_owned(), Code::MissingAuthenticationToken),
        (authorization("host", "ä"), Code::MissingAuthenticationToken),
        (authorization("host", "0").replace(KEY, "OTHER"), Code::InvalidClientTokenId),
    ] {
        let changed = json(|headers| headers[3].1.clone_from(&bad));
        assert_eq!(check(&changed, BODY, AT), Err(code), "{bad}");
    }
}

#[test]
fn a_presigned_request_lasts_as_long_as_it_says() {
    let url = "http://localhost:9324/000000000000/q?Action=SendMessage&MessageBody=a%20b%2Fc%3D~%C3%A4\
               &B=&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261122%2F\
               us-east-1%2Fsqs%2Faws4_request&X-Amz-Date=20261122T230000Z&X-Amz-Expires=600\
               &X-Amz-SignedHeaders=host&X-Amz-Signature=\
               4d5b01c2e0bec358a4559e5d8769bec2cdf71a31d6a98182f580b94a77a2f45a";
    let signed = parts("GET", url, &[]);
    assert_eq!(check(&signed, b"", AT + 600_000), Ok(()));
    assert_eq!(check(&signed, b"", AT + 601_000), Err(Code::SignatureDoesNotMatch));
    let longer = parts("GET", &url.replace("Expires=600", "Expires=601"), &[]);
    assert_eq!(check(&longer, b"", AT), Err(Code::SignatureDoesNotMatch));
}

#[test]
fn paths_and_spaces_are_signed_as_aws_writes_them() {
    let signature = "e5f8e22ca76ee927d5d08f6158cc2d07dc80490520abbc635e0532839ff64011";
    let authorization = authorization("content-type;host;x-amz-date;x-spaces", signature);
    let headers = [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-spaces", "  a   b  "),
        ("x-amz-date", "20261122T230000Z"),
        ("authorization", authorization.as_str()),
    ];
    let signed = parts("POST", "http://localhost:9324/000000000000/a%20b", &headers);
    assert_eq!(check(&signed, b"Action=ListQueues", AT), Ok(()));
}

#[test]
fn paths_are_signed_without_dots_and_empty_segments() {
    for (path, wanted) in [
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("/a//b/", "/a/b/"),
        ("/a/./b", "/a/b"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/000000000000/a%20b.fifo", "/000000000000/a%2520b.fifo"),
    ] {
        assert_eq!(encoded_path(path), wanted, "{path}");
    }
}

#[test]
fn nothing_is_asked_for_without_keys() {
    let unsigned = parts("GET", "/", &[]);
    assert_eq!(claim(&unsigned, &Options::default(), Timestamp::from_millis(AT)), Ok(None));
}

#[test]
fn dates_are_read_or_refused() {
    assert_eq!(seconds("19700101T000000Z"), Some(0));
    assert_eq!(seconds("20240229T235959Z"), Some(1_709_251_199));
    assert_eq!(seconds("20261122T230000Z"), Some(AT / 1000));
    for bad in ["", "20261122", "20261122T230000", "2026-11-22T23:00", "20261122T2300äZ"] {
        assert_eq!(seconds(bad), None, "{bad}");
    }
}
