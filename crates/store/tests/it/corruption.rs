//! Stored bytes that change, files that shrink, vanish or go back in time: no wrong byte is ever
//! served, nothing is silently gone, and the rest is served.

use crate::{
    batches::{at, extent_of, split},
    model::{Model, ensure},
    powercut::{DIR, options, step_upkeep},
    subject::{read, weight},
    workload::{COUNT, Workload},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
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
struct Fixture {
    files: SimFiles,
    options: DiskOptions,
    /// After each commit, from none on.
    models: Vec<Model>,
    /// Every batch that any log ever held, by log, base and bytes.
    versions: BTreeSet<(LogId, u64, Bytes)>,
    /// Contents from earlier on.
    old: BTreeMap<PathBuf, Vec<u8>>,
    /// The newest write-ahead file in use, and where its last group starts.
    last_group: (PathBuf, usize),
}

impl Fixture {
    fn new(seed: u64) -> Self {
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
    fn last(&self) -> u64 {
        self.models.len() as u64 - 1
    }

    /// The files of a directory below the data directory, in order of names.
    fn files_in(&self, directory: &str) -> Vec<PathBuf> {
        let directory = Path::new(DIR).join(directory);
        self.files.paths().into_iter().filter(|path| path.parent() == Some(&directory)).collect()
    }

    /// Opens a damaged copy and compares.
    fn judge(&self, harm: impl FnOnce(&SimFiles)) -> Result<Verdict, String> {
        let files = self.files.process_kill();
        harm(&files);
        let judged = catch_unwind(AssertUnwindSafe(|| self.open_and_compare(&files)));
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
        Ok(Verdict::Honest { served: served.right, of, exact: is_exact.then_some(count) })
    }

    /// Each batch is served right, or an error says that it is damaged, or its log's loss is
    /// reported.
    fn honest(&self, store: &DiskStore) -> Result<Served, String> {
        let mut served = Served { right: 0, errors: 0 };
        let damage = store.damage();
        let reported = |log: LogId| {
            damage.iter().any(|damage| damage.log.is_none() || damage.log == Some(log))
        };
        for (id, log) in &self.model().logs {
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

struct Served {
    right: usize,
    errors: usize,
}

/// What became of a damaged directory.
#[derive(Debug)]
enum Verdict {
    /// Not opened, with this reason.
    Refused(String),
    /// Nothing reported: so many commits, exactly.
    Prefix(u64),
    /// Damage is reported or shown by reads.
    Honest { served: usize, of: usize, exact: Option<u64> },
}

fn open(files: &SimFiles, options: &DiskOptions) -> Result<Arc<DiskStore>, Error> {
    DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIR), options.clone())
}

/// The ways to harm one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    FlipBit,
    Cut,
    Zero,
    Remove,
    RollBack,
}

impl Harm {
    const ALL: [Self; 5] = [Self::FlipBit, Self::Cut, Self::Zero, Self::Remove, Self::RollBack];

    /// How often it is tried with one file: as often as it can differ.
    const fn rounds(self) -> u64 {
        match self {
            Self::FlipBit => 12,
            Self::Cut | Self::Zero => 6,
            Self::Remove | Self::RollBack => 1,
        }
    }
}

/// One harm to one file.
#[derive(Debug)]
struct Injury {
    path: PathBuf,
    harm: Harm,
    range: Range<usize>,
    bit: usize,
}

impl Injury {
    fn new(fixture: &Fixture, path: &Path, harm: Harm, random: &mut Random) -> Self {
        let length = fixture.files.content(path).unwrap().len().max(1);
        let place = random.index(length);
        let range = match harm {
            Harm::FlipBit => place..place + 1,
            Harm::Zero => place..place + 1 + random.index(8192),
            Harm::Cut => place..length,
            Harm::Remove | Harm::RollBack => 0..length,
        };
        Self { path: path.to_owned(), harm, range, bit: random.index(8) }
    }

    fn apply(&self, fixture: &Fixture, files: &SimFiles) {
        let path = &self.path;
        let done = match self.harm {
            Harm::FlipBit => files.flip_bit(path, self.range.start * 8 + self.bit),
            Harm::Cut => files.cut_file(path, self.range.start),
            Harm::Zero => files.zero(path, self.range.clone()),
            Harm::Remove => files.lose(path),
            Harm::RollBack => match fixture.old.get(path) {
                Some(old) => files.set_content(path, old.clone()),
                None => Ok(()),
            },
        };
        done.unwrap();
    }
}

const FIXTURES: u64 = 6;

/// Harms each file of a directory in every way, and shows every verdict to `accept`.
fn battery(
    directory: &str,
    select: impl Fn(&Path) -> bool,
    accept: impl Fn(&Fixture, &Injury, &Verdict) -> Result<(), String>,
) {
    let mut wrong = Vec::new();
    let mut harmed = 0;
    for seed in 0..FIXTURES {
        let fixture = Fixture::new(seed);
        let paths = fixture.files_in(directory).into_iter().filter(|path| select(path));
        let each = paths.flat_map(|path| Harm::ALL.map(|harm| (path.clone(), harm)));
        let each = each.flat_map(|(path, harm)| {
            (0..harm.rounds()).map(move |round| (path.clone(), harm, round))
        });
        for (path, harm, round) in each {
            let mut random = Random::new(seed * 1000 + round);
            let injury = Injury::new(&fixture, &path, harm, &mut random);
            let accepted =
                fixture.judge(|files| injury.apply(&fixture, files)).and_then(|verdict| {
                    accept(&fixture, &injury, &verdict)
                        .map_err(|text| format!("{text}: {verdict:?}"))
                });
            harmed += 1;
            if let Err(text) = accepted {
                wrong.push(format!("seed {seed}, {injury:?}: {text}"));
            }
        }
    }
    assert!(harmed > 0, "nothing in `{directory}` to harm");
    let shown = &wrong[..wrong.len().min(12)];
    assert!(wrong.is_empty(), "{} of {harmed}:\n{}", wrong.len(), shown.join("\n"));
}

/// Everything is there; or what is not is reported, and most is served.
fn complete_or_reported(
    fixture: &Fixture,
    injury: &Injury,
    verdict: &Verdict,
) -> Result<(), String> {
    match verdict {
        Verdict::Refused(_) => Err("refused to open".to_owned()),
        Verdict::Prefix(count) => {
            ensure(*count == fixture.last(), || "commits are silently gone".to_owned())
        }
        Verdict::Honest { served, of, .. } => {
            ensure(injury.harm != Harm::FlipBit || served * 3 >= of * 2, || {
                "one bit costs more than a third".to_owned()
            })
        }
    }
}

#[test]
fn harmed_write_ahead_files_give_no_wrong_byte_and_no_silent_loss() {
    battery(
        "wal",
        |_| true,
        |fixture, injury, verdict| {
            let (newest, last_group) = &fixture.last_group;
            let removed = injury.harm == Harm::Remove;
            if injury.path == *newest && injury.range.end > *last_group && !removed {
                // The end of the newest file may look as if it was torn, or never written.
                return match verdict {
                    Verdict::Refused(_) => Err("refused to open".to_owned()),
                    Verdict::Prefix(_) | Verdict::Honest { .. } => Ok(()),
                };
            }
            complete_or_reported(fixture, injury, verdict)
        },
    );
}

#[test]
fn harmed_segments_give_no_wrong_byte_and_no_silent_loss() {
    battery("seg", |_| true, complete_or_reported);
}

#[test]
fn harmed_checkpoint_files_give_no_wrong_state_and_no_silent_loss() {
    battery("ckpt", |_| true, complete_or_reported);
}

#[test]
fn one_harmed_manifest_costs_nothing() {
    for name in ["MANIFEST.a", "MANIFEST.b"] {
        battery(
            "",
            |path| path.ends_with(name),
            |fixture, _, verdict| {
                let is_complete = match verdict {
                    Verdict::Refused(_) => false,
                    Verdict::Prefix(count) => *count == fixture.last(),
                    Verdict::Honest { exact, .. } => *exact == Some(fixture.last()),
                };
                ensure(is_complete, || "one manifest is enough".to_owned())
            },
        );
    }
}

#[test]
fn with_both_manifests_harmed_the_directory_is_refused_with_the_reason() {
    for seed in 0..FIXTURES {
        let fixture = Fixture::new(seed);
        for harm in Harm::ALL {
            let mut random = Random::new(seed);
            let injuries = ["MANIFEST.a", "MANIFEST.b"]
                .map(|name| Injury::new(&fixture, &Path::new(DIR).join(name), harm, &mut random));
            let harm_both =
                |files: &SimFiles| injuries.iter().for_each(|injury| injury.apply(&fixture, files));
            match fixture.judge(harm_both).unwrap() {
                Verdict::Refused(reason) => assert!(reason.contains("manifest"), "{reason}"),
                Verdict::Prefix(count) => assert_eq!(count, fixture.last()),
                Verdict::Honest { .. } => assert_eq!(harm, Harm::RollBack),
            }
        }
    }
}

#[test]
fn a_harmed_format_file_is_refused_with_the_reason() {
    let fixture = Fixture::new(0);
    let format = Path::new(DIR).join("FORMAT");
    let with = |content: &str| {
        fixture.judge(|files| files.set_content(&format, content.into()).unwrap()).unwrap()
    };
    for content in ["", "x", "999999", "-1", "\0\0"] {
        match with(content) {
            Verdict::Refused(reason) => assert!(reason.contains("format"), "{content}: {reason}"),
            verdict => panic!("{content:?}: {verdict:?}"),
        }
    }
    let removed = fixture.judge(|files| files.lose(&format).unwrap()).unwrap();
    assert!(
        matches!(&removed, Verdict::Refused(reason) if reason.contains("FORMAT")),
        "{removed:?}"
    );
}

#[test]
fn an_unharmed_directory_is_complete() {
    for seed in 0..FIXTURES {
        let fixture = Fixture::new(seed);
        let verdict = fixture.judge(|_| {}).unwrap();
        assert!(
            matches!(verdict, Verdict::Prefix(count) if count == fixture.last()),
            "{verdict:?}"
        );
    }
}
