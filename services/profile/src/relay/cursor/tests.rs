use super::*;
use crate::relay::slots::SlotFile;

/// `UPDATE_GOLDEN=1` writes it anew: only for a format that was never released.
#[tokio::test]
async fn the_cursor_of_format_1_is_read_and_its_bytes_are_those_of_the_format() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/data-format-1/relay");
    // The store of the checked-in data directory.
    let store_id = format!("{:032x}", 3);
    let written = Arc::new(SlotMemory::default());
    for position in [2, 3] {
        let mut cursor = Cursor::load(written.clone(), &store_id).await.unwrap();
        cursor.write(Position(position)).await.unwrap();
    }
    let written = written.0.lock().unwrap().clone();
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(golden, &written).unwrap();
    }
    let stored = std::fs::read(golden).unwrap();
    assert!(stored == written);
    let stored = Arc::new(SlotMemory(Mutex::new(stored)));
    let cursor = Cursor::load(stored, &store_id).await.unwrap();
    assert_eq!(cursor.written(), Some(Position(3)));
}

#[tokio::test]
async fn the_file_is_read_back_by_the_next_process() {
    let id = crate::clock::Clock::random_id(&crate::clock::SystemClock::default());
    let directory = std::env::temp_dir().join(format!("profile-relay-{id}"));
    std::fs::create_dir(&directory).unwrap();
    let file = Arc::new(SlotFile::new(directory.join("relay")));
    for position in [3, 5, 4] {
        let cursor = Cursor::load(file.clone(), "s-1").await.unwrap();
        let on_disk = cursor.watch_written();
        let (acked, receiver) = watch::channel(None);
        let (ended, end) = oneshot::channel();
        let follow = tokio::spawn(cursor.follow(receiver, end));
        acked.send_replace(Some(Position(position)));
        drop(ended);
        follow.await.unwrap();
        assert_eq!(*on_disk.borrow(), Some(Position(position)));
        let cursor = Cursor::load(file.clone(), "s-1").await.unwrap();
        assert_eq!(cursor.written(), Some(Position(position)));
    }
    std::fs::remove_dir_all(directory).unwrap();
}
