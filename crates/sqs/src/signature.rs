//! Signature Version 4: who signed a request, and whether they hold the key. Checked where
//! `Options::keys` has any, in the header and in the query of presigned requests.
//!
//! The canonical request is built from what came, and nothing of it is decoded before.

use crate::{
    Options,
    error::{Code, Error},
    to_wire::message::hex,
};
use axum::http::{HeaderMap, header, request::Parts};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use tramline_types::Timestamp;

const TARGET: &str = "x-amz-target";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the clocks may be apart, as AWS has it.
const SKEW_MAX_S: i64 = 15 * 60;
/// Headers that are signed: each may be as long as a whole head.
const HEADERS_MAX: usize = 64;
/// The longest life of a presigned request.
const EXPIRES_MAX_S: i64 = 7 * 24 * 3600;

/// What a request says about its signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    key: String,
    /// `date/region/service/aws4_request`.
    scope: String,
    headers: Vec<String>,
    signature: String,
    /// `YYYYMMDDTHHMMSSZ`.
    date: String,
    /// Of a presigned request: seconds.
    expires: Option<i64>,
}

/// What is claimed by a request, before its body is read: a key that there is, and a time that is
/// not over. Nothing is asked for where there are no keys.
pub(crate) fn claim(
    parts: &Parts,
    options: &Options,
    now: Timestamp,
) -> Result<Option<Signed>, Error> {
    if options.keys.is_empty() {
        return Ok(None);
    }
    let signed = read(parts).ok_or_else(|| {
        let message = "The request must contain a valid (registered) AWS access key ID.";
        Error::new(Code::MissingAuthenticationToken, message)
    })?;
    if !options.keys.contains_key(&signed.key) {
        let message = "The security token included in the request is invalid.";
        return Err(Error::new(Code::InvalidClientTokenId, message));
    }
    // What is not signed could be anybody's: the host, and what the request is to do.
    for (name, is_there) in [("host", true), (TARGET, parts.headers.contains_key(TARGET))] {
        if is_there && !signed.headers.iter().any(|signed| signed == name) {
            let message = format!("'{name}' must be a 'SignedHeader' in the AWS Authorization.");
            return Err(Error::new(Code::SignatureDoesNotMatch, message));
        }
    }
    if signed.headers.len() > HEADERS_MAX {
        let message = format!("at most {HEADERS_MAX} headers are signed");
        return Err(Error::new(Code::SignatureDoesNotMatch, message));
    }
    check_time(&signed, now)?;
    Ok(Some(signed))
}

/// Refuses what was not signed by who holds the key.
pub(crate) fn verify(
    parts: &Parts,
    body: &[u8],
    options: &Options,
    signed: &Signed,
) -> Result<(), Error> {
    let secret = options.keys.get(&signed.key).map(String::as_str).unwrap_or_default();
    let wanted = signature(signed, secret, &canonical(parts, signed, body));
    let given = unhex(&signed.signature).unwrap_or_default();
    // Compared in the same time wherever they differ.
    wanted.verify_slice(&given).map_err(|_| {
        Error::new(
            Code::SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method.",
        )
    })
}

fn read(parts: &Parts) -> Option<Signed> {
    of_header(&parts.headers).or_else(|| of_query(parts.uri.query()?))
}

fn of_header(headers: &HeaderMap) -> Option<Signed> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let fields = text.strip_prefix(ALGORITHM)?;
    let field = |name: &str| {
        fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let (key, scope) = field("Credential")?.split_once('/')?;
    let date = headers.get("x-amz-date").and_then(|date| date.to_str().ok())?;
    Some(Signed {
        key: key.to_owned(),
        scope: scope.to_owned(),
        headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
        signature: field("Signature")?.to_owned(),
        date: date.to_owned(),
        expires: None,
    })
}

fn of_query(query: &str) -> Option<Signed> {
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    let value = |name: &str| {
        pairs.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_ref().to_owned())
    };
    value("X-Amz-Algorithm").filter(|algorithm| algorithm == ALGORITHM)?;
    let credential = value("X-Amz-Credential")?;
    let (key, scope) = credential.split_once('/')?;
    Some(Signed {
        key: key.to_owned(),
        scope: scope.to_owned(),
        headers: value("X-Amz-SignedHeaders")?.split(';').map(str::to_owned).collect(),
        signature: value("X-Amz-Signature")?,
        date: value("X-Amz-Date")?,
        expires: Some(value("X-Amz-Expires")?.parse().ok()?),
    })
}

fn check_time(signed: &Signed, now: Timestamp) -> Result<(), Error> {
    let expired =
        || Error::new(Code::SignatureDoesNotMatch, "Signature expired, or not yet current.");
    let at = seconds(&signed.date).filter(|_| signed.date.get(..8) == signed.scope.get(..8));
    let at = at.ok_or_else(expired)?;
    let age = now.as_millis().div_euclid(1000) - at;
    let life = match signed.expires {
        Some(expires) if (1..=EXPIRES_MAX_S).contains(&expires) => expires,
        Some(_) => return Err(expired()),
        None => SKEW_MAX_S,
    };
    if (-SKEW_MAX_S..=life).contains(&age) { Ok(()) } else { Err(expired()) }
}

/// Seconds since 1970 of `YYYYMMDDTHHMMSSZ`.
fn seconds(date: &str) -> Option<i64> {
    let bytes = date.as_bytes();
    let good = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
    if !good || !bytes.iter().enumerate().all(|(at, c)| matches!(at, 8 | 15) || c.is_ascii_digit())
    {
        return None;
    }
    let part = |from: usize, to: usize| date.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    // Days since 1970-01-01 by the civil calendar, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * 86_400 + part(9, 11)? * 3600 + part(11, 13)? * 60 + part(13, 15)?)
}

/// The request in the one form that is signed.
fn canonical(parts: &Parts, signed: &Signed, body: &[u8]) -> String {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        if name != "X-Amz-Signature" {
            pairs.push((encoded(&name), encoded(&value)));
        }
    }
    pairs.sort();
    let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in &signed.headers {
        let values = parts.headers.get_all(name.as_str()).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .map(|value| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(headers, "{name}:{}", values.join(","));
    }
    let hash = hex(&Sha256::digest(body));
    let (method, path) = (&parts.method, encoded_path(parts.uri.path()));
    let (query, names) = (query.join("&"), signed.headers.join(";"));
    format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{hash}")
}

fn signature(signed: &Signed, secret: &str, canonical: &str) -> Hmac<Sha256> {
    let hash = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("{ALGORITHM}\n{}\n{}\n{hash}", signed.date, signed.scope);
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in signed.scope.split('/') {
        key = hmac(&key, part).finalize().into_bytes().to_vec();
    }
    hmac(&key, &text)
}

fn hmac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    hmac.update(text.as_bytes());
    hmac
}

/// Every byte but letters, digits and `-_.~` as `%XX`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(c));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{c:02X}");
        }
        out
    })
}

/// A path as it came is encoded once; it is signed encoded twice, without its empty and its dot
/// segments (RFC 3986, section 5.2.4).
fn encoded_path(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(encoded(segment)),
        }
    }
    let is_open = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let end = if is_open && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

#[cfg(test)]
mod tests;
