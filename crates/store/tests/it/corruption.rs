//! Stored bytes that change, files that shrink, vanish or go back in time: no wrong byte is ever
//! served, nothing is silently gone, and the rest is served.

mod ends;
mod fixture;

use crate::{model::ensure, powercut::DIR};
use fixture::{Fixture, Verdict};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};
use tramline_store::fs::{SimFiles, sim::Random};

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
        Verdict::Honest { served, of, shortened, .. } => {
            // A bit of a segment's footer costs the segment.
            let part =
                if injury.path.extension().is_some_and(|kind| kind == "seg") { 4 } else { 2 };
            ensure(injury.harm != Harm::FlipBit || served * part >= *of, || {
                format!("one bit costs more than one of {part} parts")
            })?;
            ensure(shortened.is_none(), || "offsets would be given out again".to_owned())
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
fn a_power_cut_while_harm_is_recorded_hides_nothing() {
    let mut wrong = Vec::new();
    for seed in 0..FIXTURES {
        let fixture = Fixture::new(seed);
        for (call, path) in (1..25).zip(fixture.files_in("wal").into_iter().cycle()) {
            let mut random = Random::new(seed * 1000 + call);
            let injury = Injury::new(&fixture, &path, Harm::FlipBit, &mut random);
            if injury.path == fixture.last_group.0 {
                continue;
            }
            let judged = fixture.judge_after_cut(call, |files| injury.apply(&fixture, files));
            let accepted =
                judged.and_then(|verdict| complete_or_reported(&fixture, &injury, &verdict));
            if let Err(text) = accepted {
                wrong.push(format!("seed {seed}, cut at {call}, {injury:?}: {text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
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
