//! Draws from servers that misbehave: every one is answered or reported, once.

mod fake;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fake::{Act, Asked, Fake, MODEL, echo};
use flow_server::{
    Api, Batch, Class, Client, Completion, Dialect, Draw, Error, Fault, Params, Probe, Secret, Settings,
};

fn params() -> Params {
    Params {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        max_tokens: 8,
        stop: Vec::new(),
        prefix: None,
    }
}

fn settings(servers: &[&Fake]) -> Settings {
    let endpoints = servers.iter().map(|server| server.url()).collect();
    let first_delay = Duration::from_millis(1);
    Settings { endpoints, first_delay, ..Settings::new("", MODEL) }
}

/// What became of each draw, in the order of its arrival.
#[derive(Default)]
struct Told {
    by_draw: Mutex<BTreeMap<usize, Vec<Result<Completion, Error>>>>,
    more: Condvar,
    /// The failures by which it was found that no server answers.
    outages: Mutex<Vec<Fault>>,
}

impl Told {
    /// Submits `draws` and waits until all are told of.
    fn of(client: &Client, draws: Vec<Draw>) -> BTreeMap<usize, Vec<Result<Completion, Error>>> {
        let told = Self::all(client, draws);
        std::mem::take(&mut *told.by_draw.lock().unwrap())
    }

    fn all(client: &Client, draws: Vec<Draw>) -> Arc<Self> {
        let (told, n) = (Arc::new(Self::default()), draws.len());
        let (teller, outages) = (told.clone(), told.clone());
        let answer = move |at: usize, outcome| {
            teller.by_draw.lock().unwrap().entry(at).or_default().push(outcome);
            teller.more.notify_all();
        };
        client.submit(Batch {
            draws,
            params: params(),
            answer: Box::new(answer),
            cancelled: Box::new(|| false),
            unanswered: Box::new(move |fault| outages.outages.lock().unwrap().push(fault.clone())),
        });
        let mut by_draw = told.by_draw.lock().unwrap();
        while by_draw.len() < n {
            by_draw = told.more.wait(by_draw).unwrap();
        }
        drop(by_draw);
        told
    }
}

/// `n` prompts, one draw each.
fn draws(n: usize) -> Vec<Draw> {
    (0..n).map(|at| Draw { prompt: format!("prompt {at}").into(), seed: at as u32 }).collect()
}

/// The text of a draw that was told of once.
fn text(told: &[Result<Completion, Error>]) -> &str {
    let [once] = told else { panic!("told of {} times", told.len()) };
    &once.as_ref().unwrap().text
}

fn error(told: &[Result<Completion, Error>]) -> &Error {
    let [once] = told else { panic!("told of {} times", told.len()) };
    once.as_ref().unwrap_err()
}

/// How late an answer is that is too late.
const LATE: Duration = Duration::from_millis(200);

/// A server that fails a fifth of all requests in one of six ways, by chance.
fn fails_often(salt: u64) -> Fake {
    Fake::new(move |asked| chance(asked, salt), echo)
}

fn chance(asked: &Asked, salt: u64) -> Act {
    let mut mixed =
        ((asked.seed << 8 | asked.earlier as u64) ^ salt << 60).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    match mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32 & 1023 {
        0..34 => Act::Drop,
        34..68 => Act::Late(LATE),
        68..102 => Act::Half,
        102..136 => Act::Status(429, "0"),
        136..170 => Act::Status(500, ""),
        170..204 => Act::Few(0),
        _ => Act::Answer,
    }
}

#[test]
fn ten_thousand_draws_of_which_a_fifth_fails_in_six_ways_are_answered_once_each() {
    let servers = [fails_often(1), fails_often(2)];
    let timeout = LATE / 3;
    let settings = Settings { timeout, max_attempts: 30, ..settings(&[&servers[0], &servers[1]]) };
    let told = Told::of(&Client::new(settings).unwrap(), draws(10_000));
    for (at, told) in &told {
        assert_eq!(text(told), format!("prompt {at}#{at}"));
    }
    let logs = servers.map(|server| server.log());
    let acts =
        |act: Act| logs.iter().map(|log| log.acts.get(&act).copied().unwrap_or_default()).sum::<usize>();
    let failed =
        [Act::Drop, Act::Late(LATE), Act::Half, Act::Status(429, "0"), Act::Status(500, ""), Act::Few(0)];
    let failed = failed.map(acts);
    assert!(failed.iter().all(|n| *n > 100), "{failed:?}");
    assert!(acts(Act::Answer) >= 10_000);
    let shares: Vec<usize> = logs.iter().map(|log| log.asked.len()).collect();
    assert!(shares.iter().all(|share| *share > 1_000), "both work: {shares:?}");
}

#[test]
fn what_fails_for_good_is_reported_once_with_its_reason() {
    let act = |asked: &Asked| match asked.seed % 4 {
        1 => Act::Status(400, ""),
        2 => Act::Status(500, ""),
        _ => Act::Answer,
    };
    let server = Fake::new(act, echo);
    let settings = Settings { max_attempts: 3, ..settings(&[&server]) };
    let told = Told::of(&Client::new(settings).unwrap(), draws(40));
    let log = server.log();
    for (at, told) in &told {
        let attempts = log.asked[&(format!("prompt {at}"), *at as u64)];
        match at % 4 {
            1 => {
                assert!(matches!(error(told), Error::Refused(fault) if fault.class == Class::Refused));
                assert_eq!(attempts, 1, "the request's own fault is not asked again");
            }
            2 => {
                assert!(
                    matches!(error(told), Error::GaveUp { attempts: 3, fault } if fault.class == Class::Broken)
                );
                assert_eq!(attempts, 3);
            }
            _ => assert_eq!((text(told), attempts), (format!("prompt {at}#{at}").as_str(), 1)),
        }
    }
}

#[test]
fn a_server_that_gives_fewer_completions_than_asked_for_is_asked_for_one_at_a_time() {
    let server = Fake::new(|asked| Act::Few(asked.n.min(1)), echo);
    let settings = Settings { draws_per_request: 8, max_concurrency: 1, ..settings(&[&server]) };
    let same = |seed| Draw { prompt: "same".into(), seed };
    let told = Told::of(&Client::new(settings).unwrap(), (0..20).map(same).collect());
    let texts: Vec<&str> = told.values().map(|told| text(told)).collect();
    assert_eq!(texts, (0..20).map(|seed| format!("same#{seed}")).collect::<Vec<_>>());
    let asked: Vec<Option<u64>> = server.log().bodies.iter().map(|body| body["n"].as_u64()).collect();
    assert_eq!((asked[0], asked.len()), (Some(8), 20));
    assert!(asked[1..].iter().all(Option::is_none), "{asked:?}");
}

#[test]
fn several_draws_of_one_prompt_share_a_request() {
    let server = Fake::well();
    let settings = Settings { draws_per_request: 4, ..settings(&[&server]) };
    let draw = |at: u32| Draw { prompt: format!("prompt {}", at / 6).into(), seed: at };
    let told = Told::of(&Client::new(settings).unwrap(), (0..12).map(draw).collect());
    for (at, told) in &told {
        assert_eq!(text(told), format!("prompt {}#{at}", at / 6));
    }
    let mut asked: Vec<Option<u64>> = server.log().bodies.iter().map(|body| body["n"].as_u64()).collect();
    asked.sort();
    assert_eq!(asked, [Some(2), Some(2), Some(4), Some(4)]);
}

#[test]
fn an_endpoint_that_is_down_is_left_alone() {
    let server = Fake::well();
    let down = "http://127.0.0.1:9/v1".to_owned();
    let settings = Settings { endpoints: vec![down, server.url()], ..settings(&[]) };
    let told = Told::of(&Client::new(settings).unwrap(), draws(500));
    assert!(told.iter().all(|(at, told)| text(told) == format!("prompt {at}#{at}")));
}

#[test]
fn when_no_server_answers_all_draws_are_reported() {
    let server = Fake::new(|_| Act::Drop, echo);
    let patience = Duration::from_millis(500);
    let settings = Settings { patience, max_attempts: 1000, ..settings(&[&server]) };
    let told = Told::all(&Client::new(settings).unwrap(), draws(100));
    assert!(told.by_draw.lock().unwrap().values().all(|told| matches!(error(told), Error::Outage { .. })));
    let outages = told.outages.lock().unwrap();
    assert!(outages.len() == 1 && outages[0].class == Class::Dropped, "it is told once: {outages:?}");
    let asked: usize = server.log().asked.values().sum();
    assert!(asked < 40, "a server that is down is not pestered: {asked}");
}

#[test]
fn a_server_that_fails_everything_ends_it_whatever_it_fails_by() {
    for act in [Act::Status(500, ""), Act::Half, Act::Few(0)] {
        let server = Fake::new(move |_| act, echo);
        let settings = Settings { patience: Duration::from_millis(300), ..settings(&[&server]) };
        let told = Told::of(&Client::new(settings).unwrap(), draws(200));
        let given_up = |told: &Vec<_>| matches!(error(told), Error::Outage { .. });
        assert!(told.values().filter(|told| given_up(told)).count() > 150, "{act:?}");
        let asked: usize = server.log().asked.values().sum();
        assert!(asked < 100, "{act:?}: a server that is broken is not pestered: {asked}");
    }
}

#[test]
fn a_pause_that_a_server_asks_for_is_kept() {
    let act = |asked: &Asked| if asked.earlier == 0 { Act::Status(429, "1") } else { Act::Answer };
    let server = Fake::new(act, echo);
    let started = Instant::now();
    let told = Told::of(&Client::new(settings(&[&server])).unwrap(), draws(1));
    assert_eq!(text(&told[&0]), "prompt 0#0");
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_key_is_sent_and_never_shown() {
    let server = Fake::new(|_| Act::Status(401, ""), echo);
    let key = Some(Secret::new("sk-very-secret"));
    let settings = Settings { key, ..settings(&[&server]) };
    assert!(!format!("{settings:?}").contains("very-secret"));
    let probe = Probe::all(&settings).remove(0);
    assert!(!format!("{probe:?}").contains("very-secret"), "{probe:?}");
    let told = Told::of(&Client::new(settings).unwrap(), draws(1));
    let Error::Refused(fault) = error(&told[&0]) else { panic!("{told:?}") };
    assert!(fault.class.concerns_all());
    assert!(fault.detail.contains("status 401 for Bearer ***"), "{fault}");
    assert_eq!(server.log().key, "Bearer sk-very-secret");
}

#[test]
fn chat_is_asked_by_messages_and_a_probe_tells_what_a_server_has() {
    let server = Fake::well();
    let settings = Settings { api: Api::Chat, system: Some("Be brief.".into()), ..settings(&[&server]) };
    let probe = Probe::all(&settings).remove(0);
    assert!(probe.is_well(MODEL) && !probe.is_well("another"));
    let told = Told::of(&Client::new(settings).unwrap(), draws(3));
    assert_eq!(text(&told[&2]), "prompt 2#2");
    let body = &server.log().bodies[1];
    assert_eq!(
        (body["messages"][0]["content"].as_str(), body["prompt"].is_null()),
        (Some("Be brief."), true)
    );
}

#[test]
fn what_is_cancelled_or_cannot_be_said_is_not_asked() {
    let server = Fake::new(|_| Act::Late(Duration::from_millis(50)), echo);
    let client = Client::new(Settings { max_concurrency: 1, ..settings(&[&server]) }).unwrap();
    let (cancelled, n) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
    let (flag, count) = (cancelled.clone(), n.clone());
    let answer = move |_, _: Result<Completion, Error>| {
        *count.lock().unwrap() += 1;
        cancelled.store(true, SeqCst);
    };
    let cancelled = move || flag.load(SeqCst);
    let batch = Batch {
        draws: draws(50),
        params: params(),
        answer: Box::new(answer),
        cancelled: Box::new(cancelled),
        unanswered: Box::new(|_| {}),
    };
    client.submit(batch);
    let after = Told::of(&client, draws(1));
    assert_eq!(after.len(), 1);
    assert_eq!((*n.lock().unwrap(), server.log().bodies.len()), (1, 2));

    let strict = Settings { dialect: Dialect::OpenAi, ..settings(&[&server]) };
    let (tell, told) = std::sync::mpsc::channel();
    Client::new(strict).unwrap().submit(Batch {
        draws: draws(1),
        params: Params { top_k: 3, ..params() },
        answer: Box::new(move |_, outcome| tell.send(outcome).unwrap()),
        cancelled: Box::new(|| false),
        unanswered: Box::new(|_| {}),
    });
    assert_eq!(told.recv().unwrap(), Err(Error::Unsaid("top_k")));
}
