mod failures;
mod place;
mod renewal;
mod rot;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use self::place::{Place, history, identity, options};
use super::stored::Applied;
use super::*;
use crate::current_view::tests::{
    FakeLog, History, LAWS, Subject, all, names, pages_never_skip_or_repeat, steps,
};

/// Where the write-behind stands when the next read comes.
#[derive(Clone, Copy, Debug)]
enum Pace {
    Paused,
    Done,
    /// Begun and stopped after some of the users, until the commit after the next.
    Halfway,
}

fn with_pace(pace: Pace, test: impl FnOnce(&mut Subject<'_>)) {
    let place = Place::new();
    let view = place.open();
    let step = || match pace {
        Pace::Paused => {}
        Pace::Done => view.write_behind().unwrap(),
        Pace::Halfway => {
            if read(&view.shared.overlay).flushing().is_some() {
                view.write_behind().unwrap();
            } else {
                write_half(&view);
            }
        }
    };
    test(&mut Subject::new(&view, &step));
    assert_eq!(*view.failed().borrow(), None);
}

fn write_half(view: &SledView) {
    let Some(generation) = view.shared.begin_flush() else {
        return;
    };
    let entries = generation.entries();
    let half = &entries[..entries.len().div_ceil(2)];
    let reached = generation.position();
    view.shared
        .store_batch(half, &Applied::Part { reached })
        .unwrap();
}

#[test]
fn the_sled_view_keeps_the_laws_at_every_pace() {
    for pace in [Pace::Paused, Pace::Done, Pace::Halfway] {
        for law in LAWS {
            with_pace(pace, law);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn pages_never_skip_or_repeat_at_any_pace(steps in steps()) {
        for pace in [Pace::Paused, Pace::Done, Pace::Halfway] {
            with_pace(pace, |subject| pages_never_skip_or_repeat(subject, &steps));
        }
    }
}

#[test]
fn the_overlay_keeps_one_entry_per_user() {
    let place = Place::new();
    let view = place.open();
    let mut history = History::default();
    view.committed(&[history.next("o1", "u1", Some("A"))]);
    let bytes = read(&view.shared.overlay).bytes_used();
    for _ in 0..100 {
        view.committed(&[history.next("o1", "u1", Some("B"))]);
    }
    assert_eq!(read(&view.shared.overlay).bytes_used(), bytes);
    history.check(&view);
    view.write_behind().unwrap();
    assert_eq!(read(&view.shared.overlay).bytes_used(), 0);
    history.check(&view);
}

#[test]
fn a_full_overlay_says_so_until_it_is_written() {
    let place = Place::new();
    let options = SledOptions {
        overlay_bytes_max: 100_000,
        ..options()
    };
    let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
    // Nobody writes: the generation that is being written does not end.
    let mut history = History::default();
    view.committed(&[history.next("o1", "u", Some("A"))]);
    view.shared.begin_flush();
    let mut users = 0;
    while !view.is_full() {
        users += 1;
        assert!(users < 1_000);
        view.committed(&[history.next("o1", &format!("u{users}"), Some("A"))]);
    }
    history.check(&view);
    view.write_behind().unwrap();
    view.write_behind().unwrap();
    assert!(!view.is_full());
    history.check(&view);
}

#[test]
fn the_thread_writes_behind_by_itself() {
    let place = Place::new();
    let options = SledOptions {
        write_behind_interval_ms: 1,
        ..options()
    };
    let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
    let mut history = History::default();
    for number in 0..500 {
        view.committed(&[history.next("o1", &format!("u{}", number % 50), Some("A"))]);
        if number % 50 == 0 {
            history.check(&view);
        }
    }
    while read(&view.shared.overlay).bytes_used() > 0 {
        std::thread::yield_now();
    }
    history.check(&view);
}

#[tokio::test]
async fn a_clean_stop_needs_nothing_from_the_log_even_after_a_reboot() {
    let place = Place::new();
    let history = history(300, 40);
    let view = place.open();
    view.committed(&history.records);
    view.close().unwrap();
    view.close().unwrap();
    assert!(view.user(&history.records[0].user).is_err());
    drop(view);

    let view = place.open_as("store", "next boot");
    history.check(&view);
    assert!(place.aside().is_empty());
}

#[tokio::test]
async fn after_a_kill_the_view_catches_up() {
    let place = Place::new();
    let mut history = history(300, 40);
    let view = place.open();
    view.committed(&history.records);
    view.write_behind().unwrap();
    let late = history.next("o1", "u1", Some("Late"));
    view.committed(&[late]);
    for number in 0..40 {
        view.committed(&[history.next("o1", &format!("u{number}"), Some("Later"))]);
    }
    write_half(&view); // and killed
    drop(view);

    let view = place.open();
    assert_eq!(view.position(), Position(300));
    assert_eq!(
        view.catch_up(&FakeLog::of(&history)).await,
        Ok(Position(341))
    );
    history.check(&view);
    assert!(place.aside().is_empty());
}

/// Leaves a directory as a kill does, and returns what was committed.
fn killed(place: &Place) -> History {
    let history = history(2_000, 300);
    let view = place.open();
    view.committed(&history.records);
    view.write_behind().unwrap();
    history
}

async fn is_rebuilt(place: &Place, view: &SledView, history: &History) {
    assert_eq!(view.position(), Position::NONE);
    assert_eq!(place.aside().len(), 1);
    view.catch_up(&FakeLog::of(history)).await.unwrap();
    history.check(view);
}

#[tokio::test]
async fn a_reboot_without_a_clean_stop_sets_the_view_aside() {
    let place = Place::new();
    let history = killed(&place);
    let view = place.open_as("store", "next boot");
    is_rebuilt(&place, &view, &history).await;
}

#[tokio::test]
async fn without_a_boot_id_only_a_clean_stop_is_trusted() {
    let place = Place::new();
    let nameless = Identity {
        store_id: "store".to_owned(),
        boot_id: None,
    };
    drop(SledView::open(options(), &place.dir(), nameless.clone()).unwrap());
    drop(SledView::open(options(), &place.dir(), nameless.clone()).unwrap());
    assert_eq!(place.aside(), ["current.aside-1"]);
}

#[tokio::test]
async fn a_foreign_store_and_an_unknown_format_are_set_aside_and_one_is_kept() {
    let place = Place::new();
    let history = killed(&place);
    let view = place.open_as("another", "boot");
    is_rebuilt(&place, &view, &history).await;
    view.close().unwrap();
    drop(view);
    let state = fs::read_to_string(place.dir().join("STATE")).unwrap();
    fs::write(
        place.dir().join("STATE"),
        state.replace("format 2", "format 3"),
    )
    .unwrap();
    let view = place.open_as("another", "boot");
    is_rebuilt(&place, &view, &history).await;
    assert_eq!(place.aside(), ["current.aside-2"]);
}

/// Rebuilding it would hide that acknowledged commits are gone.
#[tokio::test]
async fn a_view_ahead_of_the_log_is_refused_with_advice() {
    let place = Place::new();
    let history = killed(&place);
    let shorter = place::history(1_999, 300);
    for _ in 0..2 {
        let view = place.open();
        let error = view.catch_up(&FakeLog::of(&shorter)).await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("commit 2000") && text.contains("ends at 1999"),
            "{text}"
        );
        assert!(text.contains("Restore the data directory"), "{text}");
    }
    let view = place.open();
    view.catch_up(&FakeLog::of(&history)).await.unwrap();
    history.check(&view);
    // As the advice says.
    drop(view);
    fs::remove_dir_all(place.dir()).unwrap();
    let view = place.open();
    view.catch_up(&FakeLog::of(&shorter)).await.unwrap();
    shorter.check(&view);
}

#[test]
fn nobody_else_gets_at_the_view_or_at_what_was_set_aside() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    drop(killed(&place));
    drop(place.open_as("another", "boot"));
    let [aside] = place.aside().try_into().unwrap();
    for dir in [place.dir(), place.root.join(aside)] {
        let mode = fs::metadata(dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

fn db_file(dir: &Path) -> PathBuf {
    dir.join("1").join("db")
}

#[tokio::test]
async fn a_missing_database_is_noticed() {
    let place = Place::new();
    let history = killed(&place);
    fs::remove_file(db_file(&place.dir())).unwrap();
    let view = place.open();
    is_rebuilt(&place, &view, &history).await;
}

/// Whatever sled makes of it (an error, a panic, an older state): the view ends equal to the log.
#[tokio::test]
async fn a_torn_database_never_makes_the_view_wrong() {
    let place = Place::new();
    let history = killed(&place);
    let whole = fs::read(db_file(&place.dir())).unwrap();
    let spoil: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(0),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.fill(0xA5),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle..].fill(0);
        },
    ];
    for spoil in spoil {
        let torn = Place::new();
        drop(killed(&torn));
        let mut bytes = whole.clone();
        spoil(&mut bytes);
        fs::write(db_file(&torn.dir()), bytes).unwrap();
        let view = torn.open();
        view.catch_up(&FakeLog::of(&history)).await.unwrap();
        history.check(&view);
    }
}

/// 20,000 users through an overlay of 1 MiB.
#[tokio::test]
async fn a_rebuild_stays_within_the_overlays_bound() {
    let place = Place::new();
    let history = history(20_000, 20_000);
    let options = SledOptions {
        overlay_bytes_max: 1024 * 1024,
        ..options()
    };
    let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
    view.catch_up(&FakeLog::of(&history)).await.unwrap();
    assert!(!view.is_full());
    assert_eq!(view.position(), Position(20_000));
    let page = view.list(&all("o1")).unwrap();
    assert_eq!((names(&page).len(), page.more), (1_000, true));
}

/// Pages while another thread commits and a third writes behind: each is one state of the log.
#[test]
fn a_page_is_true_at_its_position_under_load() {
    const USERS: usize = 60;
    let place = Place::new();
    let options = SledOptions {
        write_behind_interval_ms: 1,
        ..options()
    };
    let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
    let mut history = History::default();
    // Commit n gives user n mod USERS the name n: at position p the list is known.
    for number in 0..3_000 {
        history.next(
            "o1",
            &format!("u{}", number % USERS),
            Some(&format!("{number:06}")),
        );
    }
    view.committed(&history.records[..USERS]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for group in history.records[USERS..].chunks(3) {
                view.committed(group);
            }
        });
        let mut position = Position::NONE;
        while position < Position(3_000) {
            let page = view.list(&all("o1")).unwrap();
            position = page.position;
            let last = position.0 as usize;
            let expected: Vec<String> = (last - USERS..last)
                .map(|number| format!("{number:06}/u{}", number % USERS))
                .collect();
            assert_eq!(names(&page), expected);
        }
    });
    history.check(&view);
}

#[test]
fn commits_during_a_page_neither_wait_for_it_nor_spoil_it() {
    let place = Place::new();
    let view = place.open();
    let mut history = History::default();
    for number in 10..50 {
        history.next("o1", &format!("u{number}"), Some(&format!("{number}")));
    }
    view.committed(&history.records);
    view.write_behind().unwrap();
    let request = ListRequest {
        rows_max: 5,
        ..all("o1")
    };
    // What was just read is renamed and removed, three times, before it is merged.
    let mut from = 10;
    let page = super::page::read_page_with(&view.shared, &request, || {
        for number in from..from + 4 {
            let name = Some("99").filter(|_| number % 2 == 0);
            view.committed(&[history.next("o1", &format!("u{number}"), name)]);
        }
        from = (from + 4).min(22);
    })
    .unwrap();
    assert_eq!(page.position, view.position());
    assert_eq!(names(&page), names(&view.list(&request).unwrap()));
    history.check(&view);
}

#[test]
fn catching_up_can_be_spawned() {
    fn is_send(_: impl Send) {}
    let place = Place::new();
    let view = place.open();
    is_send(view.catch_up(&FakeLog::of(&History::default())));
}
