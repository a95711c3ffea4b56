use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::*;
use crate::relay::slots::tests::SlotMemory;

#[derive(Debug, Default)]
struct FailingSlots {
    memory: SlotMemory,
    fails: AtomicBool,
}

#[async_trait]
impl SlotStore for FailingSlots {
    async fn load(&self) -> io::Result<Vec<u8>> {
        self.memory.load().await
    }

    async fn store(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(io::Error::other("bad disk"));
        }
        self.memory.store(offset, bytes).await
    }
}

#[tokio::test]
async fn a_start_over_that_could_not_be_written_is_an_error_and_counts_once_it_is() {
    let slots = Arc::new(FailingSlots::default());
    let mark = ErasedMark::load(slots.clone(), "s-1").await.unwrap();
    assert!(mark.advance(0, Position(5), true).await);
    slots.fails.store(true, Ordering::Relaxed);
    assert!(mark.start_over().await.is_err());
    assert!(mark.start_over().await.is_err(), "also when asked again");
    slots.fails.store(false, Ordering::Relaxed);
    mark.start_over().await.unwrap();
    let mark = ErasedMark::load(slots, "s-1").await.unwrap();
    assert_eq!(mark.through(), Position(5));
    assert!(!mark.is_swept().await);
}
