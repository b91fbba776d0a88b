//! The manifest's two copies on disk.

use super::inner::{Inner, Paths, io_error};
use super::manifest::Manifest;
use super::reading::read_file;
use super::writer::{Stop, fatal, later};
use crate::Error;
use crate::fs::{Files, OpenMode};
use bytes::Bytes;
use std::path::Path;

const NAMES: [&str; 2] = ["MANIFEST.a", "MANIFEST.b"];
const TEMPORARY: &str = "MANIFEST.tmp";

/// Writes both copies, one after the other.
pub(super) fn store(inner: &Inner, manifest: &Manifest) -> Result<(), Stop> {
    let bytes = manifest.encode();
    for name in NAMES {
        store_copy(inner, name, &bytes)?;
    }
    Ok(())
}

fn store_copy(inner: &Inner, name: &str, bytes: &[u8]) -> Result<(), Stop> {
    let dir = &inner.paths.dir;
    let (temporary, path) = (dir.join(TEMPORARY), dir.join(name));
    let open = inner.files.open(&temporary, OpenMode::Write);
    let file = open.map_err(later("make", &temporary))?;
    file.truncate(0).map_err(later("cut", &temporary))?;
    file.allocate(bytes.len() as u64).map_err(later("allocate", &temporary))?;
    let written = file.write_at(0, bytes).and_then(|()| {
        file.sync()?;
        inner.files.rename(&temporary, &path)?;
        inner.files.sync_dir(dir)
    });
    written.map_err(fatal("write", &path))
}

/// What the directory holds of manifests.
pub(super) struct Loaded {
    pub(super) manifest: Manifest,
    /// A copy is missing, damaged or behind: both are to be written again.
    pub(super) is_uneven: bool,
    /// The copies that are there and cannot be read.
    pub(super) damaged: Vec<(&'static str, Bytes)>,
}

/// Reads the newer of the copies; `None` when there is neither.
pub(super) fn load(files: &dyn Files, paths: &Paths) -> Result<Option<Loaded>, Error> {
    let names = files.list(&paths.dir).map_err(io_error("list", &paths.dir))?;
    let mut found = Vec::new();
    let mut damaged = Vec::new();
    for name in NAMES.into_iter().filter(|name| names.iter().any(|n| n == name)) {
        let bytes = read_copy(files, &paths.dir.join(name))?;
        match Manifest::decode(&bytes) {
            Ok(manifest) => found.push(manifest),
            Err(_) => damaged.push((name, bytes)),
        }
    }
    let copies = found.len();
    let is_even = copies == 2 && found[0] == found[1];
    let newest = found.into_iter().max_by_key(|manifest| manifest.generation);
    match newest {
        Some(manifest) => Ok(Some(Loaded { manifest, is_uneven: !is_even, damaged })),
        None if damaged.is_empty() => Ok(None),
        None => Err(Error::Directory(
            "both copies of the manifest, `MANIFEST.a` and `MANIFEST.b`, are damaged; restore one \
             from a copy of this directory, nothing was changed"
                .to_owned(),
        )),
    }
}

fn read_copy(files: &dyn Files, path: &Path) -> Result<Bytes, Error> {
    let failed = |e| io_error("read", path)(e);
    let file = files.open(path, OpenMode::Read).map_err(failed)?;
    let length = file.len().map_err(failed)?;
    read_file(&*file, false, 0, length).map_err(failed)
}
