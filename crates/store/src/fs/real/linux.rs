//! What only Linux has: direct I/O, writes that are synced one by one, `fallocate`.

use rustix::{
    fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, fcntl_getfl, fcntl_setfl, statvfs},
    io::{Errno, ReadWriteFlags, pwritev2},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, IoSlice},
    num::NonZeroU64,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// Opens past the page cache, or, where the file system refuses, through it: the second part of
/// the answer tells which.
pub(super) fn open_direct(options: &OpenOptions, path: &Path) -> io::Result<(File, bool)> {
    let direct = OFlags::DIRECT.bits().cast_signed();
    match options.clone().custom_flags(direct).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok((options.open(path)?, false)),
        Err(error) => Err(error),
    }
}

/// Lets the page cache serve an open file.
pub(super) fn leave_direct(file: &File) -> io::Result<()> {
    let flags = fcntl_getfl(file)?;
    Ok(fcntl_setfl(file, flags - OFlags::DIRECT)?)
}

pub(super) fn read_at(file: &File, buf: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(buf, position)
}

pub(super) fn write_at(file: &File, buf: &[u8], position: u64) -> io::Result<usize> {
    file.write_at(buf, position)
}

/// One write and its sync in one call; `Unsupported` where the kernel (before 4.7) or the file
/// system cannot.
pub(super) fn write_sync_at(file: &File, buf: &[u8], position: u64) -> io::Result<usize> {
    match pwritev2(file, &[IoSlice::new(buf)], position, ReadWriteFlags::DSYNC) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Err(ErrorKind::Unsupported.into()),
        written => Ok(written?),
    }
}

pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(()); // `fallocate` refuses an empty range.
    }
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Err(ErrorKind::Unsupported.into()),
        allocated => Ok(allocated?),
    }
}

/// Has the page cache read ahead; only a hint.
pub(super) fn prefetch(file: &File, position: u64, bytes: u64) {
    let _hint = fadvise(file, position, NonZeroU64::new(bytes), Advice::WillNeed);
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let stat = statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
