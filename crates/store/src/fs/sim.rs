//! A file system in memory for tests, that keeps apart what is written and what is durable.
//!
//! Every write, change of length, creation, rename and removal stays pending until the sync
//! that covers it: a file's for its content, a directory's for its entries, a synced write's for
//! that one write. [`SimFiles::power_cut`] gives the disk
//! as it may be after a power cut: any part of what was pending is there, writes torn at
//! [`SECTOR`]s. Syncs can be made to do nothing, calls to fail, the disk to be full, and stored
//! bytes to change. Everything is decided by the seed.

mod directory;
mod disk;
mod fault;
mod file;
mod random;

pub use fault::{Call, SyncKind, SyncSite, Times};
pub use random::Random;

use super::{BLOCK, File, Files, OpenMode, Site};
use disk::Disk;
use parking_lot::Mutex;
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// A file system in memory. A clone is another handle on the same one.
#[derive(Clone)]
pub struct SimFiles {
    disk: Arc<Mutex<Disk>>,
}

impl SimFiles {
    /// An empty file system.
    pub fn new(seed: u64) -> Self {
        Self::from_disk(Disk::new(seed))
    }

    fn from_disk(disk: Disk) -> Self {
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    /// The disk after a power cut at this moment: each pending change is there, is not, or,
    /// where it is a write, is torn. Called again it may decide otherwise. This file system
    /// goes on, so that a store that still runs on it disturbs nothing.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        Self::from_disk(self.disk.lock().power_cut())
    }

    /// The disk after the death of the process: all that was written can be read, and what was
    /// pending still is.
    #[must_use]
    pub fn process_kill(&self) -> Self {
        Self::from_disk(self.disk.lock().process_kill())
    }

    /// How many changing calls (writes, syncs, creations, renames, removals) there were.
    pub fn operations(&self) -> u64 {
        self.disk.lock().operations()
    }

    /// Keeps the disk as it is within the changing call of this number (see
    /// [`SimFiles::operations`]; the first one is 1): begun, and durable in no part yet.
    pub fn capture_at(&self, operation: u64) {
        self.disk.lock().capture_at(operation);
    }

    /// What [`SimFiles::capture_at`] kept, once that call came: cut its power or kill it.
    pub fn captured(&self) -> Option<Self> {
        self.disk.lock().take_captured().map(Self::from_disk)
    }

    /// Makes a kind of sync do nothing and report success.
    pub fn disable_sync(&self, kind: SyncKind, times: Times) {
        self.disk.lock().faults.disable(kind, times);
    }

    /// Makes the syncs of one place in the source do nothing and report success.
    pub fn disable_site(&self, site: &SyncSite) {
        self.disk.lock().faults.disable_site(site);
    }

    /// Every place in the source that has asked for a sync so far, on this disk and on those
    /// that it is what is left of.
    pub fn sync_sites(&self) -> Vec<SyncSite> {
        self.disk.lock().faults.sites()
    }

    /// Fails the `nth` call of a kind from now (1 is the next one) with an I/O error. What a
    /// failed sync covered is never written, and a later sync does not say so.
    pub fn fail(&self, call: Call, nth: u64) {
        self.disk.lock().faults.fail(call, nth);
    }

    /// Whether a call of this kind is still to fail.
    pub fn is_to_fail(&self, call: Call) -> bool {
        self.disk.lock().faults.is_to_fail(call)
    }

    /// Bounds the disk to so many bytes more than are used; `None` lifts the bound.
    pub fn set_free_bytes(&self, free: Option<u64>) {
        self.disk.lock().set_free_bytes(free);
    }

    /// How many syncs of this kind there were, disabled ones included.
    pub fn sync_count(&self, kind: SyncKind) -> u64 {
        self.disk.lock().faults.seen(kind)
    }

    /// How many files are open, counted once per handle.
    pub fn open_files(&self) -> u64 {
        self.disk.lock().open_files()
    }

    /// Every file there is, in order of names.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk.lock().paths()
    }

    /// A file's content, as a reader sees it.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = self.disk.lock();
        Ok(disk.file(disk.find(path)?)?.content().to_vec())
    }

    /// Gives a file this content, durably; makes it if it is missing. Puts an older copy back,
    /// too.
    pub fn set_content(&self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        self.disk.lock().set_content(path, content)
    }

    /// Changes a file's stored bytes behind everybody's back.
    pub fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut content = self.content(path)?;
        change(&mut content);
        self.set_content(path, content)
    }

    /// Flips one bit of a file, counted from its first byte's lowest.
    pub fn flip_bit(&self, path: &Path, bit: usize) -> io::Result<()> {
        self.corrupt(path, |content| content[bit / 8] ^= 1 << (bit % 8))
    }

    /// Cuts a file, durably.
    pub fn cut_file(&self, path: &Path, bytes: usize) -> io::Result<()> {
        self.corrupt(path, |content| content.truncate(bytes))
    }

    /// Zeroes a part of a file.
    pub fn zero(&self, path: &Path, range: Range<usize>) -> io::Result<()> {
        self.corrupt(path, |content| {
            let end = range.end.min(content.len());
            content[range.start.min(end)..end].fill(0);
        })
    }

    /// Removes a file, durably.
    pub fn lose(&self, path: &Path) -> io::Result<()> {
        self.disk.lock().lose(path)
    }
}

impl Files for SimFiles {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.lock().create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inode = self.disk.lock().open(path, mode != OpenMode::Read)?;
        let file = SimFile { disk: Arc::clone(&self.disk), path: path.to_owned(), inode, mode };
        Ok(Arc::new(file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.lock().list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.lock().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.lock().remove(path)
    }

    fn sync_dir_from(&self, dir: &Path, site: Site) -> io::Result<()> {
        self.disk.lock().sync_dir(dir, site)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let disk = self.disk.lock();
        disk.find(dir)?;
        Ok(disk.free_bytes())
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<u64> {
        let disk = self.disk.lock();
        disk.find(dir)?;
        Ok(disk.total_bytes())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.disk.lock().lock(path)?;
        Ok(Box::new(LockGuard { disk: Arc::clone(&self.disk), path: path.to_owned() }))
    }
}

struct LockGuard {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.disk.lock().unlock(&self.path);
    }
}

struct SimFile {
    disk: Arc<Mutex<Disk>>,
    /// As opened: faults go by it, even after a rename.
    path: PathBuf,
    inode: u64,
    mode: OpenMode,
}

impl SimFile {
    /// Direct I/O's rules, all three of them, so that no back-end relies on a kernel that is
    /// more lenient.
    fn check_aligned(&self, position: u64, buf: &[u8]) -> io::Result<()> {
        let block = BLOCK as u64;
        let aligned = position.is_multiple_of(block)
            && buf.len().is_multiple_of(BLOCK)
            && buf.as_ptr().addr().is_multiple_of(BLOCK);
        if self.mode == OpenMode::Direct && !aligned {
            return Err(fault::invalid());
        }
        Ok(())
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.mode == OpenMode::Read { Err(fault::not_writable()) } else { Ok(()) }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.lock().close(self.inode);
    }
}

impl File for SimFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.check_aligned(position, buf)?;
        self.disk.lock().read_at(self.inode, position, buf)
    }

    fn write_at(&self, position: u64, buf: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        self.check_aligned(position, buf)?;
        self.disk.lock().write_at(self.inode, position, buf)
    }

    fn write_sync_from(&self, position: u64, buf: &[u8], site: Site) -> io::Result<()> {
        self.check_writable()?;
        self.check_aligned(position, buf)?;
        let kind = SyncKind::of_write(&self.path);
        self.disk.lock().write_sync_at(self.inode, (kind, site), position, buf)
    }

    fn sync_from(&self, site: Site) -> io::Result<()> {
        let kind = SyncKind::of_file(&self.path);
        self.disk.lock().sync(self.inode, (kind, site))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.lock().allocate(self.inode, bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.lock().truncate(self.inode, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().file(self.inode)?.content().len() as u64)
    }
}

#[cfg(test)]
mod tests;
