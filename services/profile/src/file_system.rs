//! The port to files: everything that the log and the store file need of a file system, and no more.
//!
//! [`RealFiles`] is the system's; `SimulatedDisk` (tests) loses power and fails on command.

#[cfg(any(test, feature = "testkit"))]
pub mod simulated;

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// What is free for this process on the file system of `path`, in bytes.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path)?;
    Ok(found
        .blocks_available()
        .saturating_mul(found.fragment_size()))
}

/// Directories and names. A change of names is durable once [`FileSystem::sync_dir`] returned.
pub trait FileSystem: Send + Sync + Debug {
    /// A new directory in an existing one; `AlreadyExists` if there is one. See [`make_dirs`].
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// Names in `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// A new empty file for reading and writing; `AlreadyExists` if there is one.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// An existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>>;

    /// An existing file for reading alone, so that one on a read-only medium opens too.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.open(path)
    }

    /// Within one directory; replaces `to` as one atom.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes all changes of names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether nobody but the owner may list or enter the directory.
    fn is_private(&self, dir: &Path) -> io::Result<bool>;

    /// Makes the file if it is missing and locks it until the guard is dropped; `WouldBlock` when
    /// another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// An open file. Offsets and lengths in bytes.
pub trait LogFile: Send + Sync + Debug {
    /// Fills as much of `buffer` as the file has from `offset` on; returns how much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes`; after an error any part may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and length durable. After an error it is unknown what is, for ever: never retry.
    fn sync(&self) -> io::Result<()>;

    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// Holds a lock while it lives.
pub trait LockGuard: Send + Sync + Debug {}

/// Whether an error says that space ran out, which changes nothing that was written before.
pub fn is_out_of_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Makes the directory and its parents where they are missing, and makes their names durable.
///
/// The names of those found are made durable too: who made them may have died before that. There a
/// parent is passed over that may not be read or cannot be synced, as it is not ours.
pub fn make_dirs(fs: &dyn FileSystem, path: &Path) -> io::Result<()> {
    use io::ErrorKind::{AlreadyExists, InvalidInput, PermissionDenied, Unsupported};
    let Some(parent) = path.parent() else {
        return Ok(()); // the root, or the working directory
    };
    make_dirs(fs, parent)?;
    let is_found = match fs.make_dir(path) {
        Ok(()) => false,
        Err(error) if error.kind() == AlreadyExists => true,
        Err(error) => return Err(error),
    };
    let is_nameless = parent.as_os_str().is_empty();
    let parent = if is_nameless { Path::new(".") } else { parent };
    fs.sync_dir(parent).or_else(|error| {
        let is_foreign = [InvalidInput, PermissionDenied, Unsupported].contains(&error.kind());
        if is_found && is_foreign {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// The whole content of the file at `path`, at most `bytes_max` bytes of it.
pub fn read_whole(fs: &dyn FileSystem, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
    let file = fs.open_to_read(path)?;
    let length = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(bytes_max)];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// The system's files. They hold personal data and a secret: nobody but the owner may read them.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl FileSystem for RealFiles {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(RealFile(File::open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn is_private(&self, dir: &Path) -> io::Result<bool> {
        const GROUP_AND_OTHERS: u32 = 0o077;
        let mode = std::fs::metadata(dir)?.permissions().mode();
        Ok(mode & GROUP_AND_OTHERS == 0)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).mode(0o600);
        let file = options.truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct RealLock {
    /// The lock ends when the descriptor is closed, also by the death of the process.
    _file: File,
}

impl LockGuard for RealLock {}

#[derive(Debug)]
struct RealFile(File);

impl LogFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    /// fdatasync: it covers the length and the blocks, which is all that reading back needs.
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
}
