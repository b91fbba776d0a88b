//! Where the soak's broker keeps its data: an ext4 image of its own where this machine mounts,
//! so that the disk can hang and fill up; else a plain directory.

use crate::{
    live::image::{Frozen, Mount, make_ext4, may_mount},
    soak::Failure,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const IMAGE_MIB: u64 = 1024;

pub(super) struct Disk {
    mount: Option<Mount>,
    directory: PathBuf,
}

impl Disk {
    pub(super) fn make(directory: &Path) -> Result<Self, Failure> {
        if !may_mount(directory) {
            return Ok(Self { mount: None, directory: directory.to_owned() });
        }
        let image = directory.join("disk.img");
        make_ext4(&image, IMAGE_MIB)?;
        let mount = Mount::ext4(&image, &directory.join("disk"))?;
        let directory = mount.path().to_owned();
        Ok(Self { mount: Some(mount), directory })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Which faults cannot be had here.
    pub(super) fn missing(&self) -> Option<String> {
        let missing = "a full disk, a hung disk: this machine does not mount".to_owned();
        self.mount.is_none().then_some(missing)
    }

    pub(super) fn is_mounted(&self) -> bool {
        self.mount.is_some()
    }

    pub(super) fn freeze(&self) -> Result<Frozen<'_>, Failure> {
        self.mount.as_ref().ok_or("not mounted")?.freeze()
    }

    /// Takes all free space until the guard is dropped.
    pub(super) fn fill(&self) -> Result<Filled, Failure> {
        let path = self.directory.join("foreign");
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let stat = rustix::fs::statvfs(&self.directory).map_err(|error| failed(error.into()))?;
        let bytes = stat.f_bavail * stat.f_frsize;
        // The broker takes space meanwhile: less and less is asked for, until it is there.
        for percent in [100, 98, 95, 90] {
            let length = (bytes / 100 * percent).to_string();
            let output = Command::new("fallocate").args(["-l", &length]).arg(&path).output();
            if output.map_err(failed)?.status.success() {
                break;
            }
        }
        Ok(Filled { path })
    }

    /// The size of all files of the data directory.
    pub(super) fn stored_bytes(&self) -> u64 {
        size_of(&self.data())
    }
}

fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        // A file may be removed meanwhile.
        metadata => metadata.map_or(0, |metadata| metadata.len()),
    });
    sizes.sum()
}

/// A foreign file that takes all space.
pub(super) struct Filled {
    path: PathBuf,
}

impl Drop for Filled {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "the foreign file stays");
        }
    }
}
