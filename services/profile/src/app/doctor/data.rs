//! The data directory: whether the service could work in it. Nothing is written, so that it may be looked at
//! while the service runs; whether another process holds it, the service itself says when it starts.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use super::Finding;
use crate::config::Config;
use crate::data_dir::store_id_of;
use crate::file_system::{RealFiles, free_bytes};

/// Anybody but the owner.
const OTHERS: u32 = 0o077;
const ROOT: u32 = 0;
/// The log's next segments, and sled beside them: below this there is little time left to act.
const FREE_SEGMENTS_MIN: u64 = 4;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let path = config.data_dir.as_path();
    let place = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return missing(path, config.log.segment_bytes);
        }
        Err(error) => {
            return vec![Finding::error(
                "data-dir",
                format!("{place} cannot be looked at: {error}"),
                "run this as the service's user, and let that user into the folders above it",
            )];
        }
    };
    if !metadata.is_dir() {
        return vec![Finding::error(
            "data-dir",
            format!("{place} is no directory"),
            "name a directory in data_dir",
        )];
    }
    let mut findings = Vec::new();
    if metadata.permissions().mode() & OTHERS != 0 {
        findings.push(Finding::error(
            "data-dir-access",
            format!("others than its owner have access to {place}, which holds personal data"),
            format!("chmod 700 {place}"),
        ));
    }
    findings.extend(owner(path, metadata.uid(), geteuid().as_raw()));
    findings.extend(writable(path));
    findings.extend(space(path, config.log.segment_bytes));
    if let Err(error) = store_id_of(&RealFiles, path) {
        findings.push(Finding::error(
            "data-dir-store",
            error,
            "restore the directory from a backup, or run the release that wrote it",
        ));
    }
    findings
}

/// A data directory that is not there is made at the first start, if its parent is there and may be written.
fn missing(path: &Path, segment_bytes: u64) -> Vec<Finding> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if parent.is_dir() {
        let findings = [writable(parent), space(parent, segment_bytes)];
        return findings.into_iter().flatten().collect();
    }
    vec![Finding::error(
        "data-dir",
        format!(
            "{} is not there, and neither is {}",
            path.display(),
            parent.display()
        ),
        "make its parent directory, or name another in data_dir",
    )]
}

/// `theirs` owns the directory, `own` looks.
fn owner(path: &Path, theirs: u32, own: u32) -> Option<Finding> {
    let place = path.display();
    match own {
        _ if own == theirs => None,
        ROOT => Some(Finding::unchecked(
            "data-dir-owner",
            format!(
                "{place} belongs to user {theirs}, and this runs as root, who may do everything"
            ),
            "run this as the service's user",
        )),
        _ => Some(Finding::error(
            "data-dir-owner",
            format!("{place} belongs to user {theirs}, and this runs as user {own}"),
            format!("run this as the service's user; if that is {own}: chown -R {own} {place}"),
        )),
    }
}

fn writable(path: &Path) -> Option<Finding> {
    let wanted = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    let allowed = access(path, wanted).map_err(io::Error::from);
    allowed.err().map(|error| {
        Finding::error(
            "data-dir-write",
            format!("{} cannot be written: {error}", path.display()),
            "let the service's user write there, and mount the file system for writing",
        )
    })
}

fn space(path: &Path, segment_bytes: u64) -> Option<Finding> {
    match free_bytes(path) {
        Ok(free) => too_little(path, free, segment_bytes),
        Err(error) => Some(Finding::unchecked(
            "data-dir-space",
            format!("the free space at {} was not seen: {error}", path.display()),
            "look at it with df",
        )),
    }
}

fn too_little(path: &Path, free_bytes: u64, segment_bytes: u64) -> Option<Finding> {
    let (free_mib, segment_mib) = (free_bytes >> 20, segment_bytes >> 20);
    let seen = format!(
        "{free_mib} MiB are free at {}, a segment of the log takes {segment_mib}",
        path.display()
    );
    let mend = "make room: without it changes are refused (RESOURCE_EXHAUSTED), reads go on";
    if free_bytes < segment_bytes {
        return Some(Finding::error("data-dir-space", seen, mend));
    }
    let is_little = free_bytes < segment_bytes.saturating_mul(FREE_SEGMENTS_MIN);
    is_little.then(|| Finding::warning("data-dir-space", seen, mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::Severity;

    fn severity(finding: Option<Finding>) -> Option<Severity> {
        finding.map(|finding| finding.severity)
    }

    #[test]
    fn less_than_a_segment_is_an_error_and_less_than_four_a_warning() {
        let found = |free| severity(too_little(Path::new("data"), free, 100));
        assert_eq!(found(99), Some(Severity::Error));
        assert_eq!(found(100), Some(Severity::Warning));
        assert_eq!(found(399), Some(Severity::Warning));
        assert_eq!(found(400), None);
        assert_eq!(severity(space(Path::new("/"), 1)), None);
        assert_eq!(
            severity(space(Path::new("/"), u64::MAX)),
            Some(Severity::Error)
        );
        let nowhere = space(Path::new("/nowhere"), 1);
        assert_eq!(severity(nowhere), Some(Severity::Unchecked));
    }

    #[test]
    fn somebody_elses_directory_is_an_error_and_root_cannot_tell() {
        let found = |theirs, own| severity(owner(Path::new("data"), theirs, own));
        assert_eq!(found(1000, 1000), None);
        assert_eq!(found(1000, 1001), Some(Severity::Error));
        assert_eq!(found(ROOT, 1001), Some(Severity::Error));
        assert_eq!(found(1000, ROOT), Some(Severity::Unchecked));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found() {
        let found = writable(Path::new("/nowhere")).unwrap();
        assert_eq!(
            (found.check, found.severity),
            ("data-dir-write", Severity::Error)
        );
        assert_eq!(writable(&std::env::temp_dir()), None);
    }
}
