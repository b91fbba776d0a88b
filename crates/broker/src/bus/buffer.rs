//! What waits for one receiver: whole frames, bounded in bytes, and what becomes of them when the
//! receiver is slow. Pure.
//!
//! Invariant: `bytes` is the sum of what is left of all pieces, `message_bytes` the length of all
//! messages among them; a piece of which a part was written stays until the rest is; `latest` names
//! the piece of each channel and key that waits and may be replaced.

use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    io::IoSlice,
    sync::Arc,
};
use tramline_catalog::SlowConsumer;
use tramline_types::ChannelName;

/// Pieces of one write.
pub(super) const SLICES_MAX: usize = 64;
/// A queue that grew beyond this gives its memory back when it is empty.
const PIECES_KEPT: usize = 32;

/// What is told the latest of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LatestKey(pub(super) ChannelName, pub(super) Option<Arc<str>>);

#[derive(Debug)]
enum Kind {
    /// An answer or a notice: never dropped.
    Notice,
    Message,
    /// A message of which later ones take the place.
    Latest(Box<LatestKey>),
    /// Dropped; its place is kept until it comes first.
    Gone,
    /// So many were dropped that came here, which is not spelt yet.
    Lost(u64),
}

impl Kind {
    const fn is_message(&self) -> bool {
        matches!(self, Self::Message | Self::Latest(_))
    }
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    kind: Kind,
}

/// How a message is to be treated when the receiver is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Treatment {
    pub(super) policy: SlowConsumer,
    pub(super) bytes_max: usize,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// It waits.
    pub(super) kept: bool,
    /// So many were dropped, this one perhaps.
    pub(super) dropped: u64,
    /// It took the place of an earlier one.
    pub(super) conflated: bool,
    /// The receiver is too slow and is to be cut off.
    pub(super) cut_off: bool,
}

/// What waits for one receiver.
#[derive(Debug)]
pub(super) struct Buffer {
    pieces: VecDeque<Piece>,
    /// The number of the first piece; they count on from there.
    first: u64,
    /// Bytes of the first piece that were written.
    written: usize,
    bytes: usize,
    messages: usize,
    message_bytes: usize,
    gone: usize,
    /// No piece before this number can be dropped.
    oldest: u64,
    latest: HashMap<LatestKey, u64>,
    /// Dropped from the front, and not yet told.
    untold: u64,
    /// Pieces that are [`Kind::Lost`].
    lost: usize,
    dropped: u64,
    conflated: u64,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            pieces: VecDeque::new(),
            // What is put first counts down from here.
            first: 1 << 32,
            written: 0,
            bytes: 0,
            messages: 0,
            message_bytes: 0,
            gone: 0,
            oldest: 0,
            latest: HashMap::new(),
            untold: 0,
            lost: 0,
            dropped: 0,
            conflated: 0,
        }
    }
}

impl Buffer {
    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages dropped, and replaced by later ones, so far.
    pub(super) const fn lost(&self) -> (u64, u64) {
        (self.dropped, self.conflated)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes of messages that wait.
    fn messages_left(&self) -> usize {
        let is_begun = self.pieces.front().is_some_and(|first| first.kind.is_message());
        self.message_bytes - if is_begun { self.written } else { 0 }
    }

    /// Adds what is never dropped.
    pub(super) fn push_notice(&mut self, bytes: Bytes) {
        self.add(bytes, Kind::Notice);
    }

    /// Notes that a message was dropped that would come last.
    pub(super) fn drop_newest(&mut self) {
        self.dropped += 1;
        self.lose(1);
    }

    /// Adds a message as far as there is room: what is never dropped takes none of it.
    pub(super) fn push(
        &mut self,
        bytes: Bytes,
        treatment: Treatment,
        key: impl FnOnce() -> LatestKey,
    ) -> Pushed {
        let Treatment { policy, bytes_max } = treatment;
        let mut pushed = Pushed { kept: true, ..Pushed::default() };
        // To whom nothing waits, everything fits.
        let is_behind = self.messages > 0;
        let key = (policy == SlowConsumer::Conflate).then(key);
        if let Some(number) = key.as_ref().and_then(|key| self.latest.get(key).copied())
            && self.discard(number)
        {
            self.conflated += 1;
            pushed.conflated = true;
        }
        let too_many = |this: &Self| this.messages_left().saturating_add(bytes.len()) > bytes_max;
        if is_behind && too_many(self) {
            match policy {
                SlowConsumer::DropOldest | SlowConsumer::Conflate => {
                    while too_many(self) && self.discard_oldest() {
                        pushed.dropped += 1;
                    }
                }
                SlowConsumer::DropNewest => {
                    pushed.dropped = 1;
                    pushed.kept = false;
                }
                SlowConsumer::Disconnect => {
                    pushed.kept = false;
                    pushed.cut_off = true;
                }
            }
        }
        self.dropped += pushed.dropped;
        if policy == SlowConsumer::DropNewest {
            self.lose(pushed.dropped);
        } else {
            self.untold += pushed.dropped;
        }
        if pushed.kept {
            let number = self.first + self.pieces.len() as u64;
            let kind = match key {
                Some(key) => {
                    self.latest.insert(key.clone(), number);
                    Kind::Latest(Box::new(key))
                }
                None => Kind::Message,
            };
            self.messages += 1;
            self.message_bytes += bytes.len();
            self.add(bytes, kind);
        }
        self.compact();
        pushed
    }

    /// Notes that what would come last did not come.
    fn lose(&mut self, count: u64) {
        match self.pieces.back_mut() {
            _ if count == 0 => {}
            Some(Piece { kind: Kind::Lost(lost), .. }) => *lost += count,
            _ => {
                self.lost += 1;
                self.add(Bytes::new(), Kind::Lost(count));
            }
        }
    }

    /// Spells what was lost in its place; to be asked before anything is written.
    pub(super) fn tell_lost(&mut self, spell: impl Fn(u64) -> Bytes) {
        if self.lost == 0 {
            return;
        }
        self.lost = 0;
        for piece in &mut self.pieces {
            if let Kind::Lost(count) = piece.kind {
                *piece = Piece { bytes: spell(count), kind: Kind::Notice };
                self.bytes += piece.bytes.len();
            }
        }
    }

    /// Takes everything out whose writing has not begun.
    pub(super) fn clear(&mut self) {
        self.pieces.truncate(usize::from(self.written > 0));
        let first = self.pieces.front();
        self.bytes = first.map_or(0, |first| first.bytes.len() - self.written);
        let message = first.filter(|piece| piece.kind.is_message());
        self.messages = usize::from(message.is_some());
        self.message_bytes = message.map_or(0, |piece| piece.bytes.len());
        (self.gone, self.lost, self.untold) = (0, 0, 0);
        self.latest.clear();
    }

    fn add(&mut self, bytes: Bytes, kind: Kind) {
        self.bytes += bytes.len();
        self.pieces.push_back(Piece { bytes, kind });
    }

    /// Drops the message with this number, unless its writing has begun.
    fn discard(&mut self, number: u64) -> bool {
        let Some(at) = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok())
        else {
            return false;
        };
        if at == 0 && self.written > 0 {
            return false;
        }
        let Some(piece) = self.pieces.get_mut(at) else { return false };
        match std::mem::replace(&mut piece.kind, Kind::Gone) {
            Kind::Message => {}
            Kind::Latest(key) => {
                self.latest.remove(&*key);
            }
            kind @ (Kind::Notice | Kind::Gone | Kind::Lost(_)) => {
                piece.kind = kind;
                return false;
            }
        }
        self.bytes -= piece.bytes.len();
        self.message_bytes -= piece.bytes.len();
        piece.bytes = Bytes::new();
        self.messages -= 1;
        self.gone += 1;
        true
    }

    fn discard_oldest(&mut self) -> bool {
        let end = self.first + self.pieces.len() as u64;
        self.oldest = self.oldest.max(self.first);
        while self.oldest < end {
            let number = self.oldest;
            if self.discard(number) {
                self.oldest += 1;
                return true;
            }
            // What is being written may be asked about again when it is gone: it is never dropped.
            self.oldest += 1;
        }
        false
    }

    /// Takes the places of dropped messages out when they are most of all.
    fn compact(&mut self) {
        if self.gone <= self.pieces.len() / 2 + PIECES_KEPT {
            return;
        }
        let mut index = 0;
        self.pieces.retain(|piece| {
            index += 1;
            // The first one may be half written.
            index == 1 || !matches!(piece.kind, Kind::Gone)
        });
        self.gone =
            usize::from(matches!(self.pieces.front(), Some(Piece { kind: Kind::Gone, .. })));
        self.oldest = self.first;
        for (number, piece) in (self.first..).zip(&self.pieces) {
            if let Kind::Latest(key) = &piece.kind
                && let Some(known) = self.latest.get_mut(&**key)
            {
                *known = number;
            }
        }
    }

    /// How many were dropped from the front since this was asked last, when a notice of it can be
    /// put first.
    pub(super) fn take_untold(&mut self) -> Option<u64> {
        (self.untold > 0 && self.written == 0).then(|| std::mem::take(&mut self.untold))
    }

    /// Puts a notice before every message that waits; only while no piece is half written.
    pub(super) fn push_notice_first(&mut self, bytes: Bytes) {
        debug_assert_eq!(self.written, 0);
        self.bytes += bytes.len();
        // An answer to a subscription stays before what is told of that.
        let at = self.pieces.iter().take_while(|piece| !piece.kind.is_message()).count();
        self.first -= 1;
        self.pieces.insert(at, Piece { bytes, kind: Kind::Notice });
    }

    /// What is to be written next; how many slices there are. What is half written goes out alone
    /// where a notice is to follow it.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let mut skip = self.written;
        let count_max = if self.written > 0 && self.untold > 0 { 1 } else { SLICES_MAX };
        for piece in &self.pieces {
            if count == count_max {
                break;
            }
            let rest = &piece.bytes[skip..];
            skip = 0;
            if !rest.is_empty() {
                slices[count] = IoSlice::new(rest);
                count += 1;
            }
        }
        count
    }

    /// Takes out what was written.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        self.bytes -= bytes;
        while let Some(piece) = self.pieces.front() {
            let left = piece.bytes.len() - self.written;
            if bytes < left {
                self.written += bytes;
                // What is half written is not replaced any more.
                if bytes > 0
                    && let Kind::Latest(key) = &piece.kind
                    && self.latest.get(&**key) == Some(&self.first)
                {
                    self.latest.remove(&**key);
                }
                return;
            }
            bytes -= left;
            self.written = 0;
            let Some(Piece { bytes: gone, kind }) = self.pieces.pop_front() else { break };
            if kind.is_message() {
                self.messages -= 1;
                self.message_bytes -= gone.len();
            }
            match kind {
                Kind::Latest(key) => {
                    if self.latest.get(&*key) == Some(&self.first) {
                        self.latest.remove(&*key);
                    }
                }
                Kind::Gone => self.gone -= 1,
                Kind::Lost(_) => self.lost -= 1,
                Kind::Notice | Kind::Message => {}
            }
            self.first += 1;
        }
        if self.pieces.capacity() > PIECES_KEPT {
            self.pieces = VecDeque::new();
            self.latest = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests;
