//! The pages `/jobs` and `/jobs/{job}`, and what they load: the bundle of `web/`, which is part of
//! the binary. Without a bundle the page says how to make one.

use crate::Context;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;

use crate::{error::Error, extract::Names};

/// The bundle: `npm run build` in `web/` makes it.
#[derive(RustEmbed)]
#[folder = "../../web/dist/"]
#[allow_missing = true]
struct Bundle;

/// Scripts, styles and connections of this server only; no script or style in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const MISSING: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Jobs</title>\
                       <h1>The pages are not part of this binary</h1><p>Build them with \
                       <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code>, then \
                       build Tramline again. The API works: <a href=\"/v1/jobs\">/v1/jobs</a>.";

/// GET `/jobs` and `/jobs/{job}`: one page, which reads its own address.
pub(crate) async fn page(State(_): State<Context>) -> Response {
    let page = Bundle::get("index.html");
    let status = if page.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let body = page.map_or_else(|| MISSING.as_bytes().to_vec(), |page| page.data.into_owned());
    answer(status, "text/html; charset=utf-8", body)
}

/// GET `/assets/{file}`.
pub(crate) async fn asset(
    State(_): State<Context>,
    Names(file): Names<String>,
) -> Result<Response, Error> {
    let content_type = match file.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => return Err(Error::UnknownPath(format!("/assets/{file}"))),
    };
    match Bundle::get(&format!("assets/{file}")) {
        Some(asset) => Ok(answer(StatusCode::OK, content_type, asset.data.into_owned())),
        None => Err(Error::UnknownPath(format!("/assets/{file}"))),
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, body).into_response()
}

/// A name as part of a path.
pub(super) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
