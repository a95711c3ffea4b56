//! The shim between the service and the C library (`tests/shim/disk.c`), and its environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use profile_tests::repository;
use profile_tests::service::Service;
use profile_tests::temp_dir::TempDir;

/// What a full disk refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// It says that nothing is free and still takes what comes: just before it is full.
    Nearly,
    /// What makes a file longer: an ordinary file system.
    Growth,
    /// Every write and every new name: one that copies on write, or a quota.
    Everything,
}

/// Whether the model of what a power cut would leave runs with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    MayFail,
    Stays,
}

/// A bad disk for one life of one service.
#[derive(Debug)]
pub(crate) struct BadDisk {
    root: PathBuf,
    side: TempDir,
    control: TempDir,
    rules: String,
    seed: u64,
    power: Power,
}

impl BadDisk {
    /// `rules` as `tests/shim/disk.c` has them.
    pub(crate) fn new(service: &Service, rules: &str, seed: u64, power: Power) -> BadDisk {
        let control = TempDir::create();
        // Every life under a disk that may lose power is a boot of its own.
        fs::write(control.join("boot_id"), format!("boot-{seed}\n")).expect("a folder of our own");
        BadDisk {
            root: service
                .folder()
                .canonicalize()
                .expect("the folder is there"),
            side: TempDir::create(),
            control,
            rules: rules.to_owned(),
            seed,
            power,
        }
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut environment = vec![
            ("LD_PRELOAD", text(&LIBRARY.1)),
            ("DISK_ROOT", text(&self.root)),
            ("DISK_RULES", self.rules.clone()),
            ("DISK_SEED", self.seed.to_string()),
            ("DISK_CONTROL", text(self.control.path())),
            // Lives are short: some of them compact.
            ("PROFILE__COMPACTION__INTERVAL_S", "1".to_owned()),
        ];
        if self.power == Power::MayFail {
            environment.push(("DISK_SIDE", text(self.side.path())));
            environment.push(("DISK_BOOT_ID", text(&self.control.join("boot_id"))));
        }
        environment
    }

    /// From now on rules with an `@` count.
    pub(crate) fn arm(&self) {
        fs::write(self.control.join("armed"), "").expect("a folder of our own");
    }

    pub(crate) fn fill(&self, full: Full) {
        let content = match full {
            Full::Nearly => "s",
            Full::Growth => "g",
            Full::Everything => "e",
        };
        // As one atom: the shim reads it at any time.
        let (new, name) = (self.control.join("full.new"), self.control.join("full"));
        fs::write(&new, content).expect("a folder of our own");
        fs::rename(new, name).expect("a folder of our own");
    }

    pub(crate) fn free(&self) {
        fs::remove_file(self.control.join("full")).expect("it was full");
    }
}

/// Compiled once, into a folder that lives as long as the tests.
static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = TempDir::create();
    let library = folder.join("disk.so");
    let source = repository::file("tests/shim/disk.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]);
    compiler.arg("-Wno-format-truncation");
    compiler
        .arg("-o")
        .arg(&library)
        .arg(&source)
        .arg("-lpthread");
    let output = compiler.output().unwrap_or_else(|error| {
        panic!(
            "no C compiler ({error}): these tests compile {}. Advice: install `cc` (gcc or clang)",
            source.display()
        )
    });
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{} is not compiled: {words}",
        source.display()
    );
    (folder, library)
});
