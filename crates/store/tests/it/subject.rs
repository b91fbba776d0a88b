//! A back-end under test: the same behaviours are asked of every one.

use crate::powercut::step_upkeep;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    io::Write,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};
use tramline_store::{
    Batches, Commit, DiskOptions, DiskStore, Error, LogStore, MemoryStore, Op, Purpose, Reading,
    RecoveredState,
    fs::{RealFiles, SimFiles},
};
use tramline_types::{LogId, Offset};

/// A back-end under test.
pub(crate) trait Subject {
    fn store(&self) -> Arc<dyn LogStore>;
    /// Makes everything submitted durable.
    fn settle(&mut self);
    /// Ends in good order and starts again.
    fn reopen(&mut self);
}

pub(crate) struct Memory(Arc<MemoryStore>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(MemoryStore::stepped()))
    }
}

impl Subject for Memory {
    fn store(&self) -> Arc<dyn LogStore> {
        self.0.clone()
    }

    fn settle(&mut self) {
        self.0.step_all();
    }

    fn reopen(&mut self) {
        self.settle();
        self.0 = Arc::new(self.0.reopen());
    }
}

/// The memory back-end with its own committer, answering reads late.
pub(crate) struct MemoryThreaded(Arc<MemoryStore>);

impl MemoryThreaded {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        store.set_cold(true);
        Self(Arc::new(store))
    }
}

impl Subject for MemoryThreaded {
    fn store(&self) -> Arc<dyn LogStore> {
        self.0.clone()
    }

    fn settle(&mut self) {
        settle_by_waiting(&*self.0);
    }

    fn reopen(&mut self) {
        block_on(self.0.close());
        self.0 = Arc::new(self.0.reopen().start());
        self.0.set_cold(true);
    }
}

/// The disk back-end on a simulated disk, stepped.
pub(crate) struct Disk {
    files: SimFiles,
    options: DiskOptions,
    store: Arc<DiskStore>,
    retires: bool,
}

impl Disk {
    /// With a cache that holds everything, and nothing retired.
    pub(crate) fn new() -> Self {
        let options = DiskOptions { wal_file_bytes: 1024 * 1024, ..DiskOptions::default() };
        Self::with(options, false)
    }

    /// Without a cache, and everything retired as soon as possible.
    pub(crate) fn retiring() -> Self {
        let options = DiskOptions {
            wal_file_bytes: 1024 * 1024,
            wal_retire_bytes: 0,
            cache_bytes: 0,
            index_bytes: 0,
            ..DiskOptions::default()
        };
        Self::with(options, true)
    }

    fn with(options: DiskOptions, retires: bool) -> Self {
        let files = SimFiles::new(1);
        let store = Self::open(&files, &options);
        Self { files, options, store, retires }
    }

    fn open(files: &SimFiles, options: &DiskOptions) -> Arc<DiskStore> {
        let files = Arc::new(files.clone());
        DiskStore::open_stepped(files, Path::new("/data"), options.clone()).unwrap()
    }
}

impl Subject for Disk {
    fn store(&self) -> Arc<dyn LogStore> {
        self.store.clone()
    }

    fn settle(&mut self) {
        while self.store.step_commit() {}
        if self.retires {
            step_upkeep(&self.store);
            self.store.step_retire(true);
        }
    }

    fn reopen(&mut self) {
        block_on(self.store.close());
        self.store = Self::open(&self.files, &self.options);
    }
}

/// As in a real process, but the reason is seen: no output of a test survives an abort.
pub(crate) fn die(reason: &str) {
    let _ = writeln!(std::io::stderr().lock(), "the store failed: {reason}");
    std::process::abort();
}

/// The disk back-end on the machine's disk, with its threads.
pub(crate) struct RealDisk {
    store: Arc<DiskStore>,
    /// Goes after the store's threads.
    dir: tempfile::TempDir,
}

impl RealDisk {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = Self::open(dir.path());
        Self { store, dir }
    }

    fn open(dir: &Path) -> Arc<DiskStore> {
        let options = DiskOptions {
            wal_file_bytes: 1024 * 1024,
            wal_retire_bytes: 2 * 1024 * 1024,
            headroom_bytes: 1024 * 1024,
            cache_bytes: 1024 * 1024,
            on_failure: Arc::new(die),
            ..DiskOptions::default()
        };
        DiskStore::open(Arc::new(RealFiles), dir, options).unwrap()
    }
}

impl Subject for RealDisk {
    fn store(&self) -> Arc<dyn LogStore> {
        self.store.clone()
    }

    fn settle(&mut self) {
        settle_by_waiting(&*self.store);
    }

    fn reopen(&mut self) {
        block_on(self.store.close());
        self.store = Self::open(self.dir.path());
    }
}

/// Submits an empty commit and waits for it: everything before it is durable then.
pub(crate) fn settle_by_waiting(store: &dyn LogStore) {
    let (done, ended) = std::sync::mpsc::channel();
    let reservation = block_on(store.reserve(Purpose::Upkeep, 0, 0).wait()).unwrap();
    let on_durable = Box::new(move || done.send(()).unwrap());
    store.submit(Commit { ops: [].into_iter().collect(), on_durable }, reservation);
    ended.recv().unwrap();
}

/// What a commit needs set aside.
pub(crate) fn weight(ops: &[Op]) -> usize {
    let bytes = ops.iter().map(|op| match op {
        Op::Append(append) => append.batch.len(),
        Op::Replace(_, _, appends) => appends.iter().map(|append| append.batch.len()).sum(),
        Op::Delta(_, bytes) | Op::Checkpoint(_, bytes) => bytes.len(),
        Op::Put(key, value) => key.len() + value.len(),
        Op::Remove(key) => key.len(),
        _ => 0,
    });
    bytes.sum()
}

/// Submits without waiting. The list gets the number when it is durable.
pub(crate) fn submit(store: &dyn LogStore, ops: Vec<Op>, number: u64, done: &Arc<Mutex<Vec<u64>>>) {
    let reserving = store.reserve(Purpose::Publish, weight(&ops), ops.len());
    let reservation = block_on(reserving.wait()).unwrap();
    let done = Arc::clone(done);
    let on_durable = Box::new(move || done.lock().push(number));
    store.submit(Commit { ops: ops.into(), on_durable }, reservation);
}

/// Commits and makes it durable.
pub(crate) fn commit(subject: &mut dyn Subject, ops: Vec<Op>) {
    let done = Arc::default();
    submit(&*subject.store(), ops, 1, &done);
    subject.settle();
    assert_eq!(*done.lock(), [1], "the completion was called once");
}

pub(crate) fn read(
    store: &dyn LogStore,
    log: LogId,
    from: Offset,
    bytes_max: usize,
) -> Result<Batches, Error> {
    match store.read(log, from, bytes_max) {
        Reading::Ready(result) => result,
        Reading::Pending(future) => block_on(future),
    }
}

/// Everything from an offset, by reads of this size.
pub(crate) fn read_all(
    store: &dyn LogStore,
    log: LogId,
    from: Offset,
    bytes_max: usize,
) -> Result<Vec<u8>, Error> {
    let mut from = from;
    let mut all = Vec::new();
    let end = store.ends(log)?.next;
    while from < end {
        let batches = read(store, log, from, bytes_max)?;
        if batches.pieces.is_empty() {
            break;
        }
        assert!(batches.next > from, "a read of `{log}` at {from} makes progress");
        from = batches.next;
        batches.pieces.iter().for_each(|piece| all.extend_from_slice(piece));
    }
    Ok(all)
}

/// Everything that a reader can see of a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) logs: Vec<(LogId, Offset, Offset, Vec<u8>)>,
    pub(crate) pairs: Vec<(Bytes, Bytes)>,
}

pub(crate) fn see(store: &dyn LogStore) -> Sight {
    let mut ids = store.logs();
    ids.sort();
    let logs = ids.into_iter().map(|log| {
        let ends = store.ends(log).unwrap();
        (log, ends.start, ends.next, read_all(store, log, ends.start, 100_000).unwrap())
    });
    Sight { logs: logs.collect(), pairs: store.scan(b"") }
}

/// A restart changes nothing that a reader sees.
pub(crate) fn assert_survives_reopen(subject: &mut dyn Subject) {
    let before = see(&*subject.store());
    subject.reopen();
    let after = see(&*subject.store());
    assert!(before == after, "before {before:?}\nafter {after:?}");
}

pub(crate) fn take_state(subject: &dyn Subject, log: LogId) -> (Option<Bytes>, Vec<Bytes>) {
    let RecoveredState { checkpoint, deltas } = subject.store().take_state(log).unwrap();
    (checkpoint, deltas)
}

/// Waits for a future on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
