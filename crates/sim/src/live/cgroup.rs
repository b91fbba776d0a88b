//! Limits that the kernel holds a process to: control groups, of version 2 or 1.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

/// A control group of one controller, removed when dropped.
pub struct Cgroup {
    path: PathBuf,
    unified: bool,
}

const ROOT: &str = "/sys/fs/cgroup";
/// How often, 10 ms apart, a group is tried to be removed whose last process has just ended.
const REMOVALS_MAX: u32 = 100;

impl Cgroup {
    /// A group whose processes together take at most this much memory; the error says why there
    /// is none.
    pub fn of_memory(bytes: u64) -> Result<Self, String> {
        let group = Self::make("memory")?;
        let (limit, swap) = match group.unified {
            true => ("memory.max", "memory.swap.max"),
            false => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        };
        group.set(limit, &bytes.to_string())?;
        // Not every kernel accounts for swap; where there is none, nothing is lost.
        drop(group.set(swap, if group.unified { "0" } else { "-1" }));
        Ok(group)
    }

    /// A group whose processes write at most so much per second to a device (`major:minor`).
    pub fn of_writes(device: &str, bytes_per_second: u64) -> Result<Self, String> {
        let group = Self::make("io")?;
        group.set_writes(device, Some(bytes_per_second))?;
        Ok(group)
    }

    /// Changes what its processes may write; none is as much as they like.
    pub fn set_writes(&self, device: &str, bytes_per_second: Option<u64>) -> Result<(), String> {
        if self.unified {
            let rate = bytes_per_second.map_or("max".to_owned(), |rate| rate.to_string());
            return self.set("io.max", &format!("{device} wbps={rate}"));
        }
        let rate = bytes_per_second.unwrap_or(0);
        self.set("blkio.throttle.write_bps_device", &format!("{device} {rate}"))
    }

    /// The shell's words for "the rest runs in this group".
    pub fn script(&self) -> String {
        Self::script_of(&[self])
    }

    /// The same of several groups, each of another controller. In version 2, where a process is in
    /// one group only, the last one counts.
    pub fn script_of(groups: &[&Self]) -> String {
        let enter = |group: &&Self| format!("echo $$ > {}/cgroup.procs && ", group.path.display());
        let enter: String = groups.iter().map(enter).collect();
        enter + "exec \"$@\""
    }

    /// How often the kernel has killed a process of the group for its memory.
    pub fn kills(&self) -> u64 {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    fn make(controller: &str) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tramline-{}-{number}", std::process::id());
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").is_file();
        let parent = match (unified, controller) {
            (true, _) => {
                let enabled = format!("+{controller}");
                let file = root.join("cgroup.subtree_control");
                fs::write(&file, enabled).map_err(|e| format!("{}: {e}", file.display()))?;
                root.to_owned()
            }
            (false, "io") => root.join("blkio"),
            (false, name) => root.join(name),
        };
        if !parent.join("cgroup.procs").is_file() {
            return Err(format!("no control groups at {}", parent.display()));
        }
        let path = parent.join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, unified })
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        let file = self.path.join(file);
        fs::write(&file, value).map_err(|error| format!("{}: {error}", file.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..REMOVALS_MAX {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
