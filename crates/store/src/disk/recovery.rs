//! Start-up: what the directory holds becomes the index.
//!
//! The write-ahead files are walked in order. Where acknowledged bytes are bad or missing, the
//! range is reported and the rest served; only a torn tail, which nobody was told is durable, is
//! cut. Writing goes on in a new file: what is there is never appended to.

use super::apply::{Applier, Replay};
use super::frame::Frame;
use super::inner::{Durable, Inner, io_error};
use super::wal::{self, FIRST_GROUP, Header, Link, Step, WalFile, Walk};
use crate::fs::{AlignedBuf, BLOCK, File, OpenMode};
use crate::{Damage, Error};
use std::collections::BTreeMap;
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
    /// How many ranges were found damaged.
    pub damaged: usize,
    /// Files moved or copied to `quarantine/`.
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
    header: Option<Header>,
}

pub(super) struct Recoverer<'a> {
    inner: &'a Inner,
    pub(super) report: Recovery,
    pub(super) replay: Replay,
}

/// Where writing goes on.
pub(super) struct Resumption {
    pub(super) link: Link,
    /// Files without content, to be prepared again.
    pub(super) leftovers: Vec<WalFile>,
    /// The largest sequence number seen.
    pub(super) newest: u64,
}

impl<'a> Recoverer<'a> {
    pub(super) fn new(inner: &'a Inner, replay: Replay) -> Self {
        Self { inner, report: Recovery::default(), replay }
    }

    /// Replays the write-ahead files from `first_live` on; `generation` is the manifest's.
    pub(super) fn replay(
        &mut self,
        first_live: u64,
        generation: u64,
        newest: u64,
    ) -> Result<Resumption, Error> {
        let mut found = self.list()?;
        let newest = found.last().map_or(0, |found| found.sequence).max(newest);
        let mut leftovers = Vec::new();
        let retired = found.partition_point(|found| found.sequence < first_live);
        let live = found.split_off(retired);
        leftovers.extend(found.into_iter().map(Found::into_wal));
        let mut in_use = Vec::new();
        let mut prepared = Vec::new();
        for found in live {
            match self.is_in_use(&found)? {
                true => in_use.push(found),
                false => prepared.push(found),
            }
        }
        self.check_generation(&in_use, generation)?;
        self.check_present(first_live, &in_use, &prepared);
        leftovers.extend(prepared.into_iter().map(Found::into_wal));
        let mut link = None;
        for index in 0..in_use.len() {
            let after = in_use.get(index + 1).and_then(|next| next.header);
            link = Some(self.replay_file(&in_use[index], link, after)?);
        }
        let mut files = self.inner.wal.lock();
        for found in in_use {
            let wal = found.into_wal();
            files.insert(wal.sequence, Arc::new(wal));
        }
        Ok(Resumption { link: link.unwrap_or_default(), leftovers, newest })
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
            let mut block = AlignedBuf::zeroed(BLOCK);
            let header = if bytes == 0 {
                None
            } else {
                file.read_at(0, &mut block).map_err(failed)?;
                Header::decode(&block).ok()
            };
            found.insert(sequence, Found { sequence, file, bytes, header });
        }
        Ok(found.into_values().collect())
    }

    /// Whether anything acknowledged may be in it.
    fn is_in_use(&self, found: &Found) -> Result<bool, Error> {
        match found.header {
            Some(Header::InUse { sequence, .. }) => Ok(sequence == found.sequence),
            Some(Header::Prepared { .. }) => Ok(false),
            None => {
                // A header that never became durable, or one that went bad: frames tell.
                let image = self.read(found)?;
                let in_use = Walk::new(&image, found.sequence, None, None).any_frame();
                if in_use {
                    self.damaged(&found.name(), 0, "the header does not match its checksum");
                }
                Ok(in_use)
            }
        }
    }

    fn read(&self, found: &Found) -> Result<AlignedBuf, Error> {
        let length = usize::try_from(found.bytes).unwrap_or(usize::MAX);
        let mut image = AlignedBuf::zeroed(length);
        let path = self.inner.paths.wal.join(found.name());
        let n = found.file.read_at(0, &mut image).map_err(io_error("read", &path))?;
        image.resize(n);
        Ok(image)
    }

    fn check_generation(&self, in_use: &[Found], generation: u64) -> Result<(), Error> {
        let newest = in_use.iter().filter_map(|found| match found.header {
            Some(Header::InUse { generation, .. }) => Some(generation),
            _ => None,
        });
        let newest = newest.max().unwrap_or(0);
        if newest > generation {
            return Err(Error::Directory(format!(
                "the manifest is missing or too old: generation {newest} was in use, \
                 {generation} is here; restore `MANIFEST.a` or `MANIFEST.b` from a copy of this \
                 directory"
            )));
        }
        Ok(())
    }

    /// Every file tells which one came before it.
    fn check_present(&self, first_live: u64, in_use: &[Found], prepared: &[Found]) {
        let known = |sequence: u64| {
            sequence == 0
                || sequence < first_live
                || in_use.iter().chain(prepared).any(|found| found.sequence == sequence)
        };
        for found in in_use.iter().chain(prepared) {
            let previous = match found.header {
                Some(Header::InUse { link, .. }) => link.sequence,
                Some(Header::Prepared { sequence, previous }) if sequence == found.sequence => {
                    previous
                }
                _ => continue,
            };
            if !known(previous) {
                self.damaged(&wal::name(previous), 0, "the file is missing");
            }
        }
    }

    fn damaged(&self, name: &str, position: usize, what: &str) {
        let detail = format!("wal/{name}, byte {position}: {what}");
        self.inner.report(Damage { log: None, offsets: None, detail });
    }

    fn replay_file(
        &mut self,
        found: &Found,
        before: Option<Link>,
        after: Option<Header>,
    ) -> Result<Link, Error> {
        let image = self.read(found)?;
        self.report.wal_files += 1;
        self.report.bytes_read += image.len() as u64;
        let own = match found.header {
            Some(Header::InUse { link, .. }) => Some(link),
            _ => before,
        };
        let end = match after {
            Some(Header::InUse { link, .. }) if link.sequence == found.sequence => Some(link.end),
            _ => None,
        };
        if let (Some(before), Some(own)) = (before, own)
            && own.commit != before.commit
        {
            let what = format!("commits {} to {} are lost", before.commit + 1, own.commit);
            self.damaged(&found.name(), 0, &what);
        }
        let mut walk = Walk::new(&image, found.sequence, own, end);
        let inner = self.inner;
        let mut durable = inner.durable.lock();
        let mut is_damaged = false;
        loop {
            match walk.step() {
                Step::Frame(frame) => {
                    self.report.commits += 1;
                    let replay = Some(&mut self.replay);
                    Applier::new(inner, &mut durable, replay).frame(found.sequence, &frame);
                }
                Step::Damage { at, resumed } => {
                    is_damaged = true;
                    self.report.damaged += 1;
                    let what = format!("commits up to byte {resumed} do not match their checksum");
                    self.damaged(&found.name(), at, &what);
                    self.salvage(&mut durable, found, &image, at);
                }
                Step::End { torn } => {
                    if torn {
                        let position = walk.position() as u64;
                        tracing::warn!(file = %found.name(), position,
                            "cut a torn tail that was never acknowledged");
                        self.report.cut = Some((found.name(), position));
                    }
                    break;
                }
            }
        }
        drop(durable);
        if is_damaged {
            self.quarantine(&found.name(), &image);
        }
        Ok(walk.link())
    }

    fn salvage(&mut self, durable: &mut Durable, found: &Found, image: &[u8], at: usize) {
        let Some(frame) = Frame::decode_untrusted(image, at, found.sequence) else { return };
        let detail = format!("wal/{}, byte {at}: the commit is damaged", found.name());
        let replay = Some(&mut self.replay);
        Applier::new(self.inner, durable, replay).damaged_frame(&frame, &detail);
    }

    /// Keeps a copy of a damaged file: the file itself is used again some day.
    fn quarantine(&mut self, name: &str, image: &[u8]) {
        let path = self.inner.paths.quarantine.join(name);
        let files = &self.inner.files;
        let copied = files.open(&path, OpenMode::Write).and_then(|copy| {
            copy.write_at(0, image)?;
            copy.sync()?;
            files.sync_dir(&self.inner.paths.quarantine)
        });
        match copied {
            Ok(()) => self.report.quarantined.push(name.to_owned()),
            Err(e) => tracing::error!(file = %name, error = %e, "no copy in quarantine"),
        }
    }
}

impl Found {
    fn name(&self) -> String {
        wal::name(self.sequence)
    }

    fn into_wal(self) -> WalFile {
        WalFile { sequence: self.sequence, bytes: self.bytes, file: self.file }
    }
}

/// The fewest bytes that a file must have to be used again.
pub(super) const REUSABLE_BYTES_MIN: u64 = (FIRST_GROUP + BLOCK) as u64;
