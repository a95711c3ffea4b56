//! Where the files of this repository are.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
}

/// The file at `path` below the root, with forward slashes.
pub fn file(path: &str) -> PathBuf {
    root().join(path)
}
