//! A folder for one test, removed with everything in it when dropped.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

/// A fresh, empty folder under the system's folder for temporary files.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// # Panics
    /// When the folder cannot be made.
    pub fn create() -> Self {
        // The process id alone does not do: a container starts again from the same small numbers.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("profile-test-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Self { path },
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("no folder for a test at {}: {error}", path.display()),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in here; nothing is created.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A failed removal must not hide why a test failed.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_folder_is_gone_with_its_contents() {
        let folder = TempDir::create();
        let path = folder.path().to_owned();
        fs::create_dir(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn two_folders_are_never_the_same() {
        let (one, other) = (TempDir::create(), TempDir::create());
        assert_ne!(one.path(), other.path());
    }
}
