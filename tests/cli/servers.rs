//! Models behind servers, from outside: what is asked, kept, reported and never shown.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use flow_data::Value;
use serde_json::{Value as Json, json};

use super::bench::{Bench, Ran};
use fake::{Act, Asked, Fake};

#[path = "../../crates/server/tests/fake/mod.rs"]
mod fake;

/// Draws three completions of each question from the server at `url`, and judges them.
fn pipeline(url: &str, more: &str) -> String {
    format!(
        "version: 1
name: served
models:
  teacher: {{server: \"{url}\", model: tiny{more}}}
steps:
  questions: {{op: read, path: questions.jsonl}}
  attempts: {{op: sample, from: questions, model: teacher, n: 3, max_tokens: 8}}
  graded: {{op: verify, from: attempts, extract: final_line}}
  shards: {{op: write, from: graded.equal, path: out/shards}}
"
    )
}

fn two(_: &Asked) -> String {
    "so\n#### 2".to_owned()
}

/// How often `server` was asked, and for how many different draws.
fn asked(server: &Fake) -> (usize, usize) {
    let asked = server.log().asked;
    (asked.values().sum(), asked.len())
}

fn calls(report: &Json, step: &str) -> u64 {
    let steps = report["steps"].as_array().unwrap();
    steps.iter().find(|found| found["step"] == step).unwrap()["calls"].as_u64().unwrap()
}

#[test]
fn draws_come_from_a_server_once() {
    let server = Fake::new(|_| Act::Answer, two);
    let bench = Bench::with(&pipeline(&server.url(), ""));
    let plan = bench.flow(&["plan", "p.yaml", "--format", "json"]).json();
    assert_eq!((calls(&plan, "attempts"), &plan["total"]["server_calls"]), (9, &json!(9)));
    let plan = bench.flow(&["plan", "p.yaml"]);
    assert!(plan.stdout.contains("9 calls (9 to servers)"), "{}", plan.stdout);
    assert_eq!(asked(&server), (0, 0), "a plan asks nobody");

    bench.exec(&[], 0);
    assert_eq!(asked(&server), (9, 9), "each draw has a seed of its own");
    let rows = bench.rows("out/shards");
    assert_eq!(rows.len(), 3, "2 is the answer to one question");
    let row = &rows[0];
    assert_eq!((&row["completion"], &row["finish_reason"]), (&"so\n#### 2".into(), &"stop".into()));
    assert_eq!((&row["n_prompt_tokens"], &row["n_tokens"]), (&Value::Int(3), &Value::Int(2)));
    assert_eq!(row["logprobs"], Value::Null, "they were not asked for");

    let again = bench.exec(&["--format", "json", "--verify-incremental"], 0).json();
    assert_eq!((calls(&again, "attempts"), asked(&server)), (0, (9, 9)));
}

#[test]
fn a_floor_goes_on_behind_a_server() {
    let server = Fake::new(|_| Act::Answer, two);
    let until = "n: 1, until: {correct: 2, budget: 4, guide: {template: \"{{ prompt }} hint\"}}";
    let bench = Bench::with(&pipeline(&server.url(), "").replace("n: 3", until));
    bench.exec(&["-q"], 0);
    // 2 is the answer to one question, which has enough with two draws; the two others spend their budget.
    assert_eq!(asked(&server), (10, 10));
    let hinted = server.log().asked.keys().filter(|(prompt, _)| prompt.ends_with(" hint")).count();
    assert_eq!(hinted, 7, "all but the first draws");
    let rows = bench.rows("out/shards");
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["prompt"] == "1+1=".into()), "{rows:?}");
    bench.exec(&["-q", "--set", "steps.attempts.until.budget=5"], 0);
    assert_eq!(asked(&server), (12, 12));
}

#[test]
fn kept_answers_stay_when_a_server_moves_and_not_when_the_model_changes() {
    let first = Fake::new(|_| Act::Answer, two);
    let bench = Bench::with(&pipeline(&first.url(), ""));
    bench.exec(&["-q"], 0);
    let second = Fake::new(|_| Act::Answer, two);
    let foretold = |more: &str| {
        bench.put("p.yaml", pipeline(&second.url(), more));
        let ran = bench.flow(&["plan", "p.yaml", "--format", "json"]);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        calls(&ran.json(), "attempts")
    };
    for same in [
        "",
        ", max_concurrency: 2, timeout: 9",
        ", dialect: llama_cpp",
        ", draws_per_request: 3",
        ", api_key_env: K",
    ] {
        assert_eq!(foretold(same), 0, "{same}");
    }
    let others = [
        ", revision: b",
        ", api: chat",
        ", api: chat, system: Be brief.",
        ", logprobs: true",
        ", extra_body: {a: 1}",
    ];
    for other in others {
        assert_eq!(foretold(other), 9, "{other}");
    }
    assert_eq!(foretold(""), 0);
}

#[test]
fn what_was_finished_before_a_kill_is_not_asked_again() {
    let (tell, told) = mpsc::channel();
    let held = Arc::new(AtomicBool::new(true));
    let holds = held.clone();
    let act = move |asked: &Asked| {
        let _ = tell.send(());
        // Most are answered at once, some only in the second run.
        match asked.seed.is_multiple_of(5) && holds.load(SeqCst) {
            true => Act::Late(Duration::from_secs(60)),
            false => Act::Answer,
        }
    };
    let server = Fake::new(act, two);
    let bench = Bench::with(&pipeline(&server.url(), "").replace("n: 3", "n: 200"));
    let mut run =
        bench.command(&["exec", "p.yaml", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while told.recv_timeout(Duration::from_secs(2)).is_ok() {}
    run.kill().unwrap();
    run.wait().unwrap();
    let before = server.log();
    assert!(before.answered.len() > 300 && before.answered.len() < before.asked.len());

    held.store(false, SeqCst);
    bench.exec(&["-q"], 0);
    let after = server.log();
    let asked: BTreeSet<_> = after.asked.keys().collect();
    assert_eq!(asked.len(), 600, "none is lost");
    for (draw, n) in &before.answered {
        assert_eq!((after.asked[draw], after.answered[draw]), (*n, *n), "{draw:?} was finished");
    }
    assert_eq!(bench.rows("out/shards").len(), 200);
}

#[test]
fn what_processes_may_ask_together_is_asked_answered_and_kept() {
    let server = Fake::new(|_| Act::Late(Duration::from_millis(300)), two);
    let bench = Bench::with(&pipeline(&server.url(), "").replace("n: 3", "n: 20"));
    let limited = ["-q", "--processes", "3", "--set", "budget={calls: 25}"];
    for asked_so_far in [25, 50] {
        bench.exec(&limited, 4);
        assert_eq!(
            asked(&server),
            (asked_so_far, asked_so_far),
            "no more is asked than is allowed, and that is kept"
        );
    }
    bench.exec(&limited, 0);
    assert_eq!(asked(&server), (60, 60));
}

#[test]
fn what_a_server_refuses_is_a_rejected_row_or_ends_the_run() {
    let act = |asked: &Asked| if asked.prompt == "2+3=" { Act::Status(400, "") } else { Act::Answer };
    let server = Fake::new(act, two);
    let rejects = "  rejects: {op: write, from: attempts.rejected, path: out/rejects}\n";
    let text = |more: &str| pipeline(&server.url(), more) + rejects;
    let bench = Bench::with(&text(""));
    bench.exec(&["-q"], 0);
    let rejected = bench.rows("out/rejects");
    assert_eq!((rejected.len(), &rejected[0]["reason"]), (1, &"server_refused".into()));
    assert!(
        matches!(&rejected[0]["detail"], Value::Text(text) if text.contains("status 400")),
        "{rejected:?}"
    );
    assert_eq!(bench.rows("out/shards").len(), 3);
    assert_eq!(asked(&server), (9, 9), "a refusal is not asked again");
    let plan = bench.flow(&["plan", "p.yaml"]).stdout;
    assert!(plan.contains("1 row rejected by the last run may be asked for again"), "{plan}");
    bench.flow(&["show", "p.yaml", "attempts.rejected"]).says(&["0 of 0 rows", "answers are not there"]);

    bench.put("p.yaml", text(", on_failure: stop"));
    bench.exec(&[], 1).says(&["error[E0701]", "step `attempts` failed", "status 400"]);
}

#[test]
fn a_server_that_does_not_know_the_model_ends_the_run() {
    let server = Fake::new(|_| Act::Status(404, ""), two);
    let bench = Bench::with(&pipeline(&server.url(), ""));
    bench.exec(&[], 1).says(&["error[E0701]", "status 404", "flow doctor PIPELINE"]);
}

#[test]
fn a_key_reaches_the_server_and_nothing_else() {
    let server = Fake::new(|asked| if asked.earlier == 0 { Act::Status(500, "") } else { Act::Answer }, two);
    let strict = Fake::new(|_| Act::Status(401, ""), two);
    let text = |url: &str| pipeline(url, ", api_key_env: TEACHER_KEY");
    let bench = Bench::with(&text(&server.url()));
    let run = |args: &[&str]| {
        let mut command = bench.command(args);
        command.env("TEACHER_KEY", "sk-very-secret").stdout(Stdio::piped()).stderr(Stdio::piped());
        Ran::of(command.spawn().unwrap())
    };
    bench.exec(&[], 1).says(&["error[E0701]", "`TEACHER_KEY`", "is not set in the environment"]);
    assert_eq!(asked(&server), (0, 0));

    let ran = run(&["exec", "p.yaml"]);
    assert_eq!((ran.code, server.log().key.as_str()), (0, "Bearer sk-very-secret"), "{}", ran.stderr);
    bench.put("p.yaml", text(&strict.url()).replace("tiny", "other"));
    let refused = run(&["exec", "p.yaml"]);
    refused.says(&["error[E0701]", "status 401 for Bearer ***"]);
    let doctor = run(&["doctor", "p.yaml"]);
    assert_eq!(doctor.code, 1);
    for ran in [&ran, &refused, &doctor] {
        assert!(!ran.stdout.contains("very-secret") && !ran.stderr.contains("very-secret"));
    }
    let kept = std::process::Command::new("grep")
        .args(["-rlF", "very-secret"])
        .arg(bench.path("."))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(kept.stdout).unwrap(), "", "no file holds the key");
    assert_eq!(kept.status.code(), Some(1));
}

#[test]
fn a_served_critic_works_beside_a_sampler_of_this_machine() {
    let server = Fake::new(|_| Act::Answer, |_| "1. right\nVerdict: correct".to_owned());
    let text = format!(
        "version: 1
name: both
models:
  policy: {{path: policy}}
  critic: {{server: [\"{0}\", \"http://127.0.0.1:9/v1\"], model: tiny, api: chat, system: You judge.}}
steps:
  questions: {{op: read, path: questions.jsonl}}
  attempts: {{op: sample, from: questions, model: policy, n: 4, max_tokens: 6}}
  better: {{op: sample, from: attempts, model: critic, max_tokens: 6}}
  shards: {{op: write, from: better, path: out/shards}}
",
        server.url()
    );
    let bench = Bench::with(&text);
    bench.model("policy");
    bench.exec(&["-q"], 0);
    assert_eq!((bench.rows("out/shards").len(), asked(&server).1), (12, 12));
    let body = &server.log().bodies[0];
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "You judge."}));
}

#[test]
fn doctor_asks_servers() {
    let server = Fake::new(|_| Act::Answer, two);
    let bench = Bench::with(&pipeline(&server.url(), ""));
    let ran = bench.flow(&["doctor", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("has `tiny`") && ran.stdout.contains("drew a token in"), "{}", ran.stdout);

    bench.put("p.yaml", pipeline(&server.url(), "").replace("model: tiny", "model: other"));
    let ran = bench.flow(&["doctor", "p.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("does not list `other`; it has tiny"), "{}", ran.stdout);

    bench.put("p.yaml", pipeline("http://127.0.0.1:9/v1", ""));
    let found = bench.flow(&["doctor", "p.yaml", "--format", "json"]).json();
    assert_eq!(
        (&found[0]["well"], &found[0]["draw_ms"]["Err"]),
        (&json!(false), &json!("connection refused"))
    );
}
