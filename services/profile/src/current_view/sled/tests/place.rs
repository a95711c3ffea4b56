//! Where a view under test has its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{Identity, SledOptions, SledView};
use crate::current_view::tests::History;

/// A directory of its own, gone with the test.
pub(super) struct Place {
    pub(super) root: PathBuf,
}

impl Place {
    pub(super) fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("profile-view-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root).unwrap();
        Place { root }
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.root.join("current")
    }

    /// The files of another place as they are now, as a kill would leave them.
    pub(super) fn copy_of(other: &Place) -> Place {
        let place = Place::new();
        copy_tree(&other.root, &place.root);
        place
    }

    /// Every file below, for a look at its bytes.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let (mut folders, mut files) = (vec![self.root.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        files.sort();
        files
    }

    /// Names of the directories that were set aside.
    pub(super) fn aside(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("aside")).collect()
    }

    pub(super) fn open(&self) -> SledView {
        self.open_as("store", "boot")
    }

    pub(super) fn open_as(&self, store_id: &str, boot_id: &str) -> SledView {
        SledView::open(options(), &self.dir(), identity(store_id, boot_id)).unwrap()
    }
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// The thread never writes by itself: the tests say when.
pub(super) fn options() -> SledOptions {
    SledOptions {
        overlay_bytes_max: 64 * 1024 * 1024,
        write_behind_interval_ms: 3_600_000,
        sled_cache_bytes_max: 8 * 1024 * 1024,
    }
}

pub(super) fn identity(store_id: &str, boot_id: &str) -> Identity {
    Identity {
        store_id: store_id.to_owned(),
        boot_id: Some(boot_id.to_owned()),
    }
}

pub(super) fn history(commits: usize, users: usize) -> History {
    let mut history = History::default();
    for number in 0..commits {
        let name = format!("Name {}", number * 7 % 31);
        let is_removal = number >= users && number % 11 == 0;
        let name = Some(name.as_str()).filter(|_| !is_removal);
        history.next("o1", &format!("u{}", number % users), name);
    }
    history
}
