//! The machine's file system.
//!
//! Every call that only Linux has is in `linux`; `portable` does the same with what `std` has,
//! slower. A direct file falls back to the page cache where the file system refuses direct I/O
//! (at open, or at the first read or write), with the same rules for positions and lengths.

use super::{BLOCK, File, Files, OpenMode, Site};
use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

/// The machine's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl Files for RealFiles {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        if mode != OpenMode::Read {
            options.write(true).create(true).truncate(false);
        }
        let (file, direct) = if mode == OpenMode::Direct {
            system::open_direct(&options, path)?
        } else {
            (options.open(path)?, false)
        };
        Ok(Arc::new(RealFile {
            file,
            aligned: mode == OpenMode::Direct,
            direct: AtomicBool::new(direct),
            synced_writes: AtomicBool::new(true),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir_from(&self, dir: &Path, _: Site) -> io::Result<()> {
        system::sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        system::free_bytes(dir)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Box::new(file))
    }
}

struct RealFile {
    file: fs::File,
    /// Opened as [`OpenMode::Direct`]: its rules hold even where the page cache serves it.
    aligned: bool,
    /// The descriptor still bypasses the page cache.
    direct: AtomicBool,
    /// The system can sync one write by itself.
    synced_writes: AtomicBool,
}

impl RealFile {
    fn check_aligned(&self, position: u64, len: usize) -> io::Result<()> {
        let block = BLOCK as u64;
        if self.aligned && !(position.is_multiple_of(block) && len.is_multiple_of(BLOCK)) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                format!("direct i/o of {len} bytes at {position} is not aligned"),
            ));
        }
        Ok(())
    }

    /// Whether the file system has just refused direct I/O: the page cache serves from here on.
    fn falls_back(&self, error: &io::Error) -> bool {
        error.kind() == ErrorKind::InvalidInput
            && self.direct.load(Ordering::Relaxed)
            && system::leave_direct(&self.file).is_ok()
            && self.direct.swap(false, Ordering::Relaxed)
    }

    /// Writes all of `buf` by repeated calls of `write`.
    fn write_all(
        &self,
        position: u64,
        buf: &[u8],
        write: impl Fn(&[u8], u64) -> io::Result<usize>,
    ) -> io::Result<()> {
        self.check_aligned(position, buf.len())?;
        let mut done = 0;
        while done < buf.len() {
            match write(&buf[done..], position + done as u64) {
                Ok(written) => {
                    // A direct write goes on at a block boundary, or it would be refused.
                    let direct = self.direct.load(Ordering::Relaxed);
                    let kept = if direct { written - written % BLOCK } else { written };
                    if kept == 0 {
                        return Err(ErrorKind::WriteZero.into());
                    }
                    done += kept;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self.falls_back(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl File for RealFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.check_aligned(position, buf.len())?;
        let mut done = 0;
        while done < buf.len() {
            match system::read_at(&self.file, &mut buf[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => {
                    done += read;
                    if self.direct.load(Ordering::Relaxed) && !read.is_multiple_of(BLOCK) {
                        break; // Only the end of the file cuts a direct read off within a block.
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if self.falls_back(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, position: u64, buf: &[u8]) -> io::Result<()> {
        self.write_all(position, buf, |rest, at| system::write_at(&self.file, rest, at))
    }

    fn write_sync_from(&self, position: u64, buf: &[u8], site: Site) -> io::Result<()> {
        if self.synced_writes.load(Ordering::Relaxed) {
            let written = self
                .write_all(position, buf, |rest, at| system::write_sync_at(&self.file, rest, at));
            match written {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    self.synced_writes.store(false, Ordering::Relaxed);
                }
                written => return written,
            }
        }
        self.write_at(position, buf)?;
        self.sync_from(site)
    }

    fn sync_from(&self, _: Site) -> io::Result<()> {
        // Not repeated on an interrupt either: whether anything was lost cannot be known.
        self.file.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        loop {
            match system::allocate(&self.file, bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::Unsupported => break,
                allocated => return allocated,
            }
        }
        if self.len()? < bytes { self.file.set_len(bytes) } else { Ok(()) }
    }

    fn prefetch(&self, position: u64, bytes: u64) {
        if !self.aligned {
            system::prefetch(&self.file, position, bytes);
        }
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests;
