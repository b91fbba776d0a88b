//! Small file systems: ext4 on a loop device, and tmpfs. Unmounted when dropped.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system mounted on a directory.
pub struct Mount {
    at: PathBuf,
}

/// Makes an ext4 file system in a sparse file.
pub fn make_ext4(backing: &Path, mib: u64) -> Result<(), String> {
    let sized = fs::File::create(backing).and_then(|file| file.set_len(mib << 20));
    sized.map_err(|error| format!("{}: {error}", backing.display()))?;
    // Nothing is left to be written later in the background, and no space is reserved for root.
    let options = ["-q", "-F", "-m0", "-Elazy_itable_init=0,lazy_journal_init=0"];
    run("mkfs.ext4", options.map(OsStr::new).into_iter().chain([backing.as_os_str()]))
}

/// Copies a file as the disk would be found after a power cut.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), String> {
    run("cp", [OsStr::new("--sparse=always"), from.as_os_str(), to.as_os_str()])
}

impl Mount {
    /// Mounts an image on a directory, made where it is missing.
    pub fn ext4(backing: &Path, at: &Path) -> Result<Self, String> {
        // The file system writes its journal out when it is told to, hardly ever by itself.
        Self::ext4_with(backing, at, "commit=300")
    }

    /// Mounts an image with these options, separated by commas.
    pub fn ext4_with(backing: &Path, at: &Path, options: &str) -> Result<Self, String> {
        let options = format!("loop,{options}");
        Self::new(at, ["-o".as_ref(), options.as_ref(), backing.as_os_str()])
    }

    /// Mounts an empty tmpfs of this size.
    pub fn tmpfs(at: &Path, mib: u64) -> Result<Self, String> {
        let size = format!("size={mib}m");
        Self::new(at, ["-t", "tmpfs", "-o", &size, "tmpfs"].map(OsStr::new))
    }

    fn new<'a>(at: &'a Path, what: impl IntoIterator<Item = &'a OsStr>) -> Result<Self, String> {
        fs::create_dir_all(at).map_err(|error| format!("{}: {error}", at.display()))?;
        run("mount", what.into_iter().chain([at.as_os_str()]))?;
        Ok(Self { at: at.to_owned() })
    }

    /// Changes a tmpfs's size.
    pub fn resize(&self, mib: u64) -> Result<(), String> {
        let size = format!("remount,size={mib}m");
        run("mount", ["-o".as_ref(), size.as_ref(), self.at.as_os_str()])
    }

    /// The block device's name, such as `loop0`.
    pub fn device(&self) -> Result<String, String> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| error.to_string())?;
        let at = self.at.to_string_lossy();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(&at));
        let device = line.and_then(|line| line.split(' ').next()?.strip_prefix("/dev/"));
        device.map(str::to_owned).ok_or_else(|| format!("{at} is not mounted"))
    }

    /// Freezes the file system: writing waits until the guard is dropped.
    pub fn freeze(&self) -> Result<Frozen<'_>, String> {
        run("fsfreeze", ["-f".as_ref(), self.at.as_os_str()])?;
        Ok(Frozen { mount: self })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

/// A file system on which every write waits.
pub struct Frozen<'a> {
    mount: &'a Mount,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let thawed = run("fsfreeze", ["-u".as_ref(), self.mount.at.as_os_str()]);
        thawed.unwrap_or_else(|error| eprintln!("it stays frozen: {error}"));
    }
}

/// Repairs an image that is not mounted.
pub fn repair(backing: &Path) -> Result<(), String> {
    let output = Command::new("e2fsck").arg("-fy").arg(backing).output();
    let output = output.map_err(|error| format!("e2fsck: {error}"))?;
    // 1: errors were corrected.
    match output.status.code() {
        Some(0 | 1) => Ok(()),
        _ => Err(format!("e2fsck: {}", String::from_utf8_lossy(&output.stdout))),
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, so that nothing stays mounted even if a file is still open somewhere.
        if run("umount", [self.at.as_os_str()]).is_err() {
            drop(run("umount", ["-l".as_ref(), self.at.as_os_str()]));
        }
    }
}

/// Whether this machine lets us mount; says why not.
pub fn may_mount(directory: &Path) -> bool {
    let backing = directory.join("probe.img");
    let mounted = make_ext4(&backing, 8)
        .and_then(|()| Mount::ext4(&backing, &directory.join("probe")))
        .and_then(|_| Mount::tmpfs(&directory.join("probe"), 1));
    // Left behind, it goes with the test's directory.
    drop(fs::remove_file(&backing));
    match mounted {
        Ok(_) => true,
        Err(reason) => {
            crate::live::leave_out("mount", &reason);
            false
        }
    }
}

fn run<'a>(program: &str, args: impl IntoIterator<Item = &'a OsStr>) -> Result<(), String> {
    let output: io::Result<_> = Command::new(program).args(args).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}: {}", output.status, text.trim()))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}
