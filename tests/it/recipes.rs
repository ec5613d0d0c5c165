//! The recipes of `examples/ci`, carried out as they stand: every shell step of theirs and every command of their README, against
//! the emulator, on runners that are new for each job.

mod expression;
mod forge;
mod github;
mod gitlab;

use serde_json::Value;

use forge::{BRING_BACK, Event, FETCH, Kind, PUSH, Pipeline, Repository};

const BOTH: [Kind; 2] = [Kind::GitHub, Kind::GitLab];

/// The name of the job that looks at a pull request.
const fn review(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "plan",
        Kind::GitLab => "review",
    }
}

/// The shell of the step, and on GitLab the one around the program, end with the machine.
const fn lost_runner(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "touch \"$lost\"; kill -KILL $$",
        Kind::GitLab => "touch \"$lost\"; kill -KILL $PPID $$",
    }
}

/// From nothing to instances by what the README says, and what the doctor thinks of it.
#[test]
fn p1_p8_a_newcomers_pipeline_works_on_a_clean_clone_by_the_recipe_alone() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a", "b"]);
        let pushed = repository.follow(PUSH);
        let findings: Vec<_> = pushed.stdout.lines().filter(|line| line.starts_with("  error") || line.starts_with("  warning")).collect();
        // The tests themselves live where the system throws things away.
        let about_the_machine = ["state-place", "file-system"];
        let findings: Vec<_> = findings.iter().filter(|line| !about_the_machine.iter().any(|id| line.contains(id))).collect();
        assert!(findings.is_empty() && pushed.stdout.contains("concurrency  runs wait for each other"), "{kind:?}: {findings:?} {pushed}");

        let first = repository.again();
        first.ends("plan", 0, "Plan: 2 to create, 0 unchanged.");
        first.ends("apply", 0, "Apply: 2 created, 0 unchanged.");
        repository.is_complete(&["a", "b"]);

        let again = repository.merge(&["a", "b"]);
        again.ends("plan", 0, "Nothing to do");
        let is_left_out = kind == Kind::GitHub;
        assert_eq!(again.job("apply").result, if is_left_out { "skipped" } else { "success" });
        assert_eq!(repository.gateway.creates(), 2, "{kind:?}");
        repository.is_complete(&["a", "b"]);
    }
}

#[test]
fn p12_p14_a_pull_request_is_planned_without_key_address_or_request() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        repository.again().ends("apply", 0, "Apply: 1 created");
        let kept = repository.shell(&repository.path("origin.git"), "git rev-parse chatapi-state").stdout;

        let asked = repository.pull_request(&["a", "new"]);
        asked.ends(review(kind), 0, "Plan: 1 to create, 1 unchanged.");
        assert_eq!(asked.jobs.values().filter(|job| job.result != "skipped").count(), 1, "nothing else runs");
        let job = asked.job(review(kind));
        assert!(job.summary.contains("`new`") && job.summary.contains("Plan: 1 to create, 1 unchanged."), "{}", job.summary);
        let broken = repository.pull_request(&["a", "a"]);
        broken.ends(review(kind), 1, "a");
        // The money's guard speaks in the pull request already.
        let names: Vec<_> = (0..12).map(|number| format!("n{number}")).collect();
        let many: Vec<_> = names.iter().map(String::as_str).chain(["a"]).collect();
        repository.pull_request(&many).ends(review(kind), 6, "--max-creates");
        let now = repository.shell(&repository.path("origin.git"), "git rev-parse chatapi-state").stdout;
        assert_eq!((now, repository.gateway.creates()), (kept, 1));

        repository.merge(&["a", "new"]).ends("apply", 0, "Apply: 1 created, 1 unchanged.");
        repository.is_complete(&["a", "new"]);
    }
}

#[test]
fn p1_p8_two_merges_at_once_create_each_name_once() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        // The second has begun to wait before the first has run: both runs are of the newer commit's repository.
        let first = repository.merge(&["a"]);
        let second = repository.merge(&["a", "b"]);
        first.ends("apply", 0, "1 created");
        second.ends("apply", 0, "Apply: 1 created, 1 unchanged.");
        repository.is_complete(&["a", "b"]);
    }
}

#[test]
fn p1_a_job_that_is_run_again_alone_finds_its_plan_spent() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        let first = repository.again();
        first.ends("apply", 0, "1 created");
        repository.apply_again(&first).ends("apply", 7, "is spent");
        assert_eq!(repository.gateway.creates(), 1);
        let whole = repository.again();
        assert_ne!(whole.job("apply").result, "failure", "{}", whole.job("apply").log);
        repository.is_complete(&["a"]);
    }
}

/// The runner is gone after the creates and before the push: nobody knows them but the server.
#[test]
fn p1_p5_a_runner_that_is_lost_with_its_state_makes_no_second_create() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        repository.again().ends("apply", 0, "1 created");
        repository.trouble(lost_runner(kind));
        let lost = repository.merge(&["a", "b", "c"]);
        assert_ne!(lost.job("apply").code, 0);
        assert_eq!((repository.gateway.creates(), repository.is_lost()), (3, true));

        repository.trouble("");
        let again = repository.again();
        again.ends("plan", 0, "Plan: 2 to create, 1 unchanged.");
        again.ends("apply", 6, "the account has 2 instances that this state does not know");
        repository.again().ends("apply", 6, "the account has 2 instances");
        repository.apply_again(&again).ends("apply", 6, "the account has 2 instances");
        assert_eq!(repository.gateway.creates(), 3, "nothing was sent");
    }
}

/// Another one has pushed a state in the meantime: both are there afterwards.
#[test]
fn p3_p5_a_push_that_is_refused_loses_neither_state() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        let origin = repository.path("origin.git").display().to_string();
        let other = format!(
            "git clone --quiet --branch chatapi-state {origin} ../other && cd ../other && echo theirs > theirs && git add theirs && \
             git -c user.name=x -c user.email=x@y.example commit --quiet --message theirs && git push --quiet origin HEAD:chatapi-state"
        );
        repository.trouble(&other);
        let run = repository.again();
        let job = run.job("apply");
        assert!(job.code != 0 && job.log.contains("chatapi-state has moved"), "{}", job.log);
        let branches = repository.branches();
        let beside = branches.iter().find(|name| name.starts_with("chatapi-state-")).expect("a branch beside");
        assert!(job.log.contains(beside.as_str()), "{}", job.log);
        let show = |file: &str| repository.shell(&repository.path("origin.git"), &format!("git show {file}")).stdout;
        assert_eq!(show("chatapi-state:theirs"), "theirs\n", "never forced");
        assert!(show(&format!("{beside}:state/journal.jsonl")).contains("created"));
        let is_kept = |path: &str| run.artifacts.keys().any(|(_, kept)| kept == path);
        assert!(kind == Kind::GitHub || is_kept("kept/state/journal.jsonl"), "{:?}", run.artifacts.keys());
        // The branch has the older state now, and creates nothing with it.
        repository.trouble("");
        repository.again().ends("apply", 6, "the account has 1 instance");
        assert_eq!(repository.gateway.creates(), 1);
    }
}

/// No push works at all: the state is in the artifacts.
#[test]
fn p3_a_state_that_no_branch_takes_is_an_artifact() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        let hook = repository.path("origin.git/hooks/pre-receive");
        repository.trouble(&format!("echo 'exit 1' > {0}; chmod 755 {0}", hook.display()));
        let run = repository.again();
        assert_eq!((run.job("apply").result, repository.gateway.creates()), ("failure", 1), "{}", run.job("apply").log);
        let journal = run.artifacts.iter().find(|((_, path), _)| path == "kept/state/journal.jsonl").expect("the journal");
        assert!(String::from_utf8_lossy(journal.1).contains("created"));
        assert!(run.artifacts.keys().any(|(_, path)| path == "kept/chatapi.lock"));
    }
}

/// The state's branch is gone: nothing is begun in its place.
#[test]
fn p5_without_its_branch_nothing_runs() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        repository.again().ends("apply", 0, "1 created");
        repository.shell(&repository.path("origin.git"), "git branch --quiet -D chatapi-state").done();
        let run = repository.merge(&["a", "b"]);
        assert_eq!(run.job("plan").result, "failure");
        assert!(run.jobs.get("apply").is_none_or(|job| job.result == "skipped"));
        assert_eq!((repository.gateway.creates(), repository.branches().contains(&"chatapi-state".to_owned())), (1, false));
    }
}

/// Tokens go to the deployment and nowhere else.
#[test]
fn p11_a_deployment_gets_the_tokens_and_the_log_does_not() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a", "b"]);
        repository.set("CHATAPI_DEPLOY", "true");
        let seen = repository.path("seen");
        let script = format!("#!/usr/bin/env bash\nprintf '%s %s %s' \"$CREATE_COUNT\" \"$CHATAPI_A_TOKEN\" \"$CHATAPI_B_ID\" > {}\necho \"is set: ${{CHATAPI_A_TOKEN:+yes}}\"\n", seen.display());
        forge::executable(&repository.path("clone/deploy.sh"), &script);
        repository.follow(PUSH).done();
        for creates in ["2", "0"] {
            let run = repository.again();
            run.ends("deploy", 0, "is set: yes");
            let tokens = repository.gateway.tokens();
            let mut ids = tokens.iter();
            let (given, expected) = (std::fs::read_to_string(&seen).unwrap(), [ids.next().unwrap(), ids.next().unwrap()]);
            let words: Vec<_> = given.split(' ').collect();
            assert_eq!(words[0], creates);
            assert!(expected.iter().any(|(_, token)| token.as_str() == words[1]), "the token of a");
            assert!(expected.iter().any(|(id, _)| id.as_str() == words[2]), "the id of b");
            assert_eq!(tokens.len(), 2);
        }
        let asked = repository.pull_request(&["a", "b"]);
        assert!(asked.jobs.get("deploy").is_none_or(|job| job.result == "skipped"));
    }
}
