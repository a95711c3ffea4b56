//! What the files of a folder hold, byte for byte: for tests of what must be gone.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The files under `folder` that contain any of `values`.
///
/// # Panics
/// When a file cannot be read; one that goes away meanwhile holds nothing.
pub fn files_with(folder: &Path, values: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in files(folder) {
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => panic!("{}: {error}", file.display()),
        };
        // The search in a string is the fast one, and what is no text changes nothing of what is.
        let text = String::from_utf8_lossy(&bytes);
        if values.iter().any(|value| text.contains(value)) {
            found.push(file);
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<io::Result<Vec<_>>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let mut found = Vec::new();
    for entry in entries.expect("a folder can be listed") {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("{}: {error}", entry.path().display()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temp_dir::TempDir;

    #[test]
    fn a_value_is_found_wherever_it_lies() {
        let folder = TempDir::create();
        fs::create_dir(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/file"), b"\x00\xffvalue\x01").unwrap();
        fs::write(folder.join("other"), b"valu").unwrap();
        let found = files_with(folder.path(), &["none", "value"]);
        assert_eq!(found, [folder.join("deep/file")]);
        assert!(files_with(folder.path(), &["none", "valued"]).is_empty());
    }
}
