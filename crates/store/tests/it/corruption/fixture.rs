//! A directory with everything in it, and the judgement of a harmed copy.

use crate::{
    batches::{at, extent_of, split},
    model::{Model, ModelLog, ensure},
    powercut::{DIR, options, step_upkeep},
    subject::{read, weight},
    workload::{COUNT, Workload},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};
use tramline_store::{
    Commit, DiskOptions, DiskStore, Error, LogStore, Op, Purpose, Reserving,
    fs::{BLOCK, SimFiles, sim::Random},
};
use tramline_types::LogId;

/// A pair that the comparison passes over.
const TOUCHED: &str = "touched";

/// A directory with everything in it, and all that was ever in it.
pub(super) struct Fixture {
    pub(super) files: SimFiles,
    options: DiskOptions,
    /// After each commit, from none on.
    models: Vec<Model>,
    /// Every batch that any log ever held, by log, base and bytes.
    versions: BTreeSet<(LogId, u64, Bytes)>,
    /// Contents from earlier on.
    pub(super) old: BTreeMap<PathBuf, Vec<u8>>,
    /// The newest write-ahead file in use, and where its last group starts.
    pub(super) last_group: (PathBuf, usize),
}

impl Fixture {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let files = SimFiles::new(seed);
        let options = DiskOptions { cache_bytes: 0, ..options(&mut random) };
        let mut fixture = Self {
            files,
            options,
            models: vec![Model::default()],
            versions: BTreeSet::new(),
            old: BTreeMap::new(),
            last_group: Default::default(),
        };
        fixture.fill(&mut random);
        fixture
    }

    fn fill(&mut self, random: &mut Random) {
        let mut workload = Workload::new(self.options.direct_extent_bytes);
        for start in 0..3 {
            let store = open(&self.files, &self.options).unwrap();
            for _ in 0..60 {
                self.commit(&store, &mut workload, random);
                if random.one_in(2) {
                    store.step_commit();
                }
                if random.one_in(4) {
                    step_upkeep(&store);
                }
            }
            while store.step_commit() {}
            self.end(&store, &mut workload);
            step_upkeep(&store);
            if start == 1 {
                for path in self.files.paths() {
                    let content = self.files.content(&path).unwrap();
                    self.old.insert(path, content);
                }
            }
        }
    }

    fn commit(&mut self, store: &DiskStore, workload: &mut Workload, random: &mut Random) {
        let ops = workload.commit(self.models.len() as u64, random);
        self.take(store, workload, ops);
    }

    /// One small commit that is a group of its own.
    fn end(&mut self, store: &DiskStore, workload: &mut Workload) {
        let number = self.models.len() as u64;
        let count = Op::Put(COUNT.into(), number.to_be_bytes().to_vec().into());
        workload.model.apply(&count);
        self.take(store, workload, vec![count]);
        let content = |path: &PathBuf| self.files.content(path).unwrap_or_default();
        let before: Vec<_> =
            self.files_in("wal").iter().map(|path| (path.clone(), content(path))).collect();
        store.step_commit();
        // A used file may hold older frames behind the last group: only what changes tells.
        let changed = self.files_in("wal").into_iter().find_map(|path| {
            let old = before.iter().find(|(known, _)| *known == path).map(|(_, old)| &old[..]);
            let now = content(&path);
            let differs = |at: &usize| old.unwrap_or_default().get(*at) != now.get(*at);
            let at = (0..now.len()).skip(BLOCK).find(differs)?;
            Some((path, at / BLOCK * BLOCK))
        });
        self.last_group = changed.unwrap();
    }

    fn take(&mut self, store: &DiskStore, workload: &mut Workload, ops: Vec<Op>) {
        for _ in 0..50 {
            match store.reserve(Purpose::Publish, weight(&ops), ops.len()) {
                Reserving::Ready(reservation) => {
                    store.submit(
                        Commit { ops: ops.into(), on_durable: Box::new(|| {}) },
                        reservation,
                    );
                    for (id, log) in &workload.model.logs {
                        let batches = log.batches.iter();
                        self.versions
                            .extend(batches.map(|(base, (_, bytes))| (*id, *base, bytes.clone())));
                    }
                    self.models.push(workload.model.clone());
                    return;
                }
                Reserving::Wait(_) => {
                    store.step_commit();
                    step_upkeep(store);
                }
                Reserving::Refused(_) => break,
            }
        }
        workload.undo();
    }

    fn model(&self) -> &Model {
        self.models.last().unwrap()
    }

    /// How many commits there are.
    pub(super) fn last(&self) -> u64 {
        self.models.len() as u64 - 1
    }

    /// The files of a directory below the data directory, in order of names.
    pub(super) fn files_in(&self, directory: &str) -> Vec<PathBuf> {
        let directory = Path::new(DIR).join(directory);
        self.files.paths().into_iter().filter(|path| path.parent() == Some(&directory)).collect()
    }

    /// Opens a damaged copy and compares.
    pub(super) fn judge(&self, harm: impl FnOnce(&SimFiles)) -> Result<Verdict, String> {
        self.judge_after_cut(u64::MAX, harm)
    }

    /// The same where the power goes at this call of the first start.
    pub(super) fn judge_after_cut(
        &self,
        call: u64,
        harm: impl FnOnce(&SimFiles),
    ) -> Result<Verdict, String> {
        let files = self.files.process_kill();
        harm(&files);
        let judged = catch_unwind(AssertUnwindSafe(|| {
            if call < u64::MAX {
                files.capture_at(call);
                drop(open(&files, &self.options));
            }
            let cut = files.captured().map(|files| files.power_cut());
            self.open_and_compare(cut.as_ref().unwrap_or(&files))
        }));
        judged.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            Err(format!("panicked: {text}"))
        })
    }

    fn open_and_compare(&self, files: &SimFiles) -> Result<Verdict, String> {
        let store = match open(files, &self.options) {
            Ok(store) => store,
            Err(Error::Directory(reason)) => return Ok(Verdict::Refused(reason)),
            Err(error) => return Err(format!("open: {error}")),
        };
        let first = self.compare(&store)?;
        // Retirement and another start make nothing worse and hide nothing.
        for _ in 0..8 {
            Self::touch(&store)?;
            step_upkeep(&store);
        }
        drop(store);
        let store = open(files, &self.options).map_err(|error| format!("second start: {error}"))?;
        self.compare(&store).map_err(|wrong| format!("second start: {wrong}"))?;
        Ok(first)
    }

    /// Commits something that changes nothing compared here.
    fn touch(store: &DiskStore) -> Result<(), String> {
        let ops = vec![Op::Put(TOUCHED.into(), vec![7; 20_000].into())];
        for _ in 0..50 {
            if let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, weight(&ops), 1) {
                let on_durable = Box::new(|| {});
                store.submit(Commit { ops: ops.into(), on_durable }, reservation);
                store.step_commit();
                return Ok(());
            }
            step_upkeep(store);
        }
        Err("there is no room for upkeep".to_owned())
    }

    fn compare(&self, store: &DiskStore) -> Result<Verdict, String> {
        let count = store.get(COUNT).map_or(0, |bytes| {
            u64::from_be_bytes(bytes[..].try_into().expect("written as eight bytes"))
        });
        let damage = store.damage();
        let mut random = Random::new(count);
        let expected = &self.models[usize::try_from(count).unwrap()];
        let exact = expected.check_served(store, &mut random, TOUCHED);
        if exact.is_ok() && damage.is_empty() {
            return Ok(Verdict::Prefix(count));
        }
        let served = self.honest(store)?;
        let is_exact = exact.is_ok();
        if let Err(difference) = exact {
            ensure(!damage.is_empty() || served.errors > 0, || {
                format!("commit {count}, silently: {difference}")
            })?;
        }
        let of = served.right + served.errors;
        let exact = is_exact.then_some(count);
        Ok(Verdict::Honest { served: served.right, of, exact, shortened: served.shortened })
    }

    /// Each batch is served right, or an error says that it is damaged, or its log's loss is
    /// reported.
    fn honest(&self, store: &DiskStore) -> Result<Served, String> {
        let mut served = Served { right: 0, errors: 0, shortened: None };
        let damage = store.damage();
        let reported = |log: LogId| {
            damage.iter().any(|damage| damage.log.is_none() || damage.log == Some(log))
        };
        for (id, log) in &self.model().logs {
            passes_nothing(store, *id, log)?;
            if store.ends(*id).is_ok_and(|ends| ends.next.get() < log.next) {
                served.shortened = Some(*id);
            }
            for (base, (next, _)) in &log.batches {
                let from = (*base).max(log.start);
                match read(store, *id, at(from), 1) {
                    Ok(batches) if batches.pieces.is_empty() => {
                        let ends = store.ends(*id).map_err(|error| error.to_string())?;
                        ensure(reported(*id) || log.may_be_dropped(*base, *next), || {
                            format!("{id}: {from} is silently gone, ends {ends:?}")
                        })?;
                        served.errors += 1;
                    }
                    Ok(batches) => {
                        let bytes = batches.pieces.concat();
                        self.right(*id, from, log.may_be_dropped(*base, *next), &bytes)?;
                        served.right += 1;
                    }
                    Err(Error::Damaged { .. }) => served.errors += 1,
                    Err(error @ (Error::UnknownLog(_) | Error::BelowStart { .. })) => {
                        ensure(reported(*id), || format!("{id}: {from}: silently: {error}"))?;
                        served.errors += 1;
                    }
                    Err(error) => return Err(format!("{id}: {from}: {error}")),
                }
            }
        }
        Ok(served)
    }

    /// These bytes were stored there, at some time, and nothing was passed over.
    fn right(&self, log: LogId, from: u64, may_pass: bool, bytes: &[u8]) -> Result<(), String> {
        for batch in split(bytes) {
            let (base, offsets) = extent_of(batch);
            let version = (log, base, Bytes::copy_from_slice(batch));
            ensure(self.versions.contains(&version), || {
                format!("{log}: wrong bytes at {base} of {offsets}")
            })?;
            ensure(may_pass || (base <= from && from < base + offsets), || {
                format!("{log}: a read from {from} gave {base} of {offsets}")
            })?;
        }
        Ok(())
    }
}

/// No large read goes past a batch without a word.
fn passes_nothing(store: &DiskStore, id: LogId, log: &ModelLog) -> Result<(), String> {
    for from in log.batches.keys().map(|base| (*base).max(log.start)) {
        let Ok(batches) = read(store, id, at(from), 1 << 20) else { continue };
        let mut position = from;
        for batch in split(&batches.pieces.concat()) {
            let (base, offsets) = extent_of(batch);
            let mut passed = log.batches.range(position..base.max(position));
            let silent = passed.find(|(base, (next, _))| !log.may_be_dropped(**base, *next));
            ensure(silent.is_none(), || format!("{id}: from {from} past {silent:?}"))?;
            position = base + offsets;
        }
    }
    Ok(())
}

struct Served {
    right: usize,
    errors: usize,
    /// A log whose next offset was given out before.
    shortened: Option<LogId>,
}

/// What became of a damaged directory.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Not opened, with this reason.
    Refused(String),
    /// Nothing reported: so many commits, exactly.
    Prefix(u64),
    /// Damage is reported or shown by reads.
    Honest { served: usize, of: usize, exact: Option<u64>, shortened: Option<LogId> },
}

fn open(files: &SimFiles, options: &DiskOptions) -> Result<Arc<DiskStore>, Error> {
    DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIR), options.clone())
}
