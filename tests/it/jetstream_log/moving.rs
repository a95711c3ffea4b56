//! A log that is moved into the stream, holes and all.

use profile::commit_log::conformance::{HeadsInMemory, KeepNewest};
use profile::commit_log::jetstream::moving::{LogMove, MoveError};
use profile::commit_log::jetstream::{Begun, JetStreamLogOptions};
use profile::commit_log::memory::MemoryLog;

use super::*;

const STORE: &str = "s-1";
const COMMITS: u64 = 700;
const USERS: u64 = 40;

/// A log whose users have lost all but their two newest commits, but for the last hundred commits.
async fn with_holes() -> (Arc<MemoryLog>, Arc<HeadsInMemory>) {
    let heads = Arc::new(HeadsInMemory::default());
    let clock = Arc::new(profile::clock::SystemClock::default());
    let log = Arc::new(MemoryLog::observed(clock, Arc::clone(&heads) as _));
    for number in 0..COMMITS {
        let user = user(number * number % USERS);
        let head = profile::commit_log::CommitObserver::head(heads.as_ref(), &user).unwrap();
        log.append(commit(&user, head, 50)).await.unwrap();
    }
    let retention = KeepNewest {
        heads: Arc::clone(&heads),
        versions: 2,
        erased: Default::default(),
    };
    log.compact(Position(COMMITS - 100), Arc::new(retention))
        .await
        .unwrap();
    (log, heads)
}

async fn moving(url: &str) -> LogMove {
    let client = async_nats::connect(url).await.unwrap();
    LogMove::new(client, JetStreamLogOptions::default(), STORE)
}

async fn all(log: &dyn CommitLog) -> Vec<Arc<profile_messages::record::Record>> {
    log.read_after(Position::NONE, bench::ALL).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_with_holes_is_moved_with_every_position_and_goes_on() {
    let bench = Bench::open().await;
    let (log, _) = with_holes().await;
    let (kept, end) = (all(log.as_ref()).await, *log.durable().borrow());
    assert!(kept.len() < COMMITS as usize / 2, "there are holes");
    let moving = moving(&bench.server.url()).await;
    let first = kept[0].position;
    assert!(first > Position(1), "the first ones are gone");

    // Until it is whole no node opens it, of this store or of another one.
    let begun = moving.begin(first).await.unwrap();
    assert_eq!(begun, Begun::After(Position(first.0 - 1)));
    let refused = Node::open(&bench.server.url(), 0).await.unwrap_err();
    assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");

    // Ended in the middle, it goes on from wherever the stream stands.
    let (mut places, Begun::After(after)) = (0, begun) else {
        panic!("{begun:?}")
    };
    let half = async { moving.fill(log.as_ref(), (after, end), &mut |_| ()).await };
    drop(tokio::time::timeout(Duration::from_millis(15), half).await);
    let Begun::After(reached) = moving.begin(first).await.unwrap() else {
        panic!("it is not handed over")
    };
    let mut told = |_| places += 1;
    let filled = moving.fill(log.as_ref(), (reached, end), &mut told);
    filled.await.unwrap();
    assert_eq!(places, end.0 - reached.0);
    let compared = moving.compare(log.as_ref(), &mut |_| ()).await.unwrap();
    assert_eq!((compared.commits, compared.last), (kept.len() as u64, end));
    moving.hand_over(log.dropped_through()).await.unwrap();
    assert_eq!(moving.begin(first).await.unwrap(), Begun::AlreadyMoved);

    let node = bench.node().await;
    assert_eq!(node.all().await, kept);
    assert_eq!(node.log.dropped_through(), log.dropped_through());
    let next = node.append(1).await;
    assert_eq!(next.position, end.next());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_log_is_found_before_it_counts() {
    let bench = Bench::open().await;
    let (log, heads) = with_holes().await;
    let (kept, end) = (all(log.as_ref()).await, *log.durable().borrow());
    let moving = moving(&bench.server.url()).await;
    let first = kept[0].position;
    let Begun::After(after) = moving.begin(first).await.unwrap() else {
        panic!("nobody began before")
    };
    moving
        .fill(log.as_ref(), (after, end), &mut |_| ())
        .await
        .unwrap();

    // The service ran once more, and compaction took what was moved.
    let retention = KeepNewest {
        heads,
        versions: 1,
        erased: Default::default(),
    };
    log.compact(end, Arc::new(retention)).await.unwrap();
    let differs = moving.compare(log.as_ref(), &mut |_| ()).await.unwrap_err();
    assert!(matches!(differs, MoveError::Differs { .. }), "{differs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_store_is_not_filled() {
    let bench = Bench::open().await;
    bench.node().await;
    let client = async_nats::connect(bench.server.url()).await.unwrap();
    let stranger = LogMove::new(client, JetStreamLogOptions::default(), "s-2");
    let refused = stranger.begin(Position(1)).await.unwrap_err();
    assert!(matches!(refused, OpenError::OtherStore { .. }), "{refused}");
}
