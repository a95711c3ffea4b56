//! What happens to one file of a data directory.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::frames::content_end;
use crate::world::{Ending, World};

const SECTOR_BYTES: u64 = 512;

/// Paths are relative to the data directory.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    CutTo(u64),
    Flipped { byte: u64, bit: u8 },
    ZeroSector { at: u64 },
    CopiedTo(PathBuf),
    ReplacedBy(PathBuf),
    Deleted,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.file.display(), self.kind)
    }
}

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

impl Damage {
    /// Of half of the cases the log is the victim, of a third the view. Where the end of the log may be
    /// lost, that is mostly tried.
    pub(crate) fn draw(seed: u64, world: &World) -> Damage {
        let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
        if world.ending() == Ending::KilledUnrelayed
            && dice.below(4) > 0
            && let Some(range) = world.uncovered()
        {
            return Damage::of_the_end(&mut dice, world, &range);
        }
        let files = files(world.pristine());
        let folder = *dice.one_of(&["log", "log", "log", "current", "current", ""]);
        // The segment to come holds zeros: seldom.
        let with_next = dice.below(8) == 0;
        let in_folder = |file: &&PathBuf| match folder {
            "" => file.components().count() == 1,
            folder => file.starts_with(folder) && (with_next || !file.ends_with("next.tmp")),
        };
        let victims: Vec<PathBuf> = files.iter().filter(in_folder).cloned().collect();
        let file = dice.one_of(&victims).clone();
        let bytes = fs::read(world.pristine().join(&file)).expect("a file");
        let others: Vec<PathBuf> = victims.into_iter().filter(|it| *it != file).collect();
        let kind = match dice.below(12) {
            0..2 => Kind::CutTo(place(&mut dice, &bytes)),
            2..6 => Kind::Flipped {
                byte: place(&mut dice, &bytes),
                bit: dice.below(8) as u8,
            },
            6..8 => Kind::ZeroSector {
                at: place(&mut dice, &bytes) / SECTOR_BYTES * SECTOR_BYTES,
            },
            8 => Kind::CopiedTo(beside(&mut dice, &file)),
            9 if !others.is_empty() => Kind::ReplacedBy(dice.one_of(&others).clone()),
            _ => Kind::Deleted,
        };
        Damage { file, kind }
    }

    fn of_the_end(dice: &mut Dice, world: &World, range: &Range<u64>) -> Damage {
        let file = world.newest_segment();
        let bytes = fs::read(world.pristine().join(&file)).expect("a file");
        let at = range.start + dice.below(content_end(&bytes) - range.start);
        let kind = match dice.below(3) {
            0 => Kind::CutTo(at),
            1 => Kind::ZeroSector {
                at: at / SECTOR_BYTES * SECTOR_BYTES,
            },
            _ => Kind::Flipped {
                byte: at,
                bit: dice.below(8) as u8,
            },
        };
        Damage { file, kind }
    }

    /// # Panics
    /// When the file system refuses.
    pub(crate) fn strike(&self, data: &Path) {
        let file = data.join(&self.file);
        let open = || {
            let opened = OpenOptions::new().write(true).open(&file);
            opened.expect("the file can be written")
        };
        let done = match &self.kind {
            Kind::CutTo(bytes) => open().set_len(*bytes),
            Kind::Flipped { byte, bit } => {
                let bytes = fs::read(&file).expect("the file can be read");
                match bytes.get(*byte as usize) {
                    Some(value) => open().write_all_at(&[value ^ (1 << bit)], *byte),
                    None => Ok(()), // an empty file
                }
            }
            Kind::ZeroSector { at } => {
                let length = fs::metadata(&file).expect("the file is there").len();
                let zeros = length.saturating_sub(*at).min(SECTOR_BYTES);
                open().write_all_at(&vec![0; zeros as usize], *at)
            }
            Kind::CopiedTo(other) => fs::copy(&file, data.join(other)).map(|_| ()),
            Kind::ReplacedBy(other) => fs::copy(data.join(other), &file).map(|_| ()),
            Kind::Deleted => fs::remove_file(&file),
        };
        done.expect("the damage can be done");
    }

    /// The names of the files that it concerns: the damaged one, and the copy or what it was copied from.
    pub(crate) fn names(&self) -> Vec<String> {
        let other = match &self.kind {
            Kind::CopiedTo(other) | Kind::ReplacedBy(other) => Some(other),
            Kind::CutTo(_) | Kind::Flipped { .. } | Kind::ZeroSector { .. } | Kind::Deleted => None,
        };
        let names = [Some(&self.file), other].into_iter().flatten();
        let names = names.filter_map(|file| file.file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    /// Whether bytes of `range` in the file may be changed by this.
    pub(crate) fn touches(&self, range: &Range<u64>) -> bool {
        match &self.kind {
            Kind::CutTo(bytes) => *bytes < range.end,
            Kind::Flipped { byte, .. } => range.contains(byte),
            Kind::ZeroSector { at } => *at < range.end && at + SECTOR_BYTES > range.start,
            Kind::CopiedTo(_) => false,
            Kind::ReplacedBy(_) | Kind::Deleted => true,
        }
    }

    /// Whether only bytes of `range` are changed by it.
    pub(crate) fn is_within(&self, range: &Range<u64>) -> bool {
        match &self.kind {
            Kind::CutTo(at) | Kind::Flipped { byte: at, .. } | Kind::ZeroSector { at } => {
                *at >= range.start
            }
            Kind::CopiedTo(_) | Kind::ReplacedBy(_) | Kind::Deleted => false,
        }
    }
}

/// Somewhere in a file: mostly in what is written, often at its ends.
fn place(dice: &mut Dice, bytes: &[u8]) -> u64 {
    const HEADER_BYTES: u64 = 4096;
    const TAIL_BYTES: u64 = 6_000;
    let (length, content) = (bytes.len() as u64, content_end(bytes));
    match dice.below(10) {
        0 => dice.below(length),
        1 => dice.below(length.min(HEADER_BYTES)),
        2 => dice.below(length.min(128)),
        3..6 => content.saturating_sub(dice.below(content.min(TAIL_BYTES)) + 1),
        _ => dice.below(content),
    }
}

/// A new name in the same folder; of a segment also one that a segment could have.
fn beside(dice: &mut Dice, file: &Path) -> PathBuf {
    let name = file.file_name().expect("a name").to_string_lossy();
    match name.ends_with(".seg") && dice.below(2) == 0 {
        true => file.with_file_name(format!("{:020}.seg", dice.below(1_000_000))),
        false => file.with_file_name(format!("{name}.copy")),
    }
}

/// Every file below a folder, by its path in it, sorted.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(root).expect("below it").to_owned()),
            }
        }
    }
    found.sort();
    found
}
