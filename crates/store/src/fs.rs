//! The seam between the disk back-end and the file system: everything that the back-end asks
//! of a file goes through [`Files`] and [`File`], so that a test can keep what was written
//! since the last sync and drop, reorder or tear it. Every sync tells where in the source it was
//! asked for, so that a test can take away any one of them.

mod buffer;
mod probe;
mod real;
pub mod sim;

pub use buffer::AlignedBuf;
pub use probe::{ProbeReport, probe};
pub use real::RealFiles;
pub use sim::SimFiles;

use std::{io, panic::Location, path::Path, sync::Arc};

/// Direct I/O's unit: positions, lengths and buffers of direct files are multiples of it.
pub const BLOCK: usize = 4096;

/// Where in the source a sync was asked for.
pub type Site = &'static Location<'static>;

/// A file system.
pub trait Files: Send + Sync + 'static {
    /// Makes a directory and its parents; each one is durable after a sync of its own parent.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// The names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames within one directory; durable after a sync of it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; durable after a sync of it.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir_from(&self, dir: &Path, site: Site) -> io::Result<()>;
    /// What is free to an unprivileged writer.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// The size of the file system.
    fn total_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Takes the exclusive lock on a file (made if missing), held until the guard is dropped;
    /// `WouldBlock` if another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Existing, buffered, read only.
    Read,
    /// Existing or made, buffered, read and write.
    Write,
    /// Existing or made, read and write, past the page cache where the file system can do it.
    Direct,
}

/// An open file. All methods take positions; there is no cursor.
pub trait File: Send + Sync {
    /// Reads up to `buf.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `buf`; durable after a sync.
    fn write_at(&self, position: u64, buf: &[u8]) -> io::Result<()>;
    /// Writes all of `buf` and makes this write durable; earlier writes need their own sync.
    fn write_sync_from(&self, position: u64, buf: &[u8], site: Site) -> io::Result<()>;
    /// Makes everything written to this file durable, with the metadata needed to read it.
    fn sync_from(&self, site: Site) -> io::Result<()>;
    /// Allocates space up to `bytes` and makes the file that long; `StorageFull` if there is
    /// not enough. Existing bytes stay.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Says that this will be read soon.
    fn prefetch(&self, _position: u64, _bytes: u64) {}
    /// Cuts the file.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

// Not methods of the traits: a call through a trait object would not know its caller.
impl dyn Files + '_ {
    /// [`Files::sync_dir_from`] here.
    #[track_caller]
    pub fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync_dir_from(dir, Location::caller())
    }
}

impl dyn File + '_ {
    /// [`File::write_sync_from`] here.
    #[track_caller]
    pub fn write_sync_at(&self, position: u64, buf: &[u8]) -> io::Result<()> {
        self.write_sync_from(position, buf, Location::caller())
    }

    /// [`File::sync_from`] here.
    #[track_caller]
    pub fn sync(&self) -> io::Result<()> {
        self.sync_from(Location::caller())
    }
}
