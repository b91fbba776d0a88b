//! The whole disk: files and directories by inode, and the calls on them.
//!
//! Each changing call takes effect as a pending change first, then counts (that is where a
//! capture is taken), then, if it syncs, makes durable what it covers.

use super::{
    Site,
    directory::Entries,
    fault::{self, Call, Faults, SyncKind, SyncSite},
    file::FileBytes,
    random::Random,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
};

/// What a disk without a bound reports as free.
const ROOMY: u64 = 1 << 40;
const ROOT: u64 = 0;

#[derive(Clone)]
enum Node {
    File(FileBytes),
    Directory(Entries),
}

#[derive(Clone)]
struct Inode {
    node: Node,
    handles: u32,
}

#[derive(Clone)]
pub(super) struct Disk {
    random: Random,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    locks: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    operations: u64,
    capture_at: Option<u64>,
    captured: Option<Box<Self>>,
    pub(super) faults: Faults,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        let root = Inode { node: Node::Directory(Entries::default()), handles: 0 };
        Self {
            random: Random::new(seed),
            inodes: BTreeMap::from([(ROOT, root)]),
            next_inode: ROOT + 1,
            locks: BTreeSet::new(),
            capacity: None,
            operations: 0,
            capture_at: None,
            captured: None,
            faults: Faults::default(),
        }
    }

    pub(super) fn power_cut(&mut self) -> Self {
        // The disk goes on by another stream, so that the next cut decides anew.
        let mut random = Random::new(self.random.next_u64());
        let inodes = self.inodes.iter().map(|(number, inode)| {
            let node = match &inode.node {
                Node::File(file) => Node::File(FileBytes::of(file.after_power_cut(&mut random))),
                Node::Directory(entries) => {
                    Node::Directory(Entries::of(entries.after_power_cut(&mut random)))
                }
            };
            (*number, Inode { node, handles: 0 })
        });
        let inodes = inodes.collect();
        self.restarted(inodes, random)
    }

    pub(super) fn process_kill(&mut self) -> Self {
        let random = Random::new(self.random.next_u64());
        let mut inodes = self.inodes.clone();
        inodes.values_mut().for_each(|inode| inode.handles = 0);
        self.restarted(inodes, random)
    }

    fn restarted(&self, inodes: BTreeMap<u64, Inode>, random: Random) -> Self {
        let mut faults = self.faults.clone();
        faults.restart();
        let mut disk = Self {
            random,
            inodes,
            next_inode: self.next_inode,
            locks: BTreeSet::new(),
            capacity: self.capacity,
            operations: 0,
            capture_at: None,
            captured: None,
            faults,
        };
        let numbers: Vec<u64> = disk.inodes.keys().copied().collect();
        numbers.into_iter().for_each(|number| disk.collect(number));
        disk
    }

    pub(super) const fn operations(&self) -> u64 {
        self.operations
    }

    pub(super) const fn capture_at(&mut self, operation: u64) {
        self.capture_at = Some(operation);
    }

    pub(super) fn take_captured(&mut self) -> Option<Self> {
        self.captured.take().map(|disk| *disk)
    }

    /// Within a changing call: it has begun and nothing of it is durable yet.
    fn count(&mut self) {
        self.operations += 1;
        if self.capture_at == Some(self.operations) {
            self.capture_at = None;
            self.captured = Some(Box::new(self.clone()));
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        let mut number = ROOT;
        for component in path.components() {
            match component {
                Component::Normal(name) => {
                    number = self
                        .entries(number)?
                        .get(&name.to_string_lossy())
                        .ok_or(ErrorKind::NotFound)?;
                }
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => return Err(fault::invalid()),
            }
        }
        Ok(number)
    }

    /// The directory that holds a path, and the path's name in it.
    fn place(&self, path: &Path) -> io::Result<(u64, String)> {
        let name = path.file_name().ok_or_else(fault::invalid)?;
        let parent = self.find(path.parent().unwrap_or_else(|| Path::new("")))?;
        self.entries(parent)?;
        Ok((parent, name.to_string_lossy().into_owned()))
    }

    fn entries(&self, number: u64) -> io::Result<&Entries> {
        match self.inodes.get(&number).map(|inode| &inode.node) {
            Some(Node::Directory(entries)) => Ok(entries),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn entries_mut(&mut self, number: u64) -> io::Result<&mut Entries> {
        match self.inodes.get_mut(&number).map(|inode| &mut inode.node) {
            Some(Node::Directory(entries)) => Ok(entries),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file(&self, number: u64) -> io::Result<&FileBytes> {
        match self.inodes.get(&number).map(|inode| &inode.node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn file_mut(&mut self, number: u64) -> io::Result<&mut FileBytes> {
        match self.inodes.get_mut(&number).map(|inode| &mut inode.node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn add(&mut self, node: Node) -> u64 {
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(number, Inode { node, handles: 0 });
        number
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        match self.find(dir) {
            Ok(number) => return self.entries(number).map(|_| ()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let parent = dir.parent().unwrap_or_else(|| Path::new(""));
        self.create_dir_all(parent)?;
        let (holder, name) = self.place(dir)?;
        let made = self.add(Node::Directory(Entries::default()));
        self.entries_mut(holder)?.link(&name, made);
        self.count();
        Ok(())
    }

    pub(super) fn open(&mut self, path: &Path, create: bool) -> io::Result<u64> {
        let number = match self.find(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && create => {
                let (holder, name) = self.place(path)?;
                let made = self.add(Node::File(FileBytes::default()));
                self.entries_mut(holder)?.link(&name, made);
                self.count();
                made
            }
            found => found?,
        };
        self.file(number)?;
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.handles += 1;
        }
        Ok(number)
    }

    pub(super) fn close(&mut self, number: u64) {
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.handles = inode.handles.saturating_sub(1);
        }
        self.collect(number);
    }

    /// Forgets a file that nothing leads to any more, not even a power cut.
    fn collect(&mut self, number: u64) {
        let open = self.inodes.get(&number).is_none_or(|inode| inode.handles > 0);
        let linked = self.inodes.values().any(|inode| match &inode.node {
            Node::Directory(entries) => entries.may_link(number),
            Node::File(_) => false,
        });
        if !open && !linked && number != ROOT {
            self.inodes.remove(&number);
        }
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        let number = self.find(dir)?;
        let mut names: Vec<String> =
            self.entries(number)?.iter().map(|(name, _)| name.clone()).collect();
        // No file system promises an order.
        for last in (1..names.len()).rev() {
            names.swap(last, self.random.index(last + 1));
        }
        Ok(names)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.find(from)?;
        let (holder, name) = self.place(from)?;
        let (target, new_name) = self.place(to)?;
        if holder != target {
            return Err(fault::invalid());
        }
        self.entries_mut(holder)?.rename(&name, &new_name, inode);
        self.count();
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let number = self.find(path)?;
        self.file(number)?;
        let (holder, name) = self.place(path)?;
        self.entries_mut(holder)?.unlink(&name);
        self.count();
        self.collect(number);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, dir: &Path, site: Site) -> io::Result<()> {
        let number = self.find(dir)?;
        self.entries(number)?;
        self.count();
        let kind = SyncKind::of_directory(dir);
        let site = SyncSite { site, kind, directory: dir.to_owned() };
        let takes_effect = self.faults.takes_effect(site);
        if let Err(error) = self.faults.check(Call::Sync) {
            self.entries_mut(number)?.lose_pending();
            return Err(error);
        }
        if takes_effect {
            self.entries_mut(number)?.sync();
        }
        Ok(())
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<()> {
        let number = self.open(path, true)?;
        self.close(number);
        if self.locks.insert(path.to_owned()) { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }

    pub(super) fn unlock(&mut self, path: &Path) {
        self.locks.remove(path);
    }

    pub(super) fn read_at(
        &mut self,
        number: u64,
        position: u64,
        buf: &mut [u8],
    ) -> io::Result<usize> {
        self.faults.check(Call::Read)?;
        let content = self.file(number)?.content();
        let start = place_in_memory(position)?.min(content.len());
        let read = buf.len().min(content.len() - start);
        buf[..read].copy_from_slice(&content[start..start + read]);
        Ok(read)
    }

    pub(super) fn write_at(&mut self, number: u64, position: u64, buf: &[u8]) -> io::Result<()> {
        self.faults.check(Call::Write)?;
        self.check_room(number, position + buf.len() as u64)?;
        self.file_mut(number)?.write(place_in_memory(position)?, buf);
        self.count();
        Ok(())
    }

    pub(super) fn write_sync_at(
        &mut self,
        number: u64,
        (kind, site): (SyncKind, Site),
        position: u64,
        buf: &[u8],
    ) -> io::Result<()> {
        self.check_room(number, position + buf.len() as u64)?;
        self.file_mut(number)?.write(place_in_memory(position)?, buf);
        self.count();
        let takes_effect = self.faults.takes_effect(SyncSite::of_file(kind, site));
        if let Err(error) = self.faults.check(Call::Sync) {
            self.file_mut(number)?.lose_last();
            return Err(error);
        }
        if takes_effect {
            self.file_mut(number)?.sync_last_write();
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, number: u64, (kind, site): (SyncKind, Site)) -> io::Result<()> {
        self.file(number)?;
        self.count();
        let takes_effect = self.faults.takes_effect(SyncSite::of_file(kind, site));
        if let Err(error) = self.faults.check(Call::Sync) {
            self.file_mut(number)?.lose_pending();
            return Err(error);
        }
        if takes_effect {
            self.file_mut(number)?.sync();
        }
        Ok(())
    }

    pub(super) fn allocate(&mut self, number: u64, bytes: u64) -> io::Result<()> {
        self.check_room(number, bytes)?;
        self.file_mut(number)?.grow(place_in_memory(bytes)?);
        self.count();
        Ok(())
    }

    pub(super) fn truncate(&mut self, number: u64, bytes: u64) -> io::Result<()> {
        self.check_room(number, bytes)?;
        self.file_mut(number)?.cut(place_in_memory(bytes)?);
        self.count();
        Ok(())
    }

    /// Whether a file may be that long.
    fn check_room(&self, number: u64, len: u64) -> io::Result<()> {
        let more = len.saturating_sub(self.file(number)?.content().len() as u64);
        if more > 0 && more > self.free_bytes() { Err(fault::full()) } else { Ok(()) }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity.map_or(ROOMY, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.capacity.unwrap_or(ROOMY)
    }

    pub(super) fn set_free_bytes(&mut self, free: Option<u64>) {
        self.capacity = free.map(|free| self.used_bytes() + free);
    }

    pub(super) fn open_files(&self) -> u64 {
        self.inodes.values().map(|inode| u64::from(inode.handles)).sum()
    }

    /// Removed files count as long as they are open.
    fn used_bytes(&self) -> u64 {
        let linked: BTreeSet<u64> = self
            .inodes
            .values()
            .filter_map(|inode| match &inode.node {
                Node::Directory(entries) => Some(entries.iter().map(|(_, number)| number)),
                Node::File(_) => None,
            })
            .flatten()
            .collect();
        let used = self.inodes.iter().filter_map(|(number, inode)| match &inode.node {
            Node::File(file) if inode.handles > 0 || linked.contains(number) => {
                Some(file.content().len() as u64)
            }
            _ => None,
        });
        used.sum()
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut unseen = vec![(ROOT, PathBuf::from("/"))];
        while let Some((number, path)) = unseen.pop() {
            match self.entries(number) {
                Ok(entries) => {
                    unseen.extend(entries.iter().map(|(name, child)| (child, path.join(name))));
                }
                Err(_) => found.push(path),
            }
        }
        found.sort();
        found
    }

    pub(super) fn set_content(&mut self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let number = match self.find(path) {
            Ok(number) => number,
            Err(_) => {
                let (holder, name) = self.place(path)?;
                let made = self.add(Node::File(FileBytes::default()));
                let entries = self.entries_mut(holder)?;
                entries.link(&name, made);
                entries.sync();
                made
            }
        };
        *self.file_mut(number)? = FileBytes::of(content);
        Ok(())
    }

    pub(super) fn lose(&mut self, path: &Path) -> io::Result<()> {
        let number = self.find(path)?;
        self.file(number)?;
        let (holder, name) = self.place(path)?;
        let entries = self.entries_mut(holder)?;
        entries.unlink(&name);
        entries.sync();
        self.collect(number);
        Ok(())
    }
}

fn place_in_memory(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| fault::invalid())
}
