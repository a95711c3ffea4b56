use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::*;
use crate::relay::slots::SlotFile;
use crate::relay::slots::tests::SlotMemory;

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

/// Fails once.
#[derive(Debug, Default)]
struct FailingSlots {
    memory: SlotMemory,
    has_failed: AtomicBool,
}

#[async_trait]
impl SlotStore for FailingSlots {
    async fn load(&self) -> io::Result<Vec<u8>> {
        self.memory.load().await
    }

    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other("bad disk"));
        }
        self.memory.store(offset, bytes).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_is_tried_again_without_another_ack() {
    let slots = Arc::new(FailingSlots::default());
    let cursor = Cursor::load(slots, "s-1").await.unwrap();
    let mut on_disk = cursor.watch_written();
    let (acked, receiver) = watch::channel(None);
    let (_ended, end) = oneshot::channel();
    let follow = tokio::spawn(cursor.follow(receiver, end));
    acked.send_replace(Some(Position(3)));
    let written = on_disk.wait_for(|written| written.is_some());
    let waited = tokio::time::timeout(Duration::from_secs(60), written).await;
    assert!(waited.is_ok());
    follow.abort();
}
