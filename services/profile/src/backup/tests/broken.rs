//! What is damaged, incomplete or in the way is refused with advice; what ends half way starts nowhere.

use super::*;
use crate::data_dir::RESTORING;
use crate::file_system::LogFile;

/// A source of several segments and a backup of it.
fn backed_up(seed: u64) -> World {
    let world = World::new(seed);
    let source = world.open(DATA);
    for number in 0..60 {
        source.append(number % 3);
    }
    drop(source);
    world.backup().unwrap();
    world
}

fn names(world: &World, dir: &str) -> Vec<String> {
    world.around.files.list(Path::new(dir)).unwrap()
}

fn file(world: &World, path: &str) -> Arc<dyn LogFile> {
    world.around.files.open(Path::new(path)).unwrap()
}

#[test]
fn a_backup_and_half_a_restore_are_no_data_directories() {
    let world = backed_up(1);
    let error = world.dir(BACKED_UP).unwrap_err();
    assert!(matches!(error, DataDirError::Backup { .. }), "{error}");
    let mark = Path::new(DATA).join(RESTORING);
    world.around.files.create(&mark).unwrap();
    let error = world.dir(DATA).unwrap_err();
    assert!(
        matches!(error, DataDirError::HalfRestored { .. }),
        "{error}"
    );
}

#[test]
fn only_empty_directories_are_written_to() {
    let world = backed_up(2);
    let again = world.backup().unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty { .. }), "{again}");
    let wanted = Restore {
        data: PathBuf::from(DATA),
        ..wanted()
    };
    let error = block_on(restore(&world.around, &wanted, None)).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    assert_eq!(world.open(DATA).all().len(), 60);
}

#[test]
fn a_restore_next_to_a_process_on_the_same_directory_is_refused() {
    let world = backed_up(3);
    make_dirs(&world.disk, Path::new(RESTORED)).unwrap();
    let lock = Path::new(RESTORED).join("LOCK");
    let _held = world.around.files.lock(&lock).unwrap();
    let error = world.restore().unwrap_err();
    assert!(matches!(error, BackupError::Locked { .. }), "{error}");
}

#[test]
fn what_has_no_store_file_is_not_backed_up() {
    let world = World::new(4);
    make_dirs(&world.disk, Path::new(DATA)).unwrap();
    let error = world.backup().unwrap_err();
    assert!(matches!(error, BackupError::NoStore { .. }), "{error}");
    assert!(world.around.files.list(Path::new(BACKED_UP)).is_err());
}

#[test]
fn a_damaged_segment_of_the_source_ends_the_backup() {
    for (segment, offset) in [(0, 100), (0, 5_000), (1, 9_000), (2, 5_000)] {
        let world = backed_up(5);
        for name in names(&world, BACKED_UP) {
            let _ = world.around.files.remove(&Path::new(BACKED_UP).join(name));
        }
        let log = names(&world, "/srv/data/log");
        assert!(log.len() > 3, "{log:?}");
        let path = Path::new("/srv/data/log").join(&log[segment]);
        world.disk.damage(&path, offset, 1);
        let to = Path::new("/srv/other");
        let error = backup(&world.around, Path::new(DATA), to).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("damaged"), "{segment} {offset}: {text}");
        assert!(text.contains(&log[segment]), "{text}");
        let begun = world.around.files.list(to).is_ok();
        let is_refused = || matches!(world.dir("/srv/other"), Err(DataDirError::Backup { .. }));
        assert!(!begun || is_refused());
    }
}

/// In the newest segment too, where a bad frame may also be one that is being written.
#[test]
fn damage_before_a_frame_that_covers_it_is_told_from_a_torn_tail() {
    let world = World::new(6);
    let source = world.open(DATA);
    (0..5).for_each(|number| drop(source.append(number)));
    drop(source);
    let path = Path::new("/srv/data/log/00000000000000000001.seg");
    world.disk.damage(path, 5_000, 1);
    let error = world.backup().unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[test]
fn a_damaged_or_incomplete_backup_is_not_restored() {
    let log = names(&backed_up(7), "/srv/backup/log");
    let last = log.last().unwrap();
    let refused = |world: &World, what: &str| {
        let error = world.restore().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        let started = world.around.files.list(Path::new(RESTORED)).is_ok()
            && !matches!(world.dir(RESTORED), Err(DataDirError::HalfRestored { .. }));
        assert!(!started, "{what}");
    };
    for name in &log {
        let world = backed_up(7);
        let path = Path::new("/srv/backup/log").join(name);
        world.disk.damage(&path, 4_500, 1);
        refused(&world, "damaged");
    }
    let world = backed_up(7);
    let path = Path::new("/srv/backup/log").join(last);
    world.around.files.remove(&path).unwrap();
    refused(&world, "take another backup");

    let world = backed_up(7);
    world.disk.damage(Path::new("/srv/backup/STORE"), 60, 1);
    refused(&world, "checksum");

    let world = backed_up(7);
    let mark = Path::new("/srv/backup/BACKUP");
    world.around.files.remove(mark).unwrap();
    refused(&world, "no file BACKUP");
}

#[test]
fn a_newer_backup_is_refused_by_its_format() {
    let world = backed_up(8);
    let mark = file(&world, "/srv/backup/BACKUP");
    mark.set_len(0).unwrap();
    mark.write_at(br#"{"format":2,"segments":[]}"#, 0).unwrap();
    let error = world.restore().unwrap_err();
    let newer = matches!(error, BackupError::Newer { found: 2, .. });
    assert!(newer, "{error}");
}

/// At every call on the disk the machine goes down: what is left is whole, or refused.
#[test]
fn a_power_cut_leaves_a_whole_restore_or_one_that_does_not_start() {
    let mut refused = 0;
    for calls in 1.. {
        let world = backed_up(calls);
        world.disk.fail_at(calls, Fault::PowerOff);
        let ended = world.restore().is_ok();
        world.disk.power_cut();
        if ended {
            assert_eq!(world.open(RESTORED).all().len(), 60);
            assert!(refused > 10, "{refused}");
            return;
        }
        let is_there = world.around.files.list(Path::new(RESTORED)).is_ok();
        let is_empty = is_there && names(&world, RESTORED).iter().all(|name| name == "LOCK");
        match is_there && !is_empty {
            false => refused += 1,
            true => match world.dir(RESTORED) {
                Err(DataDirError::HalfRestored { .. }) => refused += 1,
                Err(error) => panic!("at call {calls}: {error}"),
                Ok(dir) => {
                    drop(dir);
                    assert_eq!(world.open(RESTORED).all().len(), 60, "at call {calls}");
                }
            },
        }
    }
}

#[test]
fn a_power_cut_leaves_a_whole_backup_or_one_that_is_refused() {
    for calls in 1.. {
        let world = World::new(calls);
        let source = world.open(DATA);
        (0..60).for_each(|number| drop(source.append(number % 3)));
        drop(source);
        world.disk.fail_at(calls, Fault::PowerOff);
        let ended = world.backup().is_ok();
        world.disk.power_cut();
        if is_backup(&world.disk, Path::new(BACKED_UP)).unwrap_or_default() {
            world.restore().unwrap();
            assert_eq!(world.open(RESTORED).all().len(), 60, "at call {calls}");
        } else {
            assert!(!ended, "at call {calls}");
            let error = world.restore().unwrap_err();
            assert!(matches!(error, BackupError::NotABackup { .. }), "{error}");
        }
        assert_eq!(world.open(DATA).all().len(), 60);
        if ended {
            return;
        }
    }
}

#[test]
fn a_full_disk_ends_a_backup_and_its_source_goes_on() {
    let world = World::new(9);
    let source = world.open(DATA);
    (0..60).for_each(|number| drop(source.append(number % 3)));
    world.disk.fail_at(20, Fault::NoSpace);
    let error = world.backup().unwrap_err();
    assert!(matches!(error, BackupError::Log(_)), "{error}");
    world.disk.forget_faults();
    assert_eq!(source.append(1).position, Position(61));
}
