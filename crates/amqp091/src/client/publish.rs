//! Publishes: their contents come in, they are routed, and go into their queues together, those
//! of one read at a time. Confirms go out in the order of the publishes, several at once.

use super::{Client, Completion, Wait};
use crate::{
    channel::{Channel, Mode},
    error::Refusal,
    from_wire::{Address, Content, Keys, Published, keys, published, value},
    reply_to,
    routes::{Routed, Routes},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{
    cell::OnceCell,
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tramline_broker::{Broker, Enqueue, EnqueueError, Enqueuing, QueueDurability, Targets};
use tramline_types::limits::{AMQP_TRANSACTION_BYTES_MAX, AMQP_UNCONFIRMED_BYTES_MAX};
use tramline_wire_amqp091::{
    ContentHeader, Properties, ReplyCode, Table, Value, Writer, content,
    hot::{How, Origin, Publish, Return, Settle},
    method::connection,
};

/// How often a connection that found the disk full looks again.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);

/// A publish that is to be confirmed.
#[derive(Clone, Copy)]
struct Confirm {
    channel: u16,
    opening: u64,
    number: u64,
    takes: Takes,
}

/// Who takes a publish.
#[derive(Clone, Copy)]
enum Takes {
    /// No queue: that is confirmed as well.
    Nobody,
    /// Queues: its place among the messages.
    Queues(usize),
    /// A job: its place among the reports.
    Job(usize),
}

/// What a message to `$jobs.{id}.progress` says of a job.
struct Report {
    name: String,
    body: Bytes,
}

/// A publish whose content is all there.
struct Complete {
    address: Address,
    mandatory: bool,
    raw: Bytes,
    body: Bytes,
    table: Table,
    keys: Keys,
}

impl Complete {
    fn new(content: Content) -> Self {
        let mandatory = content.mandatory;
        let (address, raw, body) = content.finish();
        Self { address, mandatory, raw, body, table: Table::new(), keys: Keys::default() }
    }
}

/// The properties without `BCC`, and with the address that replies are to go to.
fn rewrite(properties: &Properties<'_>, table: &mut Table, address: Option<String>) -> Bytes {
    let mut properties = *properties;
    table.remove("BCC");
    let mut headers = Writer::new();
    table.encode_into(&mut headers);
    properties.headers = properties.headers.and(Some(headers.as_slice()));
    if let Some(address) = &address {
        properties.reply_to = Some(address.as_bytes());
    }
    properties.to_bytes().into()
}

/// Publishes that are in their queues and not durable yet.
struct Pending {
    enqueuing: Option<Enqueuing>,
    /// Which reports were taken.
    reported: Vec<bool>,
    confirms: Vec<Confirm>,
    bytes: usize,
}

/// What a client published.
#[derive(Default)]
pub(crate) struct Publishes {
    items: Vec<Enqueue>,
    reports: Vec<Report>,
    confirms: Vec<Confirm>,
    bytes: usize,
    /// What is on its way into its queues, or into a transaction's unit.
    entering: usize,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    routes: Routes,
}

impl Publishes {
    /// Whether publishes wait to be put into their queues.
    pub(crate) const fn is_unflushed(&self) -> bool {
        !self.items.is_empty() || !self.confirms.is_empty() || !self.reports.is_empty()
    }

    /// Whether every publish is durable.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_unflushed() && self.pending.is_empty()
    }

    /// Whether so much is not durable that nothing more is read.
    pub(crate) const fn is_full(&self) -> bool {
        self.pending_bytes >= AMQP_UNCONFIRMED_BYTES_MAX
    }

    /// What waits for its way into its queues, or is on it.
    pub(super) const fn entering_bytes(&self) -> usize {
        self.bytes + self.entering
    }

    /// So much is on its way; nothing, when it is over.
    pub(crate) const fn set_entering(&mut self, bytes: usize) {
        self.entering = bytes;
    }

    /// Puts everything into its queues.
    pub(super) fn flush(&mut self, broker: &Broker) -> Option<Wait> {
        if !self.is_unflushed() {
            return None;
        }
        let (items, confirms) =
            (std::mem::take(&mut self.items), std::mem::take(&mut self.confirms));
        let reports = std::mem::take(&mut self.reports);
        let bytes = std::mem::take(&mut self.bytes);
        self.pending_bytes += bytes;
        if items.is_empty() && reports.is_empty() {
            let (enqueuing, reported) = (None, Vec::new());
            self.pending.push_back(Pending { enqueuing, reported, confirms, bytes });
            return None;
        }
        let broker = broker.clone();
        self.entering = bytes;
        Some(Box::pin(async move {
            let enqueuing = Some(broker.enqueue(items).await);
            let mut reported = Vec::new();
            for Report { name, body } in reports {
                let taken = broker.publish_job_report(&name, body).await;
                reported.push(taken.inspect_err(|error| tracing::debug!(name, %error)).is_ok());
            }
            let completion: Completion = Box::new(move |client| {
                client.publishes.entering = 0;
                let pending = Pending { enqueuing, reported, confirms, bytes };
                client.publishes.pending.push_back(pending);
                Ok(())
            });
            completion
        }))
    }
}

impl Client {
    /// basic.publish came: its header and body follow.
    pub(super) fn handle_publish(
        &mut self,
        number: u16,
        frames: &Bytes,
        publish: &Publish<'_>,
    ) -> Result<(), Refusal> {
        if publish.immediate {
            return Err(Refusal::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        self.channel(number)?.content = Some(Content::new(frames, publish));
        if self.unfinished.last() != Some(&number) {
            self.unfinished.push(number);
        }
        Ok(())
    }

    pub(super) fn handle_header(
        &mut self,
        number: u16,
        frames: &Bytes,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let limit = self.cx.options.message_bytes_max;
        let content = self.channel(number)?.content.as_mut();
        let Some(content) = content.filter(|content| content.header.is_none()) else {
            let text = "expected method frame, got content header frame instead";
            return Err(Refusal::new(ReplyCode::UnexpectedFrame, text));
        };
        let header = ContentHeader::decode(payload)?;
        if header.class != content::BASIC {
            let text = format!("expected content header for class 60, got {}", header.class);
            return Err(Refusal::new(ReplyCode::UnexpectedFrame, text));
        }
        let size = usize::try_from(header.body_size).unwrap_or(usize::MAX);
        if size > limit {
            let text = format!("message size {size} is larger than configured max size {limit}");
            return Err(Refusal::precondition(text));
        }
        content.set_header(frames.slice_ref(header.properties), size);
        self.finish_content(number)
    }

    pub(super) fn handle_body(&mut self, number: u16, part: Bytes) -> Result<(), Refusal> {
        let Some(content) = self.channel(number)?.content.as_mut() else {
            let text = "expected method frame, got body frame instead";
            return Err(Refusal::new(ReplyCode::UnexpectedFrame, text));
        };
        content.push(part)?;
        self.finish_content(number)
    }

    fn finish_content(&mut self, number: u16) -> Result<(), Refusal> {
        let content = &mut self.channel(number)?.content;
        match content.take_if(|content| content.is_complete()) {
            Some(complete) => self.publish(number, complete),
            None => Ok(()),
        }
    }

    /// A publish is complete: it is routed, and joins the others of this read.
    fn publish(&mut self, number: u16, content: Content) -> Result<(), Refusal> {
        self.cx.metrics.published.inc();
        let mut complete = Complete::new(content);
        let rewritten = {
            let properties = Properties::decode(&complete.raw)?;
            self.check_user(&properties)?;
            if properties.headers.is_some() {
                complete.table = properties.table()?;
                complete.keys = keys(&complete.table)?;
            }
            let is_pseudo = properties.reply_to == Some(reply_to::PSEUDO_QUEUE.as_bytes());
            let rewrites = complete.keys.blind || is_pseudo;
            let address = if is_pseudo { Some(self.reply_address(number)?) } else { None };
            rewrites.then(|| rewrite(&properties, &mut complete.table, address))
        };
        if let Some(rewritten) = rewritten {
            complete.raw = rewritten;
        }
        if let Some(name) = self.job_reported(&complete) {
            return self.keep_report(number, Report { name, body: complete.body });
        }
        let (targets, replied) = self.route(&complete)?;
        if targets.is_empty() && complete.mandatory && !replied {
            self.give_back(number, &complete);
        }
        let durable = QueueDurability::Durable;
        let with_text = targets.iter().any(|queue| queue.durability() == durable);
        let size = complete.body.len();
        let (message, options) = published(Published {
            exchange: complete.address.exchange(),
            routing_key: complete.address.routing_key(),
            raw: &complete.raw,
            table: &complete.table,
            body: complete.body,
            with_text,
        })?;
        let enqueue = (!targets.is_empty()).then_some(Enqueue { targets, message, options });
        self.keep_publish(number, enqueue, size)
    }

    /// basic.return: no queue takes it.
    fn give_back(&mut self, number: u16, complete: &Complete) {
        self.cx.metrics.returned.inc();
        let address = &complete.address;
        let origin = Origin { exchange: address.exchange(), routing_key: address.routing_key() };
        let returned = Return { code: ReplyCode::NoRoute, origin };
        returned.encode_into(self.outbox.writer(), number);
        self.send_content(number, &complete.raw, complete.body.clone());
    }

    /// A routed message waits for its commit, or for the end of this read.
    fn keep_publish(
        &mut self,
        number: u16,
        enqueue: Option<Enqueue>,
        size: usize,
    ) -> Result<(), Refusal> {
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        let channel = channel.ok_or_else(super::not_open)?;
        let size = size + size_of::<Enqueue>();
        match &mut channel.mode {
            Mode::Transaction(transaction) => {
                transaction.bytes += size;
                self.uncommitted_bytes += size;
                if transaction.bytes > AMQP_TRANSACTION_BYTES_MAX {
                    let text =
                        format!("a transaction takes at most {AMQP_TRANSACTION_BYTES_MAX} bytes");
                    return Err(Refusal::precondition(text));
                }
                transaction.publishes.extend(enqueue);
                return Ok(());
            }
            Mode::Confirm(_) => {
                let takes = match enqueue {
                    Some(_) => Takes::Queues(self.publishes.items.len()),
                    None => Takes::Nobody,
                };
                self.publishes.confirms.extend(confirm_of(number, channel, takes));
            }
            Mode::Plain => {}
        }
        if let Some(enqueue) = enqueue {
            self.publishes.items.push(enqueue);
            self.publishes.bytes += size;
        }
        Ok(())
    }

    /// The name by which a message to the default exchange reports of a job that is known.
    fn job_reported(&self, complete: &Complete) -> Option<String> {
        let (exchange, key) = (complete.address.exchange(), complete.address.routing_key());
        let is_report = exchange.is_empty() && key.starts_with(b"$jobs");
        let name = str::from_utf8(key).ok().filter(|_| is_report)?;
        self.cx.broker.takes_job_reports(name).then(|| name.to_owned())
    }

    /// A report waits for the end of this read; it is no part of a transaction.
    fn keep_report(&mut self, number: u16, report: Report) -> Result<(), Refusal> {
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        let channel = channel.ok_or_else(super::not_open)?;
        let takes = Takes::Job(self.publishes.reports.len());
        self.publishes.confirms.extend(confirm_of(number, channel, takes));
        self.publishes.bytes += report.body.len() + size_of::<Report>();
        self.publishes.reports.push(report);
        Ok(())
    }

    /// A message names its user only as who it is.
    fn check_user(&self, properties: &Properties<'_>) -> Result<(), Refusal> {
        match properties.user_id {
            Some(user) if user != self.user.as_bytes() => {
                let claimed = String::from_utf8_lossy(user);
                Err(Refusal::precondition(format!(
                    "user_id property set to '{claimed}' but authenticated user was '{}'",
                    self.user
                )))
            }
            _ => Ok(()),
        }
    }

    /// The address that this channel gets direct replies at.
    fn reply_address(&mut self, number: u16) -> Result<String, Refusal> {
        let reply_consumer = self.channel(number)?.reply_consumer.as_ref();
        let address = reply_consumer.map(|(_, address)| address.clone());
        address.ok_or_else(|| Refusal::precondition("fast reply consumer does not exist"))
    }

    /// The queues that a message reaches, and whether it went to a direct reply-to.
    fn route(&mut self, complete: &Complete) -> Result<(Targets, bool), Refusal> {
        let Complete { address, raw, body, table, .. } = complete;
        let (exchange, key) = (address.exchange(), address.routing_key());
        if exchange.is_empty() && key.starts_with(reply_to::PREFIX.as_bytes()) {
            let replied = self.cx.reply_to.send(&address.shared_key(), raw, body);
            return Ok((Targets::new(), replied));
        }
        let mut keys: SmallVec<[&[u8]; 4]> = SmallVec::new();
        keys.push(key);
        keys.extend(complete.keys.more.iter().map(Vec::as_slice));
        let index = OnceCell::new();
        let header = |name: &str| find(table, &index, name).map(value);
        let exchange = str::from_utf8(exchange).unwrap_or_default();
        let routed = Routed { exchange, keys: &keys, header: &header };
        Ok((self.publishes.routes.route(&self.cx.broker, &routed)?, false))
    }

    /// A message's header and body.
    pub(crate) fn send_content(&mut self, channel: u16, properties: &[u8], body: Bytes) {
        let frame_max = self.session.frame_max();
        send_content(&mut self.outbox, channel, frame_max, properties, body);
    }

    /// Sends the confirms of what is durable.
    pub(crate) fn poll_confirms(&mut self, task: &mut std::task::Context<'_>) -> bool {
        let mut moved = false;
        while let Some(front) = self.publishes.pending.front_mut() {
            let results = match &mut front.enqueuing {
                None => Vec::new(),
                Some(enqueuing) => match Pin::new(enqueuing).poll(task) {
                    Poll::Ready(results) => results,
                    Poll::Pending => break,
                },
            };
            let Some(done) = self.publishes.pending.pop_front() else { break };
            self.publishes.pending_bytes -= done.bytes;
            self.handle_results(&results);
            self.confirm(&done.confirms, (&results, &done.reported));
            moved = true;
        }
        moved
    }

    /// Makes publishes durable that somebody waits for, if that can be done at once.
    pub(crate) fn commit_now(&self) {
        let is_one = self.publishes.pending.len() == 1
            && self.publishes.pending.front().is_some_and(|front| front.confirms.len() <= 1);
        if is_one {
            self.broker().store().commit_now();
        }
    }

    fn handle_results(&mut self, results: &[Result<(), EnqueueError>]) {
        let refused = results.iter().filter(|result| result.is_err()).count();
        if refused > 0 {
            self.cx.metrics.refused.inc_by(u64::try_from(refused).unwrap_or(u64::MAX));
        }
        if results.contains(&Err(EnqueueError::StorageFull)) {
            self.block();
        } else if refused < results.len() {
            self.unblock();
        }
    }

    /// Tells the client that publishing is of no use for the time being.
    fn block(&mut self) {
        if self.blocked_until.is_none() && self.capabilities.blocked {
            self.send(0, connection::Blocked { reason: "low on disk".to_owned() });
        }
        self.blocked_until = Some(self.now.plus(SPACE_INTERVAL));
    }

    /// Whether a disk that was full has space again. The client is told then: it may wait for
    /// that, and publish nothing that would tell.
    pub(super) fn look_for_space(&mut self) -> bool {
        if self.broker().store().stats().full {
            self.blocked_until = Some(self.now.plus(SPACE_INTERVAL));
            return false;
        }
        self.unblock();
        true
    }

    /// Tells the client that it can publish again.
    fn unblock(&mut self) {
        if self.blocked_until.take().is_some() && self.capabilities.blocked {
            self.send(0, connection::Unblocked {});
        }
    }

    /// Confirms, as few frames as say it: everything up to a number was confirmed before it.
    fn confirm(
        &mut self,
        confirms: &[Confirm],
        (results, reported): (&[Result<(), EnqueueError>], &[bool]),
    ) {
        let taken = |confirm: &Confirm| match confirm.takes {
            Takes::Nobody => true,
            Takes::Queues(item) => results[item].is_ok(),
            Takes::Job(report) => reported[report],
        };
        let together = |a: &Confirm, b: &Confirm| {
            (a.channel, a.opening, taken(a)) == (b.channel, b.opening, taken(b))
        };
        for run in confirms.chunk_by(together) {
            let Some(last) = run.last() else { continue };
            if self.open_channel(last.channel, last.opening).is_none() {
                continue;
            }
            let how = if taken(last) { How::Ack } else { How::Nack { requeue: false } };
            let settle = Settle { delivery_tag: last.number, multiple: run.len() > 1, how };
            settle.encode_into(self.outbox.writer(), last.channel);
        }
    }
}

/// A publish is to be confirmed, where its channel has that.
const fn confirm_of(number: u16, channel: &mut Channel, takes: Takes) -> Option<Confirm> {
    let opening = channel.opening;
    let Mode::Confirm(next) = &mut channel.mode else { return None };
    let confirm = Confirm { channel: number, opening, number: *next, takes };
    *next += 1;
    Some(confirm)
}

/// Tables up to this size are looked through.
const SEARCHED_FIELDS_MAX: usize = 16;

/// A field of a table that may have many, for who looks for many.
fn find<'a>(
    table: &'a Table,
    index: &OnceCell<HashMap<&'a str, &'a Value>>,
    name: &str,
) -> Option<&'a Value> {
    if table.0.len() <= SEARCHED_FIELDS_MAX {
        return table.get(name);
    }
    // Backwards: the first of a name counts.
    let fields = table.0.iter().rev().map(|(name, value)| (name.as_str(), value));
    index.get_or_init(|| fields.collect()).get(name).copied()
}

/// A message's header and body frames.
pub(super) fn send_content(
    outbox: &mut crate::outbox::Outbox,
    channel: u16,
    frame_max: usize,
    properties: &[u8],
    mut body: Bytes,
) {
    let header = ContentHeader {
        class: content::BASIC,
        body_size: u64::try_from(body.len()).unwrap_or(u64::MAX),
        properties,
    };
    header.encode_into(outbox.writer(), channel);
    let part_max = frame_max - tramline_wire_amqp091::FRAME_OVERHEAD;
    while !body.is_empty() {
        let part = body.split_to(body.len().min(part_max));
        content::encode_body_head(outbox.writer(), channel, part.len());
        outbox.body(part);
        outbox.writer().u8(tramline_wire_amqp091::FRAME_END);
    }
}
