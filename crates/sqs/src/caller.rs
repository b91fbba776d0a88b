//! Who calls, and how queues are named to them: by URLs under the host that they called, and by
//! ARNs of the region that they sign for.
//!
//! A queue of the default account has its own name in the broker, one of any other account
//! `<account>/<name>`. What SQS cannot spell is hidden here.

use crate::{
    Options, QueueUrls,
    error::{Code, Error},
};
use axum::http::{HeaderMap, header, request::Parts};
use tramline_types::QueueName;

/// The longest queue name, with its suffix.
const NAME_MAX: usize = 80;
/// The end of the name of a FIFO queue.
pub(crate) const FIFO_SUFFIX: &str = ".fifo";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) account: String,
    pub(crate) region: String,
    /// What queue URLs begin with, such as `http://localhost:9324`.
    base: String,
    /// Where queues of the broker's own names belong.
    account_default: String,
}

/// A queue as clients name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address {
    pub(crate) account: String,
    pub(crate) name: String,
}

impl Caller {
    /// Reads the head of a request.
    pub(crate) fn of(parts: &Parts, options: &Options) -> Self {
        let credential = credential(parts).unwrap_or_default();
        // AccessKeyId/date/region/service/aws4_request
        let mut scope = credential.split('/');
        let key = scope.next().unwrap_or_default();
        let region = scope.nth(1).filter(|region| is_region(region));
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or(parts.uri.authority().map(|authority| authority.as_str()));
        let scheme = match parts.headers.get("x-forwarded-proto") {
            Some(scheme) if scheme == "https" => "https",
            _ => "http",
        };
        let host = host.unwrap_or("localhost");
        let by_host = host.strip_prefix("sqs.").and_then(|rest| rest.split_once('.'));
        let by_host = by_host.filter(|(region, _)| is_region(region));
        let region = region.or(by_host.map(|(region, _)| region)).unwrap_or(&options.region);
        let domain = by_host.map_or(host, |(_, domain)| domain);
        let base = match options.queue_urls {
            QueueUrls::Host if is_domain(domain) => format!("{scheme}://sqs.{region}.{domain}"),
            _ => format!("{scheme}://{host}"),
        };
        Self {
            account: if is_account(key) { key } else { &options.account }.to_owned(),
            region: region.to_owned(),
            base,
            account_default: options.account.clone(),
        }
    }

    /// The broker itself, which calls nobody.
    pub(crate) fn own(options: &Options) -> Self {
        Self {
            account: options.account.clone(),
            region: options.region.clone(),
            base: String::new(),
            account_default: options.account.clone(),
        }
    }

    /// A queue of the caller's account.
    pub(crate) fn address(&self, name: &str) -> Address {
        Address { account: self.account.clone(), name: name.to_owned() }
    }

    pub(crate) fn url(&self, address: &Address) -> String {
        format!("{}/{}/{}", self.base, address.account, address.name)
    }

    /// Reads a queue's URL, whatever host it names: the last two parts of its path, or the last
    /// one alone.
    pub(crate) fn parse_url(&self, url: &str) -> Result<Address, Error> {
        let path = url
            .split_once("://")
            .map_or(url, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.rsplit('/').filter(|part| !part.is_empty());
        let name = parts.next().unwrap_or_default();
        if name.is_empty() && url.contains("://") {
            return Err(Error::no_queue());
        }
        if name.is_empty() {
            let message = format!("The address {url} is not valid for this endpoint.");
            return Err(Error::new(Code::InvalidAddress, message));
        }
        let account = parts.next().filter(|account| is_account(account));
        let account = account.unwrap_or(&self.account).to_owned();
        Ok(Address { account, name: name.to_owned() })
    }

    pub(crate) fn arn(&self, address: &Address) -> String {
        format!("arn:aws:sqs:{}:{}:{}", self.region, address.account, address.name)
    }

    /// The queue's name in the broker; none where SQS cannot spell it.
    pub(crate) fn broker_name(&self, address: &Address) -> Option<QueueName> {
        let Address { account, name } = address;
        if !is_name(name) || !is_account(account) {
            return None;
        }
        let text =
            if *account == self.account_default { name } else { &format!("{account}/{name}") };
        QueueName::parse(text).ok()
    }

    /// How clients name a queue of the broker; none where SQS cannot spell it.
    pub(crate) fn address_of(&self, name: &str) -> Option<Address> {
        let (account, name) = match name.split_once('/') {
            Some((account, name)) if is_account(account) && *account != self.account_default => {
                (account, name)
            }
            Some(_) => return None,
            None => (self.account_default.as_str(), name),
        };
        is_name(name).then(|| Address { account: account.to_owned(), name: name.to_owned() })
    }
}

/// Reads a queue's ARN.
pub(crate) fn parse_arn(arn: &str) -> Option<Address> {
    let mut parts = arn.split(':');
    let mut is = |text: &str| parts.next() == Some(text);
    if !(is("arn") && is("aws") && is("sqs")) {
        return None;
    }
    let (_region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && is_account(account) && is_name(name);
    whole.then(|| Address { account: account.to_owned(), name: name.to_owned() })
}

/// Whether SQS can spell this name of a queue.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = name.strip_suffix(FIFO_SUFFIX).unwrap_or(name);
    (1..=NAME_MAX).contains(&name.len())
        && !plain.is_empty()
        && plain.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|c| c.is_ascii_digit())
}

/// Whether a host is a name, under which there can be others.
fn is_domain(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    !name.starts_with('[') && name.parse::<std::net::Ipv4Addr>().is_err()
}

fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

/// The credential of a signed request: in its header, or in the query of a presigned one.
fn credential(parts: &Parts) -> Option<String> {
    if let Some(credential) = of_header(&parts.headers) {
        return Some(credential.to_owned());
    }
    let query = form_urlencoded::parse(parts.uri.query()?.as_bytes());
    query.into_iter().find(|(name, _)| name == "X-Amz-Credential").map(|(_, value)| value.into())
}

fn of_header(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let fields = text.strip_prefix("AWS4-HMAC-SHA256 ")?;
    fields.split(',').find_map(|field| field.trim().strip_prefix("Credential="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn caller(
        build: impl FnOnce(axum::http::request::Builder) -> axum::http::request::Builder,
    ) -> Caller {
        let request = build(Request::builder().header("host", "localhost:9324"));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Caller::of(&parts, &Options::default())
    }

    #[test]
    fn account_and_region_come_from_the_credential() {
        let signed = |key: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential={key}/20261122/eu-west-1/sqs/aws4_request, \
                 SignedHeaders=host, Signature=0"
            )
        };
        let of = |key| caller(|request| request.header("authorization", signed(key)));
        assert_eq!(of("test").account, "000000000000");
        assert_eq!(
            (of("123456789012").account.as_str(), of("x").region.as_str()),
            ("123456789012", "eu-west-1")
        );
        let presigned = caller(|request| {
            request
                .uri("/?X-Amz-Credential=111122223333%2F20261122%2Fus-west-2%2Fsqs%2Faws4_request")
        });
        assert_eq!(
            (presigned.account.as_str(), presigned.region.as_str()),
            ("111122223333", "us-west-2")
        );
        assert_eq!(caller(|request| request.uri("/")).region, "us-east-1");
    }

    #[test]
    fn urls_name_the_region_where_that_is_wanted_and_the_host_is_a_name() {
        let options = Options { queue_urls: QueueUrls::Host, ..Options::default() };
        let url = |host: &str| {
            let request = Request::builder().header("host", host).body(()).unwrap();
            let caller = Caller::of(&request.into_parts().0, &options);
            (caller.url(&caller.address("q")), caller.region)
        };
        for (host, base, region) in [
            ("localhost:9324", "sqs.us-east-1.localhost:9324", "us-east-1"),
            ("sqs.eu-west-1.localhost:9324", "sqs.eu-west-1.localhost:9324", "eu-west-1"),
            ("127.0.0.1:9324", "127.0.0.1:9324", "us-east-1"),
            ("[::1]:9324", "[::1]:9324", "us-east-1"),
        ] {
            let wanted = (format!("http://{base}/000000000000/q"), region.to_owned());
            assert_eq!(url(host), wanted, "{host}");
        }
    }

    #[test]
    fn urls_and_names_lead_back_and_forth() {
        let caller = caller(|request| request.uri("/"));
        let own = caller.address("jobs.fifo");
        assert_eq!(caller.url(&own), "http://localhost:9324/000000000000/jobs.fifo");
        for url in [
            "http://localhost:9324/000000000000/jobs.fifo",
            "https://sqs.us-east-1.amazonaws.com/000000000000/jobs.fifo",
            "http://x:1/queue/us-east-1/000000000000/jobs.fifo?a=b",
            "/000000000000/jobs.fifo",
            "jobs.fifo",
        ] {
            assert_eq!(caller.parse_url(url), Ok(own.clone()), "{url}");
        }
        for (url, code) in [
            ("http://localhost:9324/", Code::QueueDoesNotExist),
            ("http://nowhere", Code::QueueDoesNotExist),
            ("", Code::InvalidAddress),
        ] {
            assert_eq!(caller.parse_url(url).unwrap_err().code, code, "{url}");
        }
        let other = Address { account: "111122223333".to_owned(), name: "jobs".to_owned() };
        for (address, name) in [(own, "jobs.fifo"), (other, "111122223333/jobs")] {
            assert_eq!(caller.broker_name(&address).unwrap().as_str(), name);
            assert_eq!(caller.address_of(name), Some(address));
        }
        let nobody = Address { account: "abc".to_owned(), name: "jobs".to_owned() };
        assert_eq!(caller.broker_name(&nobody), None);
        for hidden in ["amq.gen-1", "a b", "x/y", ".fifo", &"x".repeat(81), "000000000000/x"] {
            assert_eq!(caller.address_of(hidden), None, "{hidden}");
        }
    }

    #[test]
    fn arns_are_read() {
        let address = parse_arn("arn:aws:sqs:us-east-1:000000000000:dead").unwrap();
        assert_eq!((address.account.as_str(), address.name.as_str()), ("000000000000", "dead"));
        for wrong in ["", "dead", "arn:aws:sns:us-east-1:000000000000:dead", "arn:aws:sqs:r:1:d"] {
            assert_eq!(parse_arn(wrong), None, "{wrong}");
        }
    }
}
