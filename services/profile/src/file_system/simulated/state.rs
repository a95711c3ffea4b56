//! What the simulated disk holds: the names, as processes see them and as a power cut would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::inode::{Inode, What};
use super::{Fault, Lie, Seeded};

#[derive(Debug)]
pub(super) struct State {
    random: Seeded,
    inodes: Vec<Inode>,
    pub(super) names: Names,
    durable_names: Names,
    name_changes: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) generation: u64,
    pub(super) calls: u64,
    pub(super) power_cuts: u64,
    pub(super) faults: Vec<(u64, Fault)>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) lies: Vec<Lie>,
    off: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) files: BTreeMap<PathBuf, usize>,
    pub(super) dirs: BTreeSet<PathBuf>,
}

impl Default for Names {
    /// The root is always there.
    fn default() -> Names {
        Names {
            files: BTreeMap::new(),
            dirs: BTreeSet::from(["/".into()]),
        }
    }
}

impl Names {
    /// Nothing is reached through a directory that has no name.
    fn forget_unreachable(&mut self) {
        let Names { files, dirs } = self;
        let all = dirs.clone();
        dirs.retain(|dir| dir.ancestors().all(|elder| all.contains(elder)));
        files.retain(|path, _| path.parent().is_some_and(|parent| dirs.contains(parent)));
    }
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    MakeDir {
        path: PathBuf,
    },
    Link {
        path: PathBuf,
        inode: usize,
    },
    Unlink {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: usize,
    },
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            NameChange::MakeDir { path }
            | NameChange::Link { path, .. }
            | NameChange::Unlink { path } => path,
            NameChange::Rename { to, .. } => to,
        }
    }

    fn apply(&self, names: &mut Names) {
        let files = &mut names.files;
        match self {
            NameChange::MakeDir { path } => {
                names.dirs.insert(path.clone());
            }
            NameChange::Link { path, inode } => {
                files.insert(path.clone(), *inode);
            }
            NameChange::Unlink { path } => {
                files.remove(path);
            }
            NameChange::Rename { from, to, inode } => {
                files.remove(from);
                files.insert(to.clone(), *inode);
            }
        }
    }
}

impl State {
    pub(super) fn new(random: Seeded) -> State {
        State {
            random,
            inodes: Vec::new(),
            names: Names::default(),
            durable_names: Names::default(),
            name_changes: Vec::new(),
            locks: BTreeSet::new(),
            generation: 0,
            calls: 0,
            power_cuts: 0,
            faults: Vec::new(),
            capacity_bytes: None,
            lies: Vec::new(),
            off: false,
        }
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    /// Counts a changing call and fails it if that was planned.
    pub(super) fn change(&mut self) -> io::Result<()> {
        self.next_fault()?
            .map_or(Ok(()), |fault| Err(error_of(fault)))
    }

    fn next_fault(&mut self) -> io::Result<Option<Fault>> {
        self.alive()?;
        self.calls += 1;
        let fault = self.faults.iter().find(|(at, _)| *at == self.calls);
        let fault = fault.map(|(_, fault)| *fault);
        self.off = fault == Some(Fault::PowerOff);
        Ok(fault)
    }

    pub(super) fn inode(&mut self, inode: usize) -> io::Result<&mut Inode> {
        let found = self.inodes.get_mut(inode);
        found.ok_or(io::ErrorKind::NotFound.into())
    }

    pub(super) fn make_dir(&mut self, path: &Path) -> io::Result<()> {
        if self.names.dirs.contains(path) || self.names.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.require_parent(path)?;
        let path = path.to_owned();
        self.rename(NameChange::MakeDir { path });
        Ok(())
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent();
        match parent.filter(|parent| self.names.dirs.contains(*parent)) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<usize> {
        self.require_parent(path)?;
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        let path = path.to_owned();
        self.rename(NameChange::Link { path, inode });
        Ok(inode)
    }

    pub(super) fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) {
        if self.lies.contains(&Lie::DirSyncs) {
            return;
        }
        let durable = &mut self.durable_names;
        self.name_changes.retain(|change| {
            let covered = change.path().parent() == Some(dir);
            if covered {
                change.apply(durable);
            }
            !covered
        });
    }

    pub(super) fn write(&mut self, inode: usize, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fault = self.next_fault()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let grown = (offset + bytes.len()).saturating_sub(self.inode(inode)?.content.len());
        let taken = match fault {
            None => self.room_for(grown).map(|()| bytes),
            // What an interrupted write did is found, or not, after the power cut.
            Some(Fault::PowerOff) => Ok(bytes),
            Some(Fault::ShortWrite) => Ok(bytes.get(..bytes.len() / 2).unwrap_or_default()),
            Some(fault @ (Fault::Error | Fault::NoSpace)) => Err(error_of(fault)),
        }?;
        self.inode(inode)?.change(What::Write {
            offset,
            bytes: taken.to_vec(),
        });
        fault.map_or(Ok(()), |fault| Err(error_of(fault)))
    }

    pub(super) fn set_len(&mut self, inode: usize, bytes: u64) -> io::Result<()> {
        self.change()?;
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        let grown = length.saturating_sub(self.inode(inode)?.content.len());
        self.room_for(grown)?;
        self.inode(inode)?.change(What::Length(length));
        Ok(())
    }

    pub(super) fn sync(&mut self, inode: usize) -> io::Result<()> {
        let fault = self.next_fault()?;
        let lying = self.lies.contains(&Lie::FileSyncs);
        let file = self.inode(inode)?;
        if let Some(fault) = fault {
            file.abandon();
            return Err(error_of(fault));
        }
        if !lying {
            file.sync();
        }
        Ok(())
    }

    fn room_for(&self, grown: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes.filter(|_| grown > 0) else {
            return Ok(());
        };
        let files = self
            .names
            .files
            .values()
            .filter_map(|at| self.inodes.get(*at));
        let used: usize = files.map(|file| file.content.len()).sum();
        if (used + grown) as u64 > capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) fn power_cut(&mut self) {
        self.power_cuts += 1;
        let chance = self.random.one_of([0, 50, 90, 100]);
        for change in std::mem::take(&mut self.name_changes) {
            if self.random.percent(chance) {
                change.apply(&mut self.durable_names);
            }
        }
        self.durable_names.forget_unreachable();
        self.names = self.durable_names.clone();
        for file in &mut self.inodes {
            file.power_cut(&mut self.random);
        }
        self.kill_process();
    }

    pub(super) fn kill_process(&mut self) {
        self.locks.clear();
        self.faults.clear();
        self.generation += 1;
        self.off = false;
    }

    pub(super) fn damage(&mut self, path: &Path, offset: usize, mask: u8) {
        let at = self.names.files.get(path).copied();
        if let Some(file) = at.and_then(|at| self.inodes.get_mut(at)) {
            file.damage(offset, mask);
        }
    }
}

fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::Error | Fault::ShortWrite => io::Error::other("injected error"),
        Fault::NoSpace => io::ErrorKind::StorageFull.into(),
        Fault::PowerOff => io::Error::other("the power is off"),
    }
}
