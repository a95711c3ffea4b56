use super::*;

fn stream(first: u64, last: u64) -> Option<StreamState> {
    Some(StreamState { first, last })
}

#[test]
fn the_plan_follows_from_cursor_stream_and_log_end() {
    let refill = |last, through| Plan::Refill {
        last,
        through: Position(through),
    };
    let table = [
        // A fresh start, a lost stream, a stream without its cursor.
        (None, None, 0, Plan::Create),
        (None, None, 9, Plan::Create),
        (Some(9), None, 9, Plan::Create),
        (None, stream(1, 0), 9, refill(0, 9)),
        (None, stream(1, 0), 0, refill(0, 0)),
        (None, stream(1, 7), 9, Plan::Adopt { from: 1, to: 7 }),
        (None, stream(4, 7), 9, Plan::Adopt { from: 4, to: 7 }),
        (None, stream(8, 7), 9, Plan::Adopt { from: 8, to: 7 }),
        // Where it should be, ahead of the cursor, and with its old messages gone.
        (Some(7), stream(1, 7), 9, Plan::Adopt { from: 7, to: 7 }),
        (Some(5), stream(1, 7), 9, Plan::Adopt { from: 5, to: 7 }),
        (Some(5), stream(7, 7), 9, Plan::Adopt { from: 7, to: 7 }),
        (Some(7), stream(8, 7), 9, Plan::Adopt { from: 8, to: 7 }),
        (Some(0), stream(1, 0), 9, Plan::Adopt { from: 1, to: 0 }),
        // It lost its tail, or all.
        (Some(7), stream(1, 5), 9, refill(5, 7)),
        (Some(7), stream(1, 0), 9, refill(0, 7)),
        (Some(7), stream(4, 3), 9, refill(3, 7)),
    ];
    for (cursor, stream, end, expected) in table {
        let planned = plan(cursor.map(Position), stream, Position(end));
        assert_eq!(planned, expected, "{cursor:?} {stream:?} {end}");
    }
}

#[test]
fn a_cursor_or_a_stream_ahead_of_the_log_is_refused() {
    let refusal = |cursor: Option<u64>, stream| plan(cursor.map(Position), stream, Position(9));
    for stream in [None, stream(1, 9), stream(1, 10)] {
        let Plan::Refuse(Refusal::CursorAhead { .. }) = refusal(Some(10), stream) else {
            panic!("{stream:?}");
        };
    }
    for cursor in [None, Some(9), Some(3)] {
        for stream in [stream(1, 10), stream(11, 10)] {
            let Plan::Refuse(refused) = refusal(cursor, stream) else {
                panic!("{cursor:?} {stream:?}");
            };
            assert!(refused.to_string().contains("sequence 10"), "{refused}");
        }
    }
}
