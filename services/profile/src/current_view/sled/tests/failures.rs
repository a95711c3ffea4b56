//! What the view does when sled fails: commits go on, and damage is the end of the view.

use super::*;

#[tokio::test]
async fn damage_met_while_running_stops_reads_and_the_next_start_rebuilds() {
    let place = Place::new();
    let mut history = killed(&place);
    let view = place.open();
    view.shared
        .in_sled(|_| Err::<(), _>(StoredError::Damaged("planted".to_owned())))
        .unwrap_err();
    assert!(view.failed().borrow().is_some());
    assert!(view.list(&all("o1")).is_err());
    assert!(view.head(&history.records[0].user).is_err());
    view.committed(&[history.next("o1", "u1", Some("A"))]);
    assert!(view.close().is_err());
    drop(view);
    let view = place.open();
    is_rebuilt(&place, &view, &history).await;
}

#[tokio::test]
async fn a_failed_write_only_pauses_the_write_behind() {
    let place = Place::new();
    let mut history = killed(&place);
    let view = place.open();
    let late = history.next("o1", "u1", Some("Late"));
    view.committed(&[late]);
    write_half(&view);
    // As after a failed write: the directory takes nothing, then it does again.
    view.shared.is_degraded.store(true, Ordering::Release);
    fs::create_dir(place.dir().join("SPACE")).unwrap();
    assert!(view.write_behind().is_err());
    view.committed(&[history.next("o1", "u2", Some("Later"))]);
    history.check(&view);
    fs::remove_dir(place.dir().join("SPACE")).unwrap();
    view.write_behind().unwrap();
    view.write_behind().unwrap();
    assert_eq!(read(&view.shared.overlay).bytes_used(), 0);
    history.check(&view);
    assert_eq!(*view.failed().borrow(), None);
}

#[tokio::test]
async fn a_commit_whose_head_was_told_needs_nothing_of_sled() {
    let place = Place::new();
    let mut history = killed(&place);
    let view = place.open();
    let ids = ["u1", "u2", "new"].map(|id| UserId::parse(id).unwrap());
    let told = ids.each_ref().map(|user| view.head(user).unwrap());
    // The write-behind fails, and sled cannot be opened again.
    view.shared.is_degraded.store(true, Ordering::Release);
    let stored = write(&view.shared.stored).take();
    for (user, told) in ids.iter().zip(told) {
        assert_eq!(view.head(user), Ok(told));
        view.committed(&[history.next("o1", user.as_str(), Some("Late"))]);
    }
    let cold = UserId::parse("u3").unwrap();
    assert!(view.head(&cold).is_err(), "the log refuses this one");
    assert_eq!(*view.failed().borrow(), None);
    *write(&view.shared.stored) = stored;
    view.shared.is_degraded.store(false, Ordering::Release);
    history.check(&view);
}

#[tokio::test]
async fn a_warm_user_outside_the_overlay_needs_nothing_of_sled() {
    let place = Place::new();
    let mut history = History::default();
    let view = place.open();
    let first = history.next("o1", "u1", Some("A"));
    view.head(&first.user).unwrap();
    view.committed(std::slice::from_ref(&first));
    view.write_behind().unwrap();
    assert_eq!(read(&view.shared.overlay).bytes_used(), 0);
    let stored = write(&view.shared.stored).take();
    assert_eq!(view.head(&first.user), Ok(Head::after(&first)));
    view.committed(&[history.next("o1", "u1", Some("B"))]);
    assert_eq!(*view.failed().borrow(), None);
    *write(&view.shared.stored) = stored;
    history.check(&view);
}

#[tokio::test]
async fn nobody_waits_while_sled_is_reopened() {
    let place = Place::new();
    let mut history = killed(&place);
    let view = place.open();
    let [warm, cold] = ["u1", "u2"].map(|id| UserId::parse(id).unwrap());
    let told = view.head(&warm).unwrap();
    view.shared.is_degraded.store(true, Ordering::Release);
    let writing = lock(&view.shared.writing);
    let reopen = || {
        let is_free = view.shared.stored.try_read().is_ok();
        assert!(is_free, "readers and the writer of the log would wait");
        assert!(view.user(&cold).is_err());
        assert_eq!(view.user(&warm).unwrap().unwrap().version, told.version);
        assert_eq!(view.head(&warm), Ok(told));
        let late = history.next("o1", warm.as_str(), Some("Late"));
        view.committed(std::slice::from_ref(&late));
        assert_eq!(view.head(&warm), Ok(Head::after(&late)));
        super::super::opening::reopen(&options(), &place.dir().join("1"))
    };
    view.shared.heal_with(&writing, reopen).unwrap();
    drop(writing);
    history.check(&view);
    view.write_behind().unwrap();
    history.check(&view);
    assert_eq!(*view.failed().borrow(), None);
}

#[test]
fn a_panic_of_the_write_behind_thread_fails_the_view() {
    let place = Place::new();
    let view = place.open();
    let failed = view.failed();
    let thread = super::super::write_behind::start_with(&view.shared, |_| panic!("planted"));
    thread.unwrap().join().unwrap();
    let why = failed.borrow().clone();
    assert_eq!(why.as_deref(), Some("the write-behind thread panicked"));
    assert!(view.user(&UserId::parse("u1").unwrap()).is_err());
    assert!(view.close().is_err());
}

/// Reading everything would take long, and reads and appends are refused meanwhile.
#[tokio::test]
async fn damage_elsewhere_does_not_stop_healing_and_is_refused_when_it_is_read() {
    let place = Place::new();
    let mut history = killed(&place);
    let view = place.open();
    drop(write(&view.shared.stored).take());
    let database = place.dir().join("1");
    super::super::directory::await_unlocked(&database).unwrap();
    let db = ::sled::open(&database).unwrap();
    db.insert("u/u7", "rot").unwrap().unwrap();
    drop(db);
    view.shared.is_degraded.store(true, Ordering::Release);
    view.write_behind().unwrap();
    let [sound, rotten] = ["u1", "u7"].map(|id| UserId::parse(id).unwrap());
    assert_eq!(
        view.user(&sound).unwrap().as_deref(),
        history.model.get(&sound)
    );
    view.committed(&[history.next("o1", "u2", Some("Late"))]);
    view.write_behind().unwrap();
    assert_eq!(*view.failed().borrow(), None);
    assert!(view.user(&rotten).is_err());
    assert!(view.failed().borrow().is_some());
}

/// As a supervisor does with a start that takes too long.
#[test]
fn a_start_killed_again_and_again_while_it_reads_everything_costs_no_rebuild() {
    let place = Place::new();
    drop(killed(&place));
    for _ in 0..4 {
        let directory = Directory::new(&place.dir(), &identity("store", "boot"));
        let killed = super::super::opening::open_with(&options(), &directory, |_| {
            Err(StoredError::Io("killed".to_owned()))
        });
        assert!(matches!(killed, Err(OpenError::Sled(why)) if why == "killed"));
        let state = fs::read_to_string(place.dir().join("STATE")).unwrap();
        assert!(state.ends_with("left running boot\n"), "{state}");
    }
    assert_eq!(place.open().position(), Position(2_000));
    assert!(place.aside().is_empty());
}
