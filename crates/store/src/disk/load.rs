//! The manifest becomes the index that the write-ahead log is applied to; afterwards the files
//! are compared with what is referred to.

use super::apply::Recovered;
use super::inner::{Inner, io_error};
use super::log::{BlobHome, Log, LogState, Reference};
use super::manifest::Manifest;
use super::reading::read_file;
use super::segments::{checkpoint_name, id_of};
use crate::fs::OpenMode;
use crate::{Damage, Error};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use tramline_types::{LogId, Offset};

impl Inner {
    /// Takes over what the manifest says. Returns the state that lies in checkpoint files.
    pub(super) fn load(&self, manifest: &Manifest) -> HashMap<LogId, Recovered> {
        let mut recovered = HashMap::new();
        let extents = manifest.logs.iter().flat_map(|log| &log.extents);
        let referred = extents.clone().map(|extent| extent.segment).collect::<BTreeSet<_>>();
        for file in manifest.segments.iter().filter(|file| referred.contains(&file.id)) {
            self.segments.add_sealed(file.id, file.length, file.referred);
        }
        for extent in extents {
            self.segments.change(&Reference::taken(extent.segment, extent.bytes));
        }
        for file in &manifest.checkpoints {
            self.segments.add_checkpoint(file.id, file.length, file.referred);
        }
        let mut files = HashMap::new();
        let mut logs = self.logs.write();
        for stored in &manifest.logs {
            let id = LogId(stored.id);
            for blob in &stored.state {
                let BlobHome::Checkpoint(file) = blob.home else { continue };
                self.segments.change_checkpoint(&Reference::taken(file, u64::from(blob.length)));
                let image = files.entry(file).or_insert_with(|| self.checkpoint_image(file));
                let from = usize::try_from(blob.position).unwrap_or(usize::MAX);
                let to = from.saturating_add(usize::try_from(blob.length).unwrap_or(usize::MAX));
                let bytes = image.as_ref().and_then(|image| image.get(from..to));
                match bytes.filter(|bytes| crc32c::crc32c(bytes) == blob.crc) {
                    Some(bytes) => {
                        let bytes = Bytes::copy_from_slice(bytes);
                        recovered
                            .entry(id)
                            .or_insert_with(Recovered::default)
                            .put(blob.kind, bytes);
                    }
                    None => self.report(Damage {
                        log: Some(id),
                        offsets: None,
                        detail: format!(
                            "ckpt/{}, byte {}: state of the log is missing or damaged",
                            checkpoint_name(file),
                            blob.position
                        ),
                    }),
                }
            }
            let state = Mutex::new(LogState::from_stored(stored.clone()));
            logs.insert(id, Arc::new(Log { id, state }));
        }
        drop(logs);
        self.damage.lock().extend(manifest.damage.iter().cloned());
        let mut durable = self.durable.lock();
        durable.pairs.clone_from(&manifest.pairs);
        durable.commit = manifest.commit;
        recovered
    }

    fn checkpoint_image(&self, id: u64) -> Option<Bytes> {
        let path = self.paths.checkpoints.join(checkpoint_name(id));
        let file = self.files.open(&path, OpenMode::Read).ok()?;
        read_file(&*file, false, 0, file.len().ok()?).ok()
    }

    /// Reports the segments that are missing; deletes files that nothing refers to, unless
    /// something is damaged: then they may be what is missed. Returns how many were deleted.
    pub(super) fn check_files(&self, kept: &BTreeSet<u64>) -> Result<usize, Error> {
        let present = self.list_ids(&self.paths.segments, ".seg")?;
        let referred = self.segments.ids().into_iter().collect::<BTreeSet<_>>();
        let missing = referred.difference(&present).copied().collect::<BTreeSet<_>>();
        if !missing.is_empty() {
            self.report_missing(&missing);
        }
        let checkpoints = self.list_ids(&self.paths.checkpoints, ".ckpt")?;
        self.segments.start_at(
            present.last().map_or(0, |id| id + 1),
            checkpoints.last().map_or(0, |id| id + 1),
        );
        let known = self.segments.checkpoint_ids();
        let orphans = present
            .difference(&referred)
            .filter(|id| !kept.contains(id))
            .map(|id| self.segments.path(*id))
            .chain(
                checkpoints
                    .iter()
                    .filter(|id| !known.contains(id))
                    .map(|id| self.paths.checkpoints.join(checkpoint_name(*id))),
            )
            .collect::<Vec<_>>();
        if !self.damage.lock().is_empty() {
            for path in &orphans {
                tracing::warn!(path = %path.display(), "nothing refers to this file; it is kept \
                    because stored data is damaged");
            }
            return Ok(0);
        }
        for path in &orphans {
            tracing::info!(path = %path.display(), "deleted a file that nothing refers to");
            self.files.remove(path).map_err(io_error("remove", path))?;
        }
        Ok(orphans.len())
    }

    fn list_ids(&self, dir: &Path, suffix: &str) -> Result<BTreeSet<u64>, Error> {
        let names = self.files.list(dir).map_err(io_error("list", dir))?;
        Ok(names.iter().filter_map(|name| id_of(name, suffix)).collect())
    }

    fn report_missing(&self, missing: &BTreeSet<u64>) {
        let mut logs = self.logs.read().values().cloned().collect::<Vec<_>>();
        logs.sort_unstable_by_key(|log| log.id);
        for log in logs {
            let state = log.state.lock();
            let extents = state.extents.iter().map(|e| (e.segment, e.base, e.next));
            let dense = state.dense.iter().filter_map(|entry| {
                Some((entry.place.file.as_segment()?, entry.base, entry.next()))
            });
            let gone = extents.chain(dense).filter(|(id, ..)| missing.contains(id));
            let gone = gone.collect::<Vec<_>>();
            drop(state);
            for (id, base, next) in gone {
                let last = Offset::new(next.get().saturating_sub(1)).unwrap_or(base);
                self.report(Damage {
                    log: Some(log.id),
                    offsets: Some((base, last)),
                    detail: format!("seg/{} is missing", super::segments::segment_name(id)),
                });
            }
        }
    }
}
