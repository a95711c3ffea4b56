//! One file of the simulated disk: the content as processes see it, the durable content, and the
//! changes between them that no sync covered yet.

use super::{SECTOR_BYTES, Seeded};

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    durable: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    what: What,
    /// A sync that should have covered it failed: no later one does.
    abandoned: bool,
}

#[derive(Debug)]
pub(super) enum What {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Inode {
    pub(super) fn change(&mut self, what: What) {
        what.apply(&mut self.content);
        self.changes.push(Change {
            what,
            abandoned: false,
        });
    }

    pub(super) fn sync(&mut self) {
        let durable = &mut self.durable;
        self.changes.retain(|change| {
            if !change.abandoned {
                change.what.apply(durable);
            }
            change.abandoned
        });
    }

    pub(super) fn abandon(&mut self) {
        for change in &mut self.changes {
            change.abandoned = true;
        }
    }

    pub(super) fn power_cut(&mut self, random: &mut Seeded) {
        let chance = random.one_of([0, 30, 70, 100]);
        let mut length = self.durable.len();
        for change in std::mem::take(&mut self.changes) {
            if random.percent(chance) {
                length = change.what.length_after(length);
            }
            match change.what {
                What::Length(_) => {}
                What::Write { offset, bytes } => {
                    for (at, sector) in sectors(offset, &bytes) {
                        if random.percent(chance) {
                            write(&mut self.durable, at, sector);
                        }
                    }
                }
            }
        }
        self.durable.resize(length, 0);
        self.content.clone_from(&self.durable);
    }

    pub(super) fn damage(&mut self, offset: usize, mask: u8) {
        for content in [&mut self.content, &mut self.durable] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= mask;
            }
        }
    }
}

/// The pieces of a write that fall into one sector each, with their offsets.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let starts = (0..).map(move |at| offset + first + at * SECTOR_BYTES);
    std::iter::once((offset, head)).chain(starts.zip(rest.chunks(SECTOR_BYTES)))
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

impl What {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            What::Write { offset, bytes } => write(content, *offset, bytes),
            What::Length(length) => content.resize(*length, 0),
        }
    }

    fn length_after(&self, length: usize) -> usize {
        match self {
            What::Write { offset, bytes } => length.max(offset + bytes.len()),
            What::Length(length) => *length,
        }
    }
}
