use super::*;
use crate::file_system::simulated::Seeded;

const HEADER: usize = segment::HEADER_BYTES;

/// Three groups of two in one segment; the end of each.
fn three_groups(disk: &SimulatedDisk) -> (Vec<Arc<Record>>, Vec<usize>) {
    let mut log = Steps::open(disk).unwrap();
    let (mut records, mut ends) = (Vec::new(), Vec::new());
    for round in 0..3 {
        let commits = (0..2).map(|n| commit(&user(10 * round + n), Default::default(), 200));
        records.extend(log.group(commits.collect()).into_iter().flatten());
        ends.push(end_of_frames(disk));
    }
    (records, ends)
}

fn end_of_frames(disk: &SimulatedDisk) -> usize {
    let bytes = crate::file_system::read_whole(disk, &segment_path(1), usize::MAX).unwrap();
    bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count()
}

#[test]
fn a_flipped_bit_that_a_later_frame_covers_is_refused_with_advice() {
    let mut random = Seeded::new(1);
    for _ in 0..400 {
        let disk = SimulatedDisk::new(1);
        let (records, ends) = three_groups(&disk);
        let offset = HEADER + random.below((ends[1] - HEADER) as u64) as usize;
        disk.damage(&segment_path(1), offset, 1 << random.below(8));
        match Steps::open(&disk) {
            Ok(log) => {
                // Only padding may be damaged unseen.
                assert_eq!(log.all().unwrap(), records, "byte {offset}");
                assert!(ends.iter().any(|end| (*end..end + 8).contains(&offset)));
            }
            Err(error) => {
                let text = error.to_string();
                assert!(matches!(error, OpenError::Damaged { .. }), "{text}");
                assert!(text.contains("restore this segment"), "{text}");
            }
        }
    }
}

#[test]
fn a_torn_tail_is_cut() {
    let disk = SimulatedDisk::new(1);
    let (records, ends) = three_groups(&disk);
    disk.damage(&segment_path(1), ends[2] - 100, 1);
    let mut log = Steps::open(&disk).unwrap();
    assert_eq!(log.all().unwrap(), records[..4]);
    assert_eq!(log.append(99, 10).unwrap().position, Position(5));
    assert_eq!(log.all().unwrap().len(), 5);
}

#[test]
fn damage_to_the_last_group_is_seen_once_an_idle_frame_covers_it() {
    let disk = SimulatedDisk::new(1);
    let (_, ends) = three_groups(&disk);
    let mut log = Steps::open(&disk).unwrap();
    log.append(50, 100).unwrap();
    log.writer.write_idle();
    drop(log);
    let active = segment_path(5);
    assert!(disk.open(&active).is_ok() && ends.len() == 3);
    disk.damage(&active, HEADER + 60, 1);
    let error = Steps::open(&disk).map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Damaged {
                position: Position(5),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn damage_in_a_sealed_segment_is_found_when_it_is_read() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    let records: Vec<_> = (0..30).map(|n| log.append(n, 900).unwrap()).collect();
    log.writer.close();
    drop(log);
    disk.damage(&segment_path(1), HEADER + 3000, 1);
    let log = Steps::open(&disk).unwrap();
    let text = log.all().unwrap_err().to_string();
    assert!(text.contains("restore this segment"), "{text}");
    let last = log.writer.reader.read_one(Position(30)).unwrap();
    assert_eq!(last.as_ref(), records.last());
}

/// A log of several segments, cleanly stopped; the first positions of its segments.
fn several_segments(disk: &SimulatedDisk) -> Vec<u64> {
    let mut log = Steps::open(disk).unwrap();
    (0..40).for_each(|n| drop(log.append(n, 900).unwrap()));
    log.writer.close();
    let names = disk.list(&Path::new(DATA).join(LOG)).unwrap();
    let first = |name: &String| name.trim_end_matches(".seg").parse().unwrap();
    let firsts: Vec<u64> = names.iter().map(first).collect();
    assert!(firsts.len() > 3);
    firsts
}

fn assert_refused(disk: &SimulatedDisk, words: &str) {
    let text = Steps::open(disk).map(|_| ()).unwrap_err().to_string();
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_deleted_segment_is_noticed_at_the_start() {
    for which in 0..3 {
        let disk = SimulatedDisk::new(1);
        let firsts = several_segments(&disk);
        disk.remove(&segment_path(firsts[which])).unwrap();
        assert_refused(&disk, "follows a segment that is missing");
    }
}

#[test]
fn a_damaged_segment_header_is_refused_with_advice() {
    for offset in [0, 20, 50, 60, 70, 127] {
        let disk = SimulatedDisk::new(1);
        let firsts = several_segments(&disk);
        disk.damage(&segment_path(firsts[1]), offset, 4);
        assert_refused(&disk, "restore this segment from the backup");
    }
}

#[test]
fn a_segment_of_another_store_is_refused_by_both_names() {
    let (disk, other) = (SimulatedDisk::new(1), SimulatedDisk::new(2));
    several_segments(&disk);
    several_segments(&other);
    let path = segment_path(1);
    let theirs = crate::file_system::read_whole(&other, &path, usize::MAX).unwrap();
    disk.open(&path).unwrap().write_at(&theirs, 0).unwrap();
    let ids = [open_dir(&other), open_dir(&disk)].map(|dir| dir.store_id().to_owned());
    ids.iter().for_each(|id| assert_refused(&disk, id));
}

#[test]
fn a_newer_segment_or_frame_is_refused_by_its_format() {
    let disk = SimulatedDisk::new(1);
    several_segments(&disk);
    disk.damage(&segment_path(1), 8, 1 ^ 9);
    assert_refused(&disk, "has format 9 of a newer release");

    let disk = SimulatedDisk::new(1);
    drop(Steps::open(&disk).unwrap());
    let dir = open_dir(&disk);
    let mut frame = FrameCodec::new(dir.frame_magic()).empty(frame::FrameKind::Idle, Position(0));
    frame[36] = 9;
    let sum = crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[16..]);
    frame[12..16].copy_from_slice(&sum.to_le_bytes());
    let file = disk.open(&segment_path(1)).unwrap();
    file.write_at(&frame, HEADER as u64).unwrap();
    drop(dir);
    assert_refused(&disk, "has format 9 of a newer release");
}

#[test]
fn a_newer_record_is_refused_by_its_format() {
    let disk = SimulatedDisk::new(1);
    let mut log = Steps::open(&disk).unwrap();
    log.append(1, 100).unwrap();
    let file = disk.open(&segment_path(1)).unwrap();
    let whole = crate::file_system::read_whole(&disk, &segment_path(1), usize::MAX).unwrap();
    let mut frame = whole[HEADER..].to_vec();
    drop(log);
    let codec = FrameCodec::new(open_dir(&disk).frame_magic());
    frame.truncate(codec.parse(&frame).unwrap().length);
    frame[frame::HEADER_BYTES + 4] = 9;
    let sum = crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[16..]);
    frame[12..16].copy_from_slice(&sum.to_le_bytes());
    file.write_at(&frame, HEADER as u64).unwrap();
    assert_refused(&disk, "has format 9 of a newer release");
}

#[test]
fn a_file_that_is_no_segment_is_named() {
    let disk = SimulatedDisk::new(1);
    several_segments(&disk);
    disk.create(&Path::new(DATA).join(LOG).join("7.seg"))
        .unwrap();
    assert_refused(&disk, "/data/log/7.seg is no part of a log");
}
