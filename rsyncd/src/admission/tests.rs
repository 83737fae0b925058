use super::*;
use crate::limits;

fn source(text: &str) -> Source {
    Source::of(text.parse().expect("address"))
}

/// An admission, and limits that leave everything in; tests set those that they are about.
fn unlimited() -> (Arc<Admission>, Limits) {
    let limits = Limits {
        total_connections: 0,
        network_connections: 0,
        address_connections: 0,
        total_handshakes: 0,
        network_handshakes: 0,
        address_handshakes: 0,
        ..Limits::default()
    };
    (Arc::default(), limits)
}

const LATER: Duration = Duration::from_secs(10);

fn running(admitted: &Admitted) -> bool {
    let mut state = admitted.permit.admission.state();
    let held = state
        .held
        .iter_mut()
        .find(|held| held.id == admitted.permit.id);
    !held.expect("permitted").is_ending()
}

#[test]
fn each_limit_of_connections_counts_and_is_given_back() {
    let (admission, limits) = unlimited();
    let limits = Limits {
        total_connections: 3,
        address_connections: 2,
        ..limits
    };
    let now = Instant::now();
    let admit = |from: &str| admission.admit(source(from), &limits, now);
    let clock = || Arc::new(IoClock::new(None));
    let first = admit("10.0.0.1").expect("first");
    first.permit.session_started(clock());
    let second = admit("10.0.0.1").expect("second");
    second.permit.session_started(clock());
    assert_eq!(admit("10.0.0.1").map(drop), Err(2), "two from one address");
    let third = admit("10.0.1.1").expect("third");
    third.permit.session_started(clock());
    assert_eq!(admit("10.0.2.1").map(drop), Err(3), "three in all");
    drop(first);
    assert!(admit("10.0.2.1").is_ok());
}

#[test]
fn silent_strangers_give_way_to_a_new_one() {
    let (admission, limits) = unlimited();
    let limits = Limits {
        total_handshakes: 4,
        ..limits
    };
    let now = Instant::now();
    let admit = |from: &str| admission.admit(source(from), &limits, now);
    let flood: Vec<Admitted> = ["10.0.0.1"; 4]
        .map(|from| admit(from).expect("room"))
        .into();
    let mut honest = admit("10.9.9.9").expect("the largest group gives way at once");
    assert_eq!(flood.iter().filter(|admitted| running(admitted)).count(), 3);
    assert!(admit("10.0.0.1").is_err(), "whoever has most gets no more");
    assert!(running(&honest) && honest.end.try_recv().is_err());
    let again = admission.admit(source("10.0.0.1"), &limits, now + LATER);
    let _again = again.expect("its own oldest has had its time");
    assert!(running(&honest), "and not another's");
}

#[test]
fn one_silent_stranger_from_everywhere_gives_way_after_a_while() {
    let (admission, limits) = unlimited();
    let limits = Limits {
        total_handshakes: 8,
        ..limits
    };
    let now = Instant::now();
    let flood: Vec<Admitted> = (0..8)
        .map(|i| admission.admit(source(&format!("10.0.{i}.1")), &limits, now))
        .collect::<Result<_, _>>()
        .expect("room");
    let admitted = admission.admit(source("10.9.9.9"), &limits, now + LATER);
    let _honest = admitted.expect("they have had their time");
    assert_eq!(flood.iter().filter(|admitted| running(admitted)).count(), 7);
    // Among those that are all new, chance decides: half of the tries get in.
    let (admission, fresh) = (Arc::<Admission>::default(), limits);
    let _flood: Vec<Admitted> = (0..8)
        .map(|i| admission.admit(source(&format!("10.0.{i}.1")), &fresh, now))
        .collect::<Result<_, _>>()
        .expect("room");
    let tries = (0..200).filter(|i| {
        let from = format!("10.1.{i}.1");
        admission.admit(source(&from), &fresh, now).is_ok()
    });
    let got_in = tries.count();
    assert!(got_in > 20, "{got_in} of 200");
}

#[test]
fn one_network_is_not_many_addresses() {
    let (admission, limits) = unlimited();
    let limits = Limits {
        address_handshakes: 1,
        network_handshakes: 2,
        ..limits
    };
    let now = Instant::now();
    let admit = |from: &str| admission.admit(source(from), &limits, now);
    let _first = admit("2001:db8::1").expect("first");
    assert!(admit("2001:db8::2").is_err(), "one /64 is one host");
    let _second = admit("2001:db8:0:1::1").expect("another /64");
    let mut third = Vec::new();
    while third.len() < 20 {
        third.push(admit(&format!("2001:db8:0:{:x}::1", third.len() + 2)));
    }
    let state = admission.state();
    let live = state.held.iter().filter(|held| held.is_handshake()).count();
    assert_eq!(live, 2, "two of a /48");
}

#[test]
fn a_session_that_stands_still_gives_way_when_all_is_full() {
    let (admission, limits) = unlimited();
    let limits = Limits {
        total_connections: 2,
        ..limits
    };
    let now = Instant::now();
    let admit = |from: &str| admission.admit(source(from), &limits, now);
    let idle = admit("10.0.0.1").expect("room");
    let long_ago = now
        .checked_sub(limits.idle_when_full)
        .expect("the machine runs for longer");
    idle.permit
        .session_started(Arc::new(IoClock::started(long_ago, None)));
    let busy = admit("10.0.0.1").expect("room");
    busy.permit.session_started(Arc::new(IoClock::new(None)));
    let next = admit("10.0.1.1").expect("the idle one gives way");
    assert_eq!(next.cut_off, [idle.permit.id()]);
    next.permit.session_started(Arc::new(IoClock::new(None)));
    assert_eq!(admit("10.0.2.1").map(drop), Err(2), "the others move");
}

#[test]
fn a_place_held_in_silence_is_freed() {
    let (admission, limits) = unlimited();
    let (now, lock) = (Instant::now(), Path::new("/lock"));
    let stranger = admission
        .admit(source("10.0.0.1"), &limits, now)
        .expect("room");
    stranger.permit.took_place(lock);
    assert!(
        !admission.free_place(lock, 1, &limits, now),
        "it has just come"
    );
    assert!(!admission.free_place(Path::new("/other"), 1, &limits, now + LATER));
    assert!(admission.free_place(lock, 1, &limits, now + LATER));
    assert!(!running(&stranger));
}

#[test]
fn many_failures_block_for_a_while() {
    let window = Duration::from_secs(60);
    let limits = Limits {
        auth_failures: 2,
        auth_window: window,
        ..Limits::default()
    };
    let admission = Admission::default();
    let (a, start) = (source("10.0.0.1"), Instant::now());
    admission.record_failure(a, &limits, start);
    admission.record_failure(a, &limits, start + window);
    assert!(
        !admission.is_blocked(a, start + window),
        "the first is too long ago"
    );
    admission.record_failure(a, &limits, start + window);
    assert!(admission.is_blocked(a, start + window));
    assert!(!admission.is_blocked(source("10.0.0.2"), start + window));
    assert!(!admission.is_blocked(a, start + window * 2));
}

#[test]
fn guesses_from_all_of_a_network_block_it() {
    let limits = Limits {
        auth_failures: 2,
        ..Limits::default()
    };
    let (admission, now) = (Admission::default(), Instant::now());
    for i in 0..2 * limits::NETWORK_FAILURES {
        let from = source(&format!("2001:db8:0:{i:x}::1"));
        assert!(!admission.is_blocked(from, now), "after {i}");
        admission.record_failure(from, &limits, now);
    }
    assert!(admission.is_blocked(source("2001:db8:0:ffff::1"), now));
    assert!(!admission.is_blocked(source("2001:db8:1::1"), now));
}

#[test]
fn the_table_of_failures_is_bounded() {
    let (admission, start) = (Admission::default(), Instant::now());
    for i in 0..limits::FAILURE_TABLE as u32 + 10 {
        let from = Source::of(IpAddr::V4(i.into()));
        admission.record_failure(from, &Limits::default(), start);
    }
    assert_eq!(admission.failures().len(), limits::FAILURE_TABLE);
}
