//! The same calls with what every Unix has: no direct I/O, no synced single write.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
};

/// Opens through the page cache: the `false` says so.
pub(super) fn open_direct(options: &OpenOptions, path: &Path) -> io::Result<(File, bool)> {
    Ok((options.open(path)?, false))
}

pub(super) const fn leave_direct(_: &File) -> io::Result<()> {
    Ok(())
}

pub(super) fn read_at(file: &File, buf: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(buf, position)
}

pub(super) fn write_at(file: &File, buf: &[u8], position: u64) -> io::Result<usize> {
    file.write_at(buf, position)
}

pub(super) fn write_sync_at(_: &File, _: &[u8], _: u64) -> io::Result<usize> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn allocate(_: &File, _: u64) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

pub(super) fn prefetch(_: &File, _: u64, _: u64) {}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
