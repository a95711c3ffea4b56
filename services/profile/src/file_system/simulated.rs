//! A disk in memory that loses power, fails and fills up on command, the same way for the same seed.
//!
//! A power cut keeps an arbitrary subset of what no sync covered: of writes at the grain of a sector
//! (so torn writes too), of changes of length, and of creations (of directories too), renames and
//! removals; what lies in a directory whose own name is lost is lost with it. A sector is an atom: it is
//! old or new, never a mixture. After a failed sync the changes it should have covered are never certain
//! again, whatever later syncs return.

mod inode;
mod state;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{FileSystem, LockGuard, LogFile};
use state::{NameChange, State};

pub const SECTOR_BYTES: usize = 512;

/// A reproducible source of choices.
#[derive(Debug)]
pub struct Seeded(ChaCha8Rng);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A number in `0..bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    pub fn one_of<T: Copy + Default, const N: usize>(&mut self, choices: [T; N]) -> T {
        let at = self.below(N as u64) as usize;
        choices.get(at).copied().unwrap_or_default()
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What goes wrong at a chosen call. Only calls that change something count, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and does nothing.
    Error,
    /// A write fails half way; any other call fails.
    ShortWrite,
    /// The call fails with "no space".
    NoSpace,
    /// The call and all after it fail, as for a process that is no more: follow with `power_cut`.
    PowerOff,
}

/// Syncs that return 0 and do nothing: for tests that must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    FileSyncs,
    DirSyncs,
}

#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

impl SimulatedDisk {
    pub fn new(seed: u64) -> SimulatedDisk {
        let state = State::new(Seeded::new(seed));
        SimulatedDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// `fault` happens at the `calls_ahead`-th changing call from now (1 = the next).
    pub fn fail_at(&self, calls_ahead: u64, fault: Fault) {
        let mut state = self.state();
        let at = state.calls + calls_ahead;
        state.faults.push((at, fault));
    }

    pub fn forget_faults(&self) {
        self.state().faults.clear();
    }

    /// Changing calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How often the power was cut so far.
    pub fn power_cuts(&self) -> u64 {
        self.state().power_cuts
    }

    /// Bound of the sum of all file lengths; `None` for a disk without end.
    pub fn set_capacity(&self, bytes_max: Option<u64>) {
        self.state().capacity_bytes = bytes_max;
    }

    pub fn lie(&self, lie: Lie) {
        self.state().lies.push(lie);
    }

    /// The machine goes down and up: a seeded part of what was not synced is lost, locks are free, and
    /// every handle from before is dead.
    pub fn power_cut(&self) {
        self.state().power_cut();
    }

    /// The process dies and the machine stays: nothing is lost, locks are free, old handles are dead.
    pub fn kill_process(&self) {
        self.state().kill_process();
    }

    /// Flips the bits of `mask` in one byte of a file, durably.
    pub fn damage(&self, path: &Path, offset: usize, mask: u8) {
        self.state().damage(path, offset, mask);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, inode: usize, generation: u64) -> Arc<dyn LogFile> {
        Arc::new(SimulatedFile {
            disk: self.clone(),
            inode,
            generation,
        })
    }
}

impl FileSystem for SimulatedDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.make_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.alive()?;
        if !state.names.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        let paths = state.names.files.keys().filter(inside);
        let paths = paths.chain(state.names.dirs.iter().filter(inside));
        let mut names: Vec<String> = paths
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state();
        state.change()?;
        if state.names.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.create(path)?;
        Ok(self.handle(inode, state.generation))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let state = self.state();
        state.alive()?;
        let inode = *state.names.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(inode, state.generation))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        let inode = *state.names.files.get(from).ok_or(io::ErrorKind::NotFound)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        state.rename(NameChange::Rename { from, to, inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        if !state.names.files.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Unlink {
            path: path.to_owned(),
        });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.sync_dir(dir);
        Ok(())
    }

    fn is_private(&self, dir: &Path) -> io::Result<bool> {
        let state = self.state();
        state.alive()?;
        Ok(state.names.dirs.contains(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut state = self.state();
        state.change()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !state.names.files.contains_key(path) {
            state.create(path)?;
        }
        Ok(Box::new(SimulatedLock {
            disk: self.clone(),
            path: path.to_owned(),
            generation: state.generation,
        }))
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
    generation: u64,
}

impl LockGuard for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
    generation: u64,
}

impl SimulatedFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.alive()?;
        if state.generation == self.generation {
            Ok(state)
        } else {
            Err(io::Error::other("a handle from before the power cut"))
        }
    }
}

impl LogFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        let content = &state.inode(self.inode)?.content;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = content.get(start..).unwrap_or_default();
        let length = bytes.len().min(buffer.len());
        let (to, from) = (buffer.get_mut(..length), bytes.get(..length));
        to.unwrap_or_default()
            .copy_from_slice(from.unwrap_or_default());
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.state()?.write(self.inode, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.state()?.sync(self.inode)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.state()?;
        Ok(state.inode(self.inode)?.content.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.state()?.set_len(self.inode, bytes)
    }
}
