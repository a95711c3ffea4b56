//! Renewal: what it leaves in the files, and that nobody sees it.

use super::super::renewal::{CopyState, Stage};
use super::*;
use crate::current_view::memory::MemoryView;

fn broken_off(_: Stage) -> Result<(), String> {
    Err("broken off".to_owned())
}

fn holds(file: &Path, text: &str) -> bool {
    let bytes = fs::read(file).unwrap();
    let mut windows = bytes.windows(text.len());
    windows.any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

/// Files that hold any of these texts, in whatever case.
fn files_with(place: &Place, texts: &[&str]) -> Vec<PathBuf> {
    let mut files = place.files();
    files.retain(|file| texts.iter().any(|text| holds(file, text)));
    files
}

#[tokio::test]
async fn after_a_removal_and_a_renewal_no_file_holds_a_byte_of_the_user() {
    let place = Place::new();
    let secrets = ["Zaphod Beeblebrox", "Trillian Astra", "Ford Prefect"];
    let mut history = killed(&place);
    // The first life of the user ends in a directory that is set aside.
    let view = place.open();
    for secret in &secrets[..2] {
        view.committed(&[history.next("o1", "secret", Some(secret))]);
        view.write_behind().unwrap();
    }
    drop(view);
    let view = place.open_as("store", "next boot");
    view.catch_up(&FakeLog::of(&history)).await.unwrap();
    for number in 0..3_000 {
        let name = format!("{} {number}", secrets[2]);
        view.committed(&[history.next("o1", "secret", Some(&name))]);
        let other = format!("v{}", number % 300);
        view.committed(&[history.next("o1", &other, Some("Arthur"))]);
        if number % 500 == 0 {
            view.write_behind().unwrap();
        }
    }
    view.committed(&[history.next("o1", "secret", None)]);
    view.write_behind().unwrap();
    assert!(files_with(&place, &secrets).len() > 1, "nothing to erase");
    assert_eq!(place.aside().len(), 1);

    view.renew().unwrap();
    assert_eq!(files_with(&place, &secrets), Vec::<PathBuf>::new());
    assert!(place.aside().is_empty());
    history.check(&view);
    view.close().unwrap();
    drop(view);
    assert_eq!(files_with(&place, &secrets), Vec::<PathBuf>::new());
    let view = place.open_as("store", "another boot");
    history.check(&view);
    assert_eq!(files_with(&place, &["Arthur"]).len(), 1);
}

#[test]
fn what_is_only_committed_when_a_renewal_is_called_is_in_the_new_files() {
    let place = Place::new();
    let view = place.open();
    let mut history = History::default();
    view.committed(&[history.next("o1", "u1", Some("Zaphod"))]);
    view.write_behind().unwrap();
    view.committed(&[history.next("o1", "u1", None)]);
    view.renew().unwrap();
    assert_eq!(files_with(&place, &["Zaphod"]), Vec::<PathBuf>::new());
    history.check(&view);
}

#[test]
fn a_second_renewal_is_refused_while_one_runs_and_a_later_one_is_not() {
    let place = Place::new();
    let view = place.open();
    let history = history(60, 20);
    view.committed(&history.records);
    let mut refusals = 0;
    let at = |stage| {
        if stage == Stage::Copying {
            let why = view.renew().unwrap_err();
            assert_eq!(why, "another renewal of the current view runs");
            refusals += 1;
        }
        Ok(())
    };
    view.shared.renew_with(at).unwrap();
    assert!(refusals > 1);
    view.renew().unwrap();
    view.renew().unwrap();
    history.check(&view);
    view.close().unwrap();
    assert_eq!(view.renew(), Err("the current view is closed".to_owned()));
}

/// What a kill leaves at every stage opens, is right, and is alone after the start.
#[tokio::test]
async fn a_kill_at_any_stage_leaves_a_view_that_opens_and_is_right() {
    let place = Place::new();
    let view = place.open();
    let mut history = history(200, 30);
    view.committed(&history.records);
    let mut killed = Vec::new();
    let at = |stage| {
        killed.push((stage, Place::copy_of(&place)));
        Ok(())
    };
    view.shared.renew_with(at).unwrap();
    let stages: BTreeSet<String> = killed.iter().map(|(s, _)| format!("{s:?}")).collect();
    assert_eq!(stages.len(), 5);
    drop(view);
    let late = history.next("o1", "u1", None);
    drop(late);
    for (stage, place) in killed {
        let view = place.open();
        assert!(view.position() >= Position(200), "{stage:?}");
        view.catch_up(&FakeLog::of(&history)).await.unwrap();
        history.check(&view);
        let databases = fs::read_dir(place.dir()).unwrap().count();
        assert_eq!(databases, 2, "{stage:?}: STATE and one database");
        assert!(place.aside().is_empty(), "{stage:?}");
    }
}

#[test]
fn a_disk_that_refuses_leaves_the_view_as_it_was() {
    let place = Place::new();
    let view = place.open();
    let mut history = history(100, 30);
    view.committed(&history.records);
    let obstacle = place.dir().join("STATE.new");
    let at = |stage| {
        if stage == Stage::Copied {
            fs::create_dir(&obstacle).unwrap();
        }
        Ok(())
    };
    assert!(view.shared.renew_with(at).is_err());
    fs::remove_dir(&obstacle).unwrap();
    history.check(&view);
    let at = |stage| {
        if stage == Stage::Copying {
            // As a failed write of the write-behind into the copy does.
            lock(&view.shared.writing).copy.give_up("no space");
        }
        Ok(())
    };
    assert_eq!(view.shared.renew_with(at), Err("no space".to_owned()));
    view.committed(&[history.next("o1", "u1", Some("Later"))]);
    view.write_behind().unwrap();
    history.check(&view);
    assert_eq!(view.shared.directory.other_databases().unwrap().len(), 0);
    view.renew().unwrap();
    history.check(&view);
    assert_eq!(*view.failed().borrow(), None);
}

#[test]
fn a_stop_ends_a_renewal() {
    let place = Place::new();
    let view = place.open();
    let history = history(100, 30);
    view.committed(&history.records);
    let at = |stage| match stage {
        Stage::Copying => view.close(),
        Stage::Copied | Stage::Switched | Stage::Swapped | Stage::Deleted => Ok(()),
    };
    let why = view.shared.renew_with(at).unwrap_err();
    assert_eq!(why, "the current view was closed");
    drop(view);
    let view = place.open_as("store", "next boot");
    history.check(&view);
    assert!(place.aside().is_empty());
}

#[test]
fn a_renewal_that_panicked_does_not_keep_the_next_one_back() {
    let place = Place::new();
    let view = place.open();
    let history = history(100, 30);
    view.committed(&history.records);
    let at = |stage| match stage {
        Stage::Copied => panic!("planted"),
        Stage::Copying | Stage::Switched | Stage::Swapped | Stage::Deleted => Ok(()),
    };
    let renewal = std::panic::AssertUnwindSafe(|| view.shared.renew_with(at));
    assert!(std::panic::catch_unwind(renewal).is_err());
    assert!(matches!(
        lock(&view.shared.writing).copy,
        CopyState::Filling(_)
    ));
    view.renew().unwrap();
    history.check(&view);
    assert!(view.shared.directory.other_databases().unwrap().is_empty());
}

#[test]
fn a_failed_view_is_not_renewed_and_stays_suspect() {
    let place = Place::new();
    let view = place.open();
    view.committed(&history(100, 30).records);
    let at = |stage| {
        if stage == Stage::Copied {
            view.shared.fail("planted");
        }
        Ok(())
    };
    assert_eq!(view.shared.renew_with(at), Err("planted".to_owned()));
    assert!(view.renew().is_err());
    let state = fs::read_to_string(place.dir().join("STATE")).unwrap();
    assert!(state.ends_with("sled 1\nleft suspect\n"), "{state}");
}

/// Nobody else gets the lock of the writers while chunks are copied: the renewal itself writes behind.
#[test]
fn the_overlay_stays_within_its_bound_during_a_renewal() {
    let place = Place::new();
    let options = SledOptions {
        overlay_bytes_max: 200_000,
        ..options()
    };
    let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
    let mut history = History::default();
    for number in 0..400 {
        view.committed(&[history.next("o1", &format!("u{number:03}"), Some("A"))]);
        view.write_behind().unwrap();
    }
    let at = |stage| {
        if stage == Stage::Copying {
            for number in 0..40 {
                view.committed(&[history.next("o1", &format!("u{number:03}"), Some("B"))]);
            }
            assert!(!view.is_full());
        }
        Ok(())
    };
    view.shared.renew_with(at).unwrap();
    history.check(&view);
}

/// Pages while others commit, write behind and renew: each is one state of the log.
#[test]
fn a_page_is_true_at_its_position_while_the_view_is_renewed() {
    const USERS: usize = 60;
    let place = Place::new();
    let options = SledOptions {
        write_behind_interval_ms: 1,
        ..options()
    };
    let view = SledView::open(options, &place.dir(), identity("store", "boot")).unwrap();
    let mut history = History::default();
    for number in 0..2_000 {
        let user = format!("u{}", number % USERS);
        history.next("o1", &user, Some(&format!("{number:06}")));
    }
    view.committed(&history.records[..USERS]);
    let is_done = AtomicBool::new(false);
    let mut renewals = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for group in history.records[USERS..].chunks(3) {
                view.committed(group);
                view.user(&group[0].user).unwrap().unwrap();
            }
        });
        scope.spawn(|| {
            let mut position = Position::NONE;
            while position < Position(2_000) {
                let page = view.list(&all("o1")).unwrap();
                position = page.position;
                let last = position.0 as usize;
                let expected: Vec<String> = (last - USERS..last)
                    .map(|number| format!("{number:06}/u{}", number % USERS))
                    .collect();
                assert_eq!(names(&page), expected);
            }
            is_done.store(true, Ordering::Release);
        });
        while !is_done.load(Ordering::Acquire) || renewals < 3 {
            view.renew().unwrap();
            renewals += 1;
        }
    });
    history.check(&view);
}

/// A user, a new display name or a removal, and what else happens.
#[derive(Clone, Debug)]
enum Doing {
    Commit(u8, Option<String>),
    WriteBehind,
    WriteHalf,
    /// With steps between its chunks, broken off after so many of them.
    Renew(Vec<Doing>, usize),
    /// Dropped as a kill does, or closed; then opened and caught up.
    Reopen(bool),
}

fn doings() -> impl Strategy<Value = Vec<Doing>> {
    let name = || proptest::option::weighted(0.75, "[aAbB\0ß]{0,3}");
    let small = move || {
        prop_oneof![
            6 => (0u8..24, name()).prop_map(|(user, name)| Doing::Commit(user, name)),
            1 => Just(Doing::WriteBehind),
        ]
    };
    let inner = proptest::collection::vec(small(), 0..24);
    let doing = prop_oneof![
        12 => small(),
        1 => Just(Doing::WriteHalf),
        2 => (inner, 0usize..24).prop_map(|(inner, end)| Doing::Renew(inner, end)),
        1 => any::<bool>().prop_map(Doing::Reopen),
    ];
    proptest::collection::vec(doing, 1..60)
}

struct Run {
    place: Place,
    history: History,
    memory: MemoryView,
}

impl Run {
    fn commit(&mut self, view: &SledView, user: u8, name: Option<&str>) {
        let user = format!("u{user}");
        let id = UserId::parse(&user).unwrap();
        let is_new = !self.history.model.contains_key(&id);
        let name = name.or_else(|| is_new.then_some("a"));
        let record = self.history.next("o1", &user, name);
        self.memory.committed(std::slice::from_ref(&record));
        view.committed(&[record]);
        assert_eq!(view.user(&id), self.memory.user(&id));
    }

    fn check(&self, view: &SledView) {
        self.history.check(view);
        self.history.check(&self.memory);
        for (prefix, rows_max) in [("", 5), ("a", 2)] {
            let request = ListRequest {
                prefix_folded: prefix.to_owned(),
                rows_max,
                ..all("o1")
            };
            let [of_sled, of_memory] =
                [view as &dyn CurrentView, &self.memory].map(|view| view.list(&request).unwrap());
            assert_eq!(names(&of_sled), names(&of_memory));
            assert_eq!(of_sled.more, of_memory.more);
        }
    }

    fn renew(&mut self, view: &SledView, inner: &[Doing], end: usize) {
        let (mut inner, mut stages) = (inner.iter(), 0);
        let renewed = view.shared.renew_with(|stage| {
            stages += 1;
            if stage != Stage::Copied && stage != Stage::Switched {
                for doing in inner.by_ref().take(3) {
                    match doing {
                        Doing::Commit(user, name) => self.commit(view, *user, name.as_deref()),
                        Doing::WriteBehind
                        | Doing::WriteHalf
                        | Doing::Renew(..)
                        | Doing::Reopen(_) => view.write_behind().unwrap(),
                    }
                }
            }
            if matches!(stage, Stage::Copied | Stage::Swapped) {
                self.check(view);
            }
            match stages == end {
                true => broken_off(stage),
                false => Ok(()),
            }
        });
        if stages != end {
            assert_eq!(renewed, Ok(()));
            assert!(view.shared.directory.other_databases().unwrap().is_empty());
        }
        assert!(matches!(lock(&view.shared.writing).copy, CopyState::None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn renewals_at_any_time_are_not_seen(doings in doings()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut run = Run {
            place: Place::new(),
            history: History::default(),
            memory: MemoryView::default(),
        };
        let mut view = run.place.open();
        for doing in &doings {
            match doing {
                Doing::Commit(user, name) => run.commit(&view, *user, name.as_deref()),
                Doing::WriteBehind => view.write_behind().unwrap(),
                Doing::WriteHalf => write_half(&view),
                Doing::Renew(inner, end) => run.renew(&view, inner, *end),
                Doing::Reopen(is_clean) => {
                    if *is_clean {
                        view.close().unwrap();
                    }
                    drop(view);
                    view = run.place.open();
                    let log = FakeLog::of(&run.history);
                    runtime.block_on(view.catch_up(&log)).unwrap();
                }
            }
            run.check(&view);
        }
        prop_assert!(run.place.aside().is_empty());
        let failed = view.failed().borrow().clone();
        prop_assert_eq!(failed, None);
    }
}
