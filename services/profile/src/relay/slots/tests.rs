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

async fn load(slots: &Arc<SlotMemory>) -> Result<Slots, SlotError> {
    Slots::load(slots.clone(), Kind::Cursor, "s-1").await
}

async fn written(slots: &Arc<SlotMemory>) -> Option<Position> {
    let written = load(slots).await.unwrap().written();
    written.map(|marks| marks.position)
}

fn at(position: u64) -> Marks {
    Marks {
        position: Position(position),
        second: position,
    }
}

#[tokio::test]
async fn the_newer_slot_counts() {
    let slots = Arc::new(SlotMemory::default());
    assert_eq!(written(&slots).await, None);
    // A position may also go down: the counter tells which slot is newer.
    for position in [7, 9, 8, 30] {
        let mut found = load(&slots).await.unwrap();
        found.write(at(position)).await.unwrap();
        assert_eq!(written(&slots).await, Some(Position(position)));
    }
}

#[tokio::test]
async fn a_torn_slot_falls_back_to_the_other() {
    let slots = Arc::new(SlotMemory::default());
    let mut found = load(&slots).await.unwrap();
    found.write(at(7)).await.unwrap();
    found.write(at(9)).await.unwrap();
    let whole = slots.0.lock().unwrap().clone();
    for byte in 4096..4096 + SLOT_BYTES {
        slots.0.lock().unwrap()[byte] ^= 1;
        assert_eq!(written(&slots).await, Some(Position(7)), "byte {byte}");
        slots.0.lock().unwrap().clone_from(&whole);
    }
    slots.0.lock().unwrap().truncate(4096 + 40);
    let mut found = load(&slots).await.unwrap();
    assert_eq!(found.written(), Some(at(7)));
    // The good slot is not the one that is written next.
    found.write(at(10)).await.unwrap();
    slots.0.lock().unwrap()[4096] ^= 1;
    assert_eq!(written(&slots).await, Some(Position(7)));
    slots.0.lock().unwrap()[0] ^= 1;
    assert_eq!(written(&slots).await, None);
}

#[tokio::test]
async fn another_stores_slots_and_newer_ones_are_refused() {
    let slots = Arc::new(SlotMemory::default());
    let mut found = load(&slots).await.unwrap();
    found.write(at(7)).await.unwrap();
    let foreign = Slots::load(slots.clone(), Kind::Cursor, "s-2").await;
    let error = foreign.unwrap_err();
    assert!(error.to_string().contains("s-1"), "{error}");
    {
        let mut bytes = slots.0.lock().unwrap();
        bytes[6] = 2;
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..SLOT_BYTES].copy_from_slice(&checksum.to_le_bytes());
    }
    let (kind, format) = (Kind::Cursor, 2);
    assert_eq!(
        load(&slots).await.unwrap_err(),
        SlotError::Newer { kind, format }
    );
}

#[tokio::test]
async fn a_file_of_another_kind_says_nothing() {
    let slots = Arc::new(SlotMemory::default());
    let mut found = load(&slots).await.unwrap();
    found.write(at(7)).await.unwrap();
    let other = Slots::load(slots, Kind::Erased, "s-1").await.unwrap();
    assert_eq!(other.written(), None);
}
