use super::*;
use crate::clock::SystemClock;
use crate::file_system::simulated::SimulatedDisk;

const PATH: &str = "/data";

fn open(disk: &SimulatedDisk) -> Result<DataDir, DataDirError> {
    let clock = Arc::new(SystemClock::default());
    DataDir::open(Arc::new(disk.clone()), Path::new(PATH), clock)
}

fn write(disk: &SimulatedDisk, name: &str, bytes: &[u8]) {
    disk.make_dir(Path::new(PATH)).unwrap();
    let file = disk.create(&Path::new(PATH).join(name)).unwrap();
    file.write_at(bytes, 0).unwrap();
}

#[test]
fn a_store_keeps_its_id_epoch_and_secret_over_a_power_cut() {
    let disk = SimulatedDisk::new(1);
    let first = open(&disk).unwrap();
    let hash = first.keyed_hash(&[b"a", b"bc"]);
    disk.power_cut();
    let second = open(&disk).unwrap();
    assert_eq!(second.store_id(), first.store_id());
    assert_eq!((second.epoch(), second.store_id().len()), (1, 32));
    assert_eq!(second.secret(), first.secret());
    assert_eq!(second.frame_magic(), first.frame_magic());
    assert_eq!(second.keyed_hash(&[b"a", b"bc"]), hash);
    assert_ne!(second.keyed_hash(&[b"ab", b"c"]), hash);
}

#[test]
fn a_power_cut_takes_no_directory_from_under_a_store() {
    for seed in 0..100 {
        let disk = SimulatedDisk::new(seed);
        let path = Path::new("/srv/profile/data");
        let open = || {
            let clock = Arc::new(SystemClock::default());
            DataDir::open(Arc::new(disk.clone()), path, clock)
        };
        // A process before this one came to its end anywhere while it made the directories.
        disk.fail_at(
            1 + seed % 12,
            crate::file_system::simulated::Fault::PowerOff,
        );
        let _ = open();
        disk.kill_process();
        let made = open().unwrap();
        disk.power_cut();
        assert_eq!(open().unwrap().store_id(), made.store_id(), "seed {seed}");
    }
}

#[test]
fn two_stores_differ_in_id_and_secret() {
    let (one, two) = (SimulatedDisk::new(1), SimulatedDisk::new(1));
    let (one, two) = (open(&one).unwrap(), open(&two).unwrap());
    assert_ne!(one.store_id(), two.store_id());
    assert_ne!(one.secret(), two.secret());
}

#[test]
fn a_power_cut_while_the_store_is_made_leaves_a_directory_that_opens() {
    for seed in 0..300 {
        let disk = SimulatedDisk::new(seed);
        disk.fail_at(
            1 + seed % 12,
            crate::file_system::simulated::Fault::PowerOff,
        );
        let _ = open(&disk);
        disk.power_cut();
        open(&disk).unwrap();
    }
}

#[test]
fn a_second_open_is_refused_while_the_first_lives() {
    let disk = SimulatedDisk::new(1);
    let first = open(&disk).unwrap();
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains("another process holds /data/LOCK"), "{text}");
    drop(first);
    open(&disk).unwrap();
}

#[test]
fn real_files_are_locked_too() {
    let path = std::env::temp_dir().join(SystemClock::default().random_id());
    let open = || {
        let clock = Arc::new(SystemClock::default());
        DataDir::open(Arc::new(crate::file_system::RealFiles), &path, clock)
    };
    let first = open().unwrap();
    let refused = matches!(open(), Err(DataDirError::Locked { .. }));
    drop(first);
    let again = open().is_ok();
    std::fs::remove_dir_all(&path).unwrap();
    assert!(refused && again);
}

#[test]
fn a_directory_open_to_others_is_named_with_the_remedy() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(SystemClock::default().random_id());
    let files = crate::file_system::RealFiles;
    make_dirs(&files, &path).unwrap();
    assert_eq!(exposed(&files, &path), None, "our own are private");
    for mode in [0o755, 0o750, 0o701] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let advice = exposed(&files, &path).unwrap();
        let remedy = format!("run `chmod 700 {}`", path.display());
        assert!(advice.ends_with(&remedy), "{advice}");
    }
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn a_foreign_directory_is_refused_and_left_as_it_was() {
    let disk = SimulatedDisk::new(1);
    write(&disk, "letter.txt", b"x");
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains("letter.txt") && text.contains("name an empty or new one"));
    assert_eq!(disk.list(Path::new(PATH)).unwrap(), ["letter.txt"]);
}

#[test]
fn a_newer_store_is_refused_by_name() {
    let disk = SimulatedDisk::new(1);
    write(&disk, STORE, b"PROFSTOR\x02\0\0\0 anything may follow");
    let text = open(&disk).unwrap_err().to_string();
    assert!(
        text.contains("has format 2, this release knows up to 1"),
        "{text}"
    );
}

#[test]
fn any_damaged_byte_of_the_store_file_is_refused_with_advice() {
    for offset in 0..store_file::BYTES {
        let disk = SimulatedDisk::new(1);
        drop(open(&disk).unwrap());
        disk.damage(&Path::new(PATH).join(STORE), offset, 0x10);
        let error = open(&disk).unwrap_err();
        let in_format = (8..12).contains(&offset);
        let newer = matches!(error, DataDirError::Newer { .. });
        let text = error.to_string();
        assert!(
            newer == in_format || text.contains("restore this file"),
            "{text}"
        );
    }
}

#[test]
fn the_secret_is_not_in_the_debug_text() {
    let dir = open(&SimulatedDisk::new(1)).unwrap();
    let text = format!("{dir:?}");
    assert!(text.contains(dir.store_id()) && !text.contains("secret"));
}
