//! Where the relay's cursor, and the mark of what is erased, are kept: outlives the relay, fails, tears, and may die in a write.

use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use profile::relay::slots::SlotStore;

use crate::dice::Dice;

#[derive(Debug)]
pub(crate) struct SimSlots(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    dice: Dice,
    healed: bool,
    frozen: bool,
    bytes: Vec<u8>,
    dead: bool,
}

impl SimSlots {
    pub(crate) fn new(dice: Dice) -> SimSlots {
        SimSlots(Mutex::new(Inner {
            dice,
            healed: false,
            frozen: false,
            bytes: Vec::new(),
            dead: false,
        }))
    }

    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().healed = true;
    }

    /// Nothing can be written any more.
    pub(crate) fn freeze(&self) {
        self.0.lock().unwrap().frozen = true;
    }

    /// Whether the relay died in a write since the last look.
    pub(crate) fn died(&self) -> bool {
        std::mem::take(&mut self.0.lock().unwrap().dead)
    }

    /// The file is gone: the relay looks at the whole stream.
    pub(crate) fn lose(&self) {
        self.0.lock().unwrap().bytes.clear();
    }
}

impl Inner {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).unwrap();
        let end = offset + bytes.len();
        let length = self.bytes.len().max(end);
        self.bytes.resize(length, 0);
        self.bytes[offset..end].copy_from_slice(bytes);
    }
}

#[async_trait]
impl SlotStore for SimSlots {
    async fn load(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().bytes.clone())
    }

    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        {
            let mut inner = self.0.lock().unwrap();
            let draw = match (inner.frozen, inner.healed) {
                (true, _) => 0,
                (false, true) => 100,
                (false, false) => inner.dice.below(100),
            };
            match draw {
                0..5 => return Err(io::Error::other("not written")),
                5..8 => {
                    inner.write(offset, &bytes[..bytes.len() / 2]);
                    return Err(io::Error::other("torn"));
                }
                8..12 => {
                    // Before the write, in the middle of it, or after it.
                    let written = bytes.len() * inner.dice.below(3) as usize / 2;
                    inner.write(offset, &bytes[..written]);
                    inner.dead = true;
                }
                _ => {
                    inner.write(offset, &bytes);
                    return Ok(());
                }
            }
        }
        std::future::pending().await
    }
}
