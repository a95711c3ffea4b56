use super::*;
use crate::relay::slots::SlotFile;

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
