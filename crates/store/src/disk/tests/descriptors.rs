//! Who keeps segments open: a bounded number, and none that is removed; and what a reader finds
//! that opens one just when it goes.

use super::*;
use crate::fs::{OpenMode, SimFiles, Site};
use std::io;

const DIR: &str = "/data";
const ROOMY: u64 = 1 << 30;

fn open_on(files: &SimFiles, options: DiskOptions) -> Arc<DiskStore> {
    DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIR), options).unwrap()
}

#[test]
fn the_space_of_a_heavy_log_comes_back_when_all_of_it_is_trimmed() {
    let files = SimFiles::new(1);
    let store = open_on(&files, direct());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    heavy(&store, LOG, 0, 20);
    files.set_free_bytes(Some(ROOMY));
    commit(&store, [Op::Trim(LOG, offset(20))]);
    // The last group may point to it; the one behind it does not.
    commit(&store, [Op::Put("k".into(), "v".into())]);
    assert!(store.step_retire(false));
    assert_eq!(store.stats().segment_bytes, 0);
    let free = files.free_bytes(Path::new(DIR)).unwrap();
    assert!(free >= ROOMY + 400_000, "{} bytes came back", free - ROOMY);
}

#[test]
fn full_segments_and_those_of_logs_that_are_not_heavy_any_more_are_closed() {
    let files = SimFiles::new(1);
    let store = open_on(&files, direct());
    let logs = (0..100).map(LogId).collect::<Vec<_>>();
    commit(&store, logs.iter().map(|log| Op::Create(*log, Offset::ZERO)));
    let before = files.open_files();
    for round in 0..30 {
        heavy(&store, logs[0], round * 20, 20);
    }
    let full = files.open_files() - before;
    assert!(store.stats().segment_bytes > 10_000_000, "{:?}", store.stats());
    assert!(full < 4, "{full} files are open for one log");
    for log in &logs[1..] {
        heavy(&store, *log, 0, 5);
    }
    let many = files.open_files() - before;
    assert!((50..80).contains(&many), "{many} files are open for {} logs", logs.len());
    assert_eq!(bases(&read_all(&store, logs[0], 0)).len(), 600);
}

/// A file system on which something happens just before the next segment is opened for reading.
struct Meanwhile {
    files: SimFiles,
    happens: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Files for Meanwhile {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.files.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn crate::fs::File>> {
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let happens =
            if is_segment && mode == OpenMode::Read { self.happens.lock().take() } else { None };
        if let Some(happens) = happens {
            happens();
        }
        self.files.open(path, mode)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.remove(path)
    }

    fn sync_dir_from(&self, dir: &Path, site: Site) -> io::Result<()> {
        self.files.sync_dir_from(dir, site)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.files.free_bytes(dir)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.files.total_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.files.lock(path)
    }
}

#[test]
fn a_reader_that_meets_a_segment_just_as_compaction_drops_it_reads_what_took_its_place() {
    let files = Arc::new(Meanwhile { files: SimFiles::new(1), happens: Mutex::default() });
    let open = || DiskStore::open_stepped(files.clone(), Path::new(DIR), small()).unwrap();
    let store = open();
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    for base in 0..60 {
        commit(&store, [append(LOG, base, 1, batch(1, 10_000, 1))]);
    }
    assert!(store.step_retire(true));
    wait(store.close());
    drop(store);
    let store = open();
    let Op::Append(latest) = append(LOG, 19, 1, batch(1, 100, 2)) else { unreachable!() };
    let other = Arc::clone(&store);
    *files.happens.lock() = Some(Box::new(move || {
        let next = other.ends(LOG).unwrap().next;
        commit(&other, [Op::Replace(LOG, offset(0)..next, vec![latest])]);
        commit(&other, [Op::Put("k".into(), "v".into())]);
        assert!(other.step_retire(false), "the segment is removed");
    }));
    let read = read(&store, LOG, 0, 1 << 20).unwrap();
    assert!(files.happens.lock().is_none(), "the segment was opened");
    assert_eq!((read.next, read.pieces.len()), (offset(20), 1));
    assert_eq!(store.damage(), []);
}

#[test]
fn full_segments_that_are_dead_are_written_again_unless_somebody_reads_them() {
    let files = SimFiles::new(1);
    let store = open_on(&files, direct());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    for round in 0..20 {
        heavy(&store, LOG, round * 20, 20);
    }
    let names = || {
        let paths = files.paths().into_iter();
        paths.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect::<Vec<_>>()
    };
    let full = names();
    assert!(full.len() > segments::SPARES_MAX, "{full:?}");
    let first = full[0].file_name().and_then(|name| name.to_str());
    let first = segments::id_of(first.unwrap(), ".seg").unwrap();
    let held = store.inner.segments.get(first).unwrap().unwrap();
    let content = |segment: &segments::Segment| {
        let mut buf = crate::fs::AlignedBuf::zeroed(1 << 16);
        segment.file.read_at(0, &mut buf).unwrap();
        buf.as_slice().to_vec()
    };
    let before = content(&held);

    commit(&store, [Op::Trim(LOG, offset(400))]);
    commit(&store, [Op::Put("k".into(), "v".into())]);
    assert!(store.step_retire(false));
    let kept = names();
    assert_eq!(kept.len(), segments::SPARES_MAX, "{kept:?}");
    assert!(!kept.contains(&full[0]), "it is read from");
    for round in 20..30 {
        heavy(&store, LOG, round * 20, 20);
    }
    let again = names();
    assert!(kept.iter().all(|name| !again.contains(name)), "{again:?} are not {kept:?}");
    let hot = read_all(&store, LOG, 400);
    assert_eq!(bases(&hot), (400..600).collect::<Vec<_>>());
    assert!(content(&held) == before, "what somebody reads was written again");
    drop(held);

    wait(store.close());
    drop(store);
    let store = open_on(&files, direct());
    assert_eq!(read_all(&store, LOG, 400), hot);
    commit(&store, [Op::Put("k".into(), "v".into())]);
    assert!(store.step_retire(true), "they are sealed");
    assert_eq!(read_all(&store, LOG, 400), hot);
    assert_eq!(store.damage(), []);
}

#[test]
fn dead_segments_are_not_kept_where_space_is_short() {
    let files = SimFiles::new(1);
    let store = open_on(&files, direct());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    for round in 0..20 {
        heavy(&store, LOG, round * 20, 20);
    }
    commit(&store, [Op::Trim(LOG, offset(400))]);
    commit(&store, [Op::Put("k".into(), "v".into())]);
    assert!(store.step_retire(false));
    assert!(store.stats().segment_bytes > 2_000_000, "{:?}", store.stats());
    files.set_free_bytes(Some(40 << 20));
    assert!(store.step_retire(false));
    assert_eq!(store.stats().segment_bytes, 0);
    assert!(files.free_bytes(Path::new(DIR)).unwrap() > 42 << 20);
}
