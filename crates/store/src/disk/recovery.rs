//! Start-up: what the write-ahead files hold is applied to what the manifest says.
//!
//! The files are walked in order. Where acknowledged bytes are bad or missing, the range is
//! reported and the rest served; only a torn tail, which nobody was told is durable, is cut.
//! Writing goes on in another file: what is there is never appended to.

mod gaps;

use super::apply::{Applier, Replay};
use super::ends::Ends;
use super::frame::{Frame, Pointer, StoredOp, StoredPlace};
use super::inner::{Durable, Inner, io_error};
use super::manifest::Manifest;
use super::wal::{self, FIRST_GROUP, Header, Link, Step, WalFile, Walk};
use crate::fs::{AlignedBuf, BLOCK, File, OpenMode};
use crate::{Damage, Error};
use gaps::Gaps;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Write-ahead files that held commits.
    pub wal_files: usize,
    /// Bytes read from them.
    pub bytes_read: u64,
    /// Commits applied again.
    pub commits: u64,
    /// Where a torn tail was cut: the file and the position.
    pub cut: Option<(String, u64)>,
    /// How many damaged ranges the write-ahead files had.
    pub damaged: usize,
    /// Files copied to `quarantine/`.
    pub quarantined: Vec<String>,
    /// Files deleted because nothing refers to them.
    pub orphans: usize,
    /// How long it took, where there is a clock.
    pub took: std::time::Duration,
}

/// A write-ahead file as found.
struct Found {
    sequence: u64,
    file: Arc<dyn File>,
    bytes: u64,
    /// Its header, where it is one of this use.
    header: Option<Header>,
    /// A header of another use: being prepared for that one was cut short.
    foreign: Option<Header>,
    /// Where the first group goes lies something of this use.
    is_begun: bool,
}

pub(super) struct Recoverer<'a> {
    inner: &'a Inner,
    pub(super) report: Recovery,
    pub(super) replay: Replay,
    /// Segments that the last group points into: they stay, or the next start would take that
    /// group for torn.
    pub(super) last_segments: BTreeSet<u64>,
    gaps: Gaps,
    first_live: u64,
}

/// Where writing goes on.
pub(super) struct Resumption {
    pub(super) link: Link,
    /// Files without content, to be prepared again.
    pub(super) leftovers: Vec<WalFile>,
    /// Names to be removed. Their header is not of this name: after a rename that was cut short
    /// the file may have another name, too.
    pub(super) strays: Vec<u64>,
    /// The largest sequence number seen.
    pub(super) newest: u64,
}

/// What the files after one tell of it.
#[derive(Clone, Copy)]
struct After {
    /// Where it ends.
    end: Option<u64>,
    /// None of them was written to: its last group may not have been durable.
    is_last: bool,
}

/// The frames of a file's last group, until it is known whether they count.
type Held<'a> = Vec<(Link, Frame<'a>)>;

impl<'a> Recoverer<'a> {
    pub(super) fn new(inner: &'a Inner, replay: Replay) -> Self {
        Self {
            inner,
            report: Recovery::default(),
            replay,
            last_segments: BTreeSet::new(),
            gaps: Gaps::default(),
            first_live: 0,
        }
    }

    /// What the logs' ends are, damage taken into account.
    pub(super) fn finish_gaps(&mut self) -> Ends {
        std::mem::take(&mut self.gaps).finish(self.inner)
    }

    /// Replays the write-ahead files from the manifest's first live one on.
    pub(super) fn replay(&mut self, manifest: &Manifest) -> Result<Resumption, Error> {
        let mut found = self.list()?;
        let newest = found.iter().flat_map(|f| [Some(f.sequence), f.foreign.map(|h| h.sequence())]);
        let newest = newest.flatten().max().unwrap_or(0).max(manifest.newest);
        let live = found.split_off(found.partition_point(|f| f.sequence < manifest.first_live));
        check_generation(&live, manifest.generation)?;
        let missing = self.check_present(manifest.first_live, &live);
        let mut link = manifest.link;
        (self.gaps, self.first_live) = (Gaps::after(link), manifest.first_live);
        for (index, found) in live.iter().enumerate() {
            let later = &live[index + 1..];
            let end = later.iter().filter_map(Found::link).find(|l| l.sequence == found.sequence);
            if found.is_clearly_unused() && end.is_none() {
                continue;
            }
            self.check_length(found);
            let image = self.read(found)?;
            if found.link().is_none() {
                // The header was written with the first group: without it there is nothing,
                // unless something later proves that it was there.
                if end.is_none() && !walk(found, &image, None, None).proves(link.group + 1) {
                    continue;
                }
                self.damaged(&found.name(), 0, "the header does not match its checksum");
            }
            let after = After { end: end.map(|link| link.end), is_last: !self.any_begun(later)? };
            let before = found.link().unwrap_or(link);
            link = self.replay_file(found, &image, link, after);
            let wal = WalFile { before, ..found.to_wal() };
            self.inner.wal.lock().insert(wal.sequence, Arc::new(wal));
        }
        if missing.is_some_and(|missing| missing > link.sequence) {
            self.gaps.damaged(self.inner.options.wal_file_bytes);
            self.gaps.lose();
        }
        let in_use = self.inner.wal.lock().keys().copied().collect::<BTreeSet<_>>();
        let unused = live.into_iter().filter(|found| !in_use.contains(&found.sequence));
        let (leftovers, strays) =
            found.into_iter().chain(unused).partition::<Vec<_>, _>(|found| found.header.is_some());
        let leftovers = leftovers.into_iter().map(Found::into_wal).collect();
        let strays = strays.into_iter().map(|found| found.sequence).collect();
        Ok(Resumption { link, leftovers, strays, newest })
    }

    fn list(&self) -> Result<Vec<Found>, Error> {
        let dir = &self.inner.paths.wal;
        let mut found = BTreeMap::new();
        for name in self.inner.files.list(dir).map_err(io_error("list", dir))? {
            let Some(sequence) = wal::sequence_of(&name) else { continue };
            let path = dir.join(&name);
            let failed = |e| io_error("read", &path)(e);
            let file = self.inner.files.open(&path, OpenMode::Direct).map_err(failed)?;
            let bytes = file.len().map_err(failed)? / BLOCK as u64 * BLOCK as u64;
            let mut blocks = AlignedBuf::zeroed(FIRST_GROUP + BLOCK);
            let n = file.read_at(0, &mut blocks).map_err(failed)?;
            blocks.resize(n);
            let header = Header::decode(&blocks).ok();
            let (header, foreign) = match header {
                Some(header) if header.sequence() == sequence => (Some(header), None),
                foreign => (None, foreign),
            };
            let is_begun = wal::begins_frame(&blocks, FIRST_GROUP, sequence);
            found.insert(sequence, Found { sequence, file, bytes, header, foreign, is_begun });
        }
        Ok(found.into_values().collect())
    }

    fn read(&self, found: &Found) -> Result<AlignedBuf, Error> {
        let length = usize::try_from(found.bytes).unwrap_or(usize::MAX);
        let mut image = AlignedBuf::zeroed(length);
        let path = self.inner.paths.wal.join(found.name());
        let n = found.file.read_at(0, &mut image).map_err(io_error("read", &path))?;
        image.resize(n);
        Ok(image)
    }

    /// Whether any of these files was written to: then all before them is durable.
    fn any_begun(&self, later: &[Found]) -> Result<bool, Error> {
        for found in later {
            if found.link().is_some() {
                return Ok(true);
            }
            if !found.is_clearly_unused() && walk(found, &self.read(found)?, None, None).proves(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every file tells which one came before it: from the newest back to the first live one,
    /// none may be missing. Returns the newest that is.
    fn check_present(&self, first_live: u64, live: &[Found]) -> Option<u64> {
        let mut missing = None;
        let mut miss = |sequence: u64| {
            missing = missing.max(Some(sequence));
            self.damaged(&wal::name(sequence), 0, "the file is missing");
        };
        if first_live > 0 && live.first().is_none_or(|found| found.sequence != first_live) {
            miss(first_live);
        }
        let mut previous = BTreeMap::new();
        for found in live {
            previous.insert(found.sequence, found.header.map(|header| header.previous()));
        }
        for header in live.iter().filter_map(|found| found.foreign) {
            previous.entry(header.sequence()).or_insert(Some(header.previous()));
        }
        let mut wanted = None;
        for (sequence, previous) in previous.into_iter().rev().filter(|(s, _)| *s >= first_live) {
            if wanted.is_some_and(|wanted| sequence > wanted) {
                continue;
            }
            if let Some(wanted) = wanted.filter(|wanted| sequence < *wanted) {
                miss(wanted);
            }
            wanted = previous;
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted > first_live) {
            miss(wanted);
        }
        missing
    }

    /// Files have their whole length before they get their name.
    fn check_length(&self, found: &Found) {
        let expected = found.header.map(|header| u64::from(header.blocks()) * BLOCK as u64);
        if found.bytes < expected.unwrap_or((FIRST_GROUP + BLOCK) as u64) {
            let position = usize::try_from(found.bytes).unwrap_or(usize::MAX);
            self.damaged(&found.name(), position, "the file was cut");
        }
    }

    fn damaged(&self, name: &str, position: usize, what: &str) {
        let detail = format!("wal/{name}, byte {position}: {what}");
        self.inner.report(Damage { log: None, offsets: None, detail });
    }

    /// Applies one file; returns the point behind its last frame.
    fn replay_file(&mut self, found: &Found, image: &[u8], before: Link, after: After) -> Link {
        self.report.wal_files += 1;
        self.report.bytes_read += image.len() as u64;
        let own = found.link().unwrap_or(before);
        if own.commit > before.commit {
            let what = format!("commits {} to {} are lost", before.commit + 1, own.commit);
            self.damaged(&found.name(), 0, &what);
            let files = found.sequence.saturating_sub(before.sequence + 1);
            self.gaps.damaged(files.saturating_mul(self.inner.options.wal_file_bytes));
        }
        self.gaps.file(found.sequence, own);
        let mut walk = walk(found, image, Some(own), after.end);
        let inner = self.inner;
        let mut durable = inner.durable.lock();
        let mut held = Held::new();
        let mut is_damaged = false;
        let link = loop {
            let link = walk.link();
            match walk.step() {
                Step::Frame(frame) => {
                    if held.last().is_some_and(|(_, f)| f.header.group != frame.header.group) {
                        self.apply(&mut durable, found, &mut held);
                    }
                    held.push((link, frame));
                }
                Step::Damage { at, resumed } => {
                    self.apply(&mut durable, found, &mut held);
                    is_damaged = true;
                    self.report.damaged += 1;
                    self.gaps.damaged((resumed - at) as u64);
                    let what = format!("commits up to byte {resumed} do not match their checksum");
                    self.damaged(&found.name(), at, &what);
                    self.salvage(&mut durable, found, image, at);
                }
                Step::End { torn } => {
                    let cut = if after.is_last { self.check_extents(&mut held) } else { None };
                    self.apply(&mut durable, found, &mut held);
                    if torn || cut.is_some() {
                        self.cut(found, cut.unwrap_or(link).end);
                    }
                    break cut.unwrap_or(link);
                }
            }
        };
        drop(durable);
        if is_damaged && inner.quarantine_copy(&found.name(), image) {
            self.report.quarantined.push(found.name());
        }
        link
    }

    fn cut(&mut self, found: &Found, position: u64) {
        tracing::warn!(file = %found.name(), position,
            "cut a torn tail that was never acknowledged");
        self.report.cut = Some((found.name(), position));
    }

    fn apply(&mut self, durable: &mut Durable, found: &Found, held: &mut Held<'_>) {
        let mut applier = Applier::new(self.inner, durable, Some(&mut self.replay));
        for (_, frame) in held.drain(..) {
            self.gaps.frame(&frame);
            if frame.is_commit() {
                self.report.commits += 1;
                applier.frame(found.sequence, &frame);
            } else {
                self.gaps.tell(self.inner, &frame, self.first_live);
            }
        }
    }

    /// The last group's frames count only up to the first whose extent is not there: its
    /// segment's sync may not have come to an end. Returns the point before that frame.
    fn check_extents(&mut self, held: &mut Held<'_>) -> Option<Link> {
        let bad = held.iter().position(|(_, frame)| {
            let pointers = frame.ops().filter_map(|op| match op {
                Ok(StoredOp::Append(append)) => match append.place {
                    StoredPlace::Extent(pointer) => Some(pointer),
                    StoredPlace::Inline(_) => None,
                },
                _ => None,
            });
            pointers.into_iter().any(|pointer| !self.inner.holds_extent(pointer))
        });
        let cut = bad.and_then(|bad| held.drain(bad..).next()).map(|(link, _)| link);
        for op in held.iter().flat_map(|(_, frame)| frame.ops()).map_while(Result::ok) {
            if let StoredOp::Append(append) = op
                && let StoredPlace::Extent(pointer) = append.place
            {
                self.last_segments.insert(pointer.segment);
            }
        }
        cut
    }

    fn salvage(&mut self, durable: &mut Durable, found: &Found, image: &[u8], at: usize) {
        let Some(frame) = Frame::decode_untrusted(image, at, found.sequence) else { return };
        let detail = format!("wal/{}, byte {at}: the commit is damaged", found.name());
        let replay = Some(&mut self.replay);
        Applier::new(self.inner, durable, replay).damaged_frame(&frame, &detail);
    }
}

impl Inner {
    /// Whether the bytes that a pointer names are there.
    fn holds_extent(&self, pointer: Pointer) -> bool {
        let path = self.segments.path(pointer.segment);
        let read = self.files.open(&path, OpenMode::Read).and_then(|file| {
            let (position, length) = (u64::from(pointer.position), u64::from(pointer.length));
            super::reading::read_file(&*file, false, position, length)
        });
        read.is_ok_and(|bytes| {
            bytes.len() as u64 == u64::from(pointer.length) && crc32c::crc32c(&bytes) == pointer.crc
        })
    }
}

fn walk<'i>(found: &Found, image: &'i [u8], link: Option<Link>, end: Option<u64>) -> Walk<'i> {
    Walk::new(image, found.sequence, link, end)
}

fn check_generation(live: &[Found], generation: u64) -> Result<(), Error> {
    let generations = live.iter().filter_map(|found| match found.header {
        Some(Header::InUse { generation, .. }) => Some(generation),
        _ => None,
    });
    let newest = generations.max().unwrap_or(0);
    if newest > generation {
        return Err(Error::Directory(format!(
            "the manifest is missing or too old: generation {newest} was in use, {generation} is \
             here; restore `MANIFEST.a` or `MANIFEST.b` from a copy of this directory"
        )));
    }
    Ok(())
}

impl Found {
    fn name(&self) -> String {
        wal::name(self.sequence)
    }

    /// What came before it, if its header says that it is in use.
    const fn link(&self) -> Option<Link> {
        match self.header {
            Some(Header::InUse { link, .. }) => Some(link),
            _ => None,
        }
    }

    /// Prepared, and nothing written since.
    const fn is_clearly_unused(&self) -> bool {
        matches!(self.header, Some(Header::Prepared { .. })) && !self.is_begun
    }

    fn to_wal(&self) -> WalFile {
        let file = Arc::clone(&self.file);
        WalFile { sequence: self.sequence, bytes: self.bytes, file, before: Link::default() }
    }

    fn into_wal(self) -> WalFile {
        self.to_wal()
    }
}
