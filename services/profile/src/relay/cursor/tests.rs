use std::sync::Mutex;

use super::*;

/// Slots in memory, which outlive a crash of the relay.
#[derive(Debug, Default)]
pub(crate) struct SlotMemory(pub(crate) Mutex<Vec<u8>>);

#[async_trait]
impl SlotStore for SlotMemory {
    async fn load(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let mut stored = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let end = offset + bytes.len();
        let length = stored.len().max(end);
        stored.resize(length, 0);
        stored[offset..end].copy_from_slice(&bytes);
        Ok(())
    }
}

async fn load(slots: &Arc<SlotMemory>) -> Result<Cursor, CursorError> {
    Cursor::load(slots.clone(), "s-1").await
}

async fn written(slots: &Arc<SlotMemory>) -> Option<Position> {
    load(slots).await.unwrap().written()
}

#[tokio::test]
async fn the_newer_slot_counts() {
    let slots = Arc::new(SlotMemory::default());
    assert_eq!(written(&slots).await, None);
    // A position may also go down: the counter tells which slot is newer.
    for position in [7, 9, 8, 30] {
        let mut cursor = load(&slots).await.unwrap();
        cursor.write(Position(position)).await.unwrap();
        assert_eq!(written(&slots).await, Some(Position(position)));
    }
}

#[tokio::test]
async fn a_torn_slot_falls_back_to_the_other() {
    let slots = Arc::new(SlotMemory::default());
    let mut cursor = load(&slots).await.unwrap();
    cursor.write(Position(7)).await.unwrap();
    cursor.write(Position(9)).await.unwrap();
    let whole = slots.0.lock().unwrap().clone();
    for byte in 4096..4096 + SLOT_BYTES {
        slots.0.lock().unwrap()[byte] ^= 1;
        assert_eq!(written(&slots).await, Some(Position(7)), "byte {byte}");
        slots.0.lock().unwrap().clone_from(&whole);
    }
    slots.0.lock().unwrap().truncate(4096 + 40);
    let mut cursor = load(&slots).await.unwrap();
    assert_eq!(cursor.written(), Some(Position(7)));
    // The good slot is not the one that is written next.
    cursor.write(Position(10)).await.unwrap();
    slots.0.lock().unwrap()[4096] ^= 1;
    assert_eq!(written(&slots).await, Some(Position(7)));
    slots.0.lock().unwrap()[0] ^= 1;
    assert_eq!(written(&slots).await, None);
}

#[tokio::test]
async fn another_stores_cursor_and_a_newer_one_are_refused() {
    let slots = Arc::new(SlotMemory::default());
    let mut cursor = load(&slots).await.unwrap();
    cursor.write(Position(7)).await.unwrap();
    let error = Cursor::load(slots.clone(), "s-2").await.unwrap_err();
    assert!(error.to_string().contains("s-1"), "{error}");
    {
        let mut bytes = slots.0.lock().unwrap();
        bytes[6] = 2;
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..SLOT_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
    assert_eq!(load(&slots).await.unwrap_err(), CursorError::Newer(2));
}

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
        let (acked, receiver) = watch::channel(None);
        let (ended, end) = oneshot::channel();
        let follow = tokio::spawn(cursor.follow(receiver, end));
        acked.send_replace(Some(Position(position)));
        drop(ended);
        follow.await.unwrap();
        let cursor = Cursor::load(file.clone(), "s-1").await.unwrap();
        assert_eq!(cursor.written(), Some(Position(position)));
    }
    std::fs::remove_dir_all(directory).unwrap();
}
