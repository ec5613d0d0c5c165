//! The recipes of `examples/ci`, carried out as they stand: every shell step of theirs and every command of their README, against
//! the emulator, on runners that are new for each job.

mod actions;
mod expression;
mod forge;
mod github;
mod gitlab;
mod hostile;
mod parts;
mod secrets;

use chatapi::Client;
use chatapi::secret::Secret;
use forge::{Kind, Repository};
use parts::{BRING_BACK, FETCH, PUSH, instructions, recipe};

use crate::stage::KEY;

const BOTH: [Kind; 2] = [Kind::GitHub, Kind::GitLab];

/// The name of the job that looks at a pull request.
const fn review(kind: Kind) -> &'static str {
    match kind {
        Kind::GitHub => "plan",
        Kind::GitLab => "review",
    }
}

/// What the doctor warns of, but the place of these tests: it is one where the system throws things away.
fn findings(examined: &str) -> Vec<&str> {
    let is_finding = |line: &&str| ["  error", "  warning", "  unsure"].iter().any(|start| line.starts_with(start));
    let is_place = |line: &&str| ["state-place", "file-system"].iter().any(|id| line.contains(id));
    examined.lines().filter(is_finding).filter(|line| !is_place(line)).collect()
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
        assert_eq!(findings(&pushed.stdout), [""; 0], "{kind:?}: {pushed}");
        assert!(pushed.stdout.contains("concurrency   runs wait for each other"), "{pushed}");

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

        // With the state at hand, as a job has it.
        let script = "git clone --quiet --branch chatapi-state ../origin.git kept; chmod -R go-rwx kept/state; \
                      CHATAPI_STATE=kept/state CHATAPI_LOCK_FILE=kept/chatapi.lock chatapi doctor || [ $? -eq 1 ]";
        let examined = repository.shell(&repository.path("clone"), script);
        assert_eq!(findings(&examined.stdout), [""; 0], "{kind:?}: {examined}");
        assert!(examined.stdout.contains("sealed and on a branch of its own"), "{examined}");
        assert!(examined.stdout.contains("chatapi.lock is there and known to git"), "{examined}");
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
        // The money's guard speaks in the pull request already, and makes it red.
        let names: Vec<_> = (0..12).map(|number| format!("n{number}")).collect();
        let many: Vec<_> = names.iter().map(String::as_str).chain(["a"]).collect();
        let stopped = repository.pull_request(&many);
        stopped.ends(review(kind), 6, "an apply will stop: 12 instances would be created");
        let summary = &stopped.job(review(kind)).summary;
        assert!(summary.contains("12 instances would be created"), "{summary}");
        let now = repository.shell(&repository.path("origin.git"), "git rev-parse chatapi-state").stdout;
        assert_eq!((now, repository.gateway.creates()), (kept, 1));

        repository.merge(&many).ends("plan", 6, "--max-creates");
        assert_eq!(repository.gateway.creates(), 1);
        repository.set("CHATAPI_MAX_CREATES", "12");
        repository.again().ends("apply", 0, "Apply: 12 created, 1 unchanged.");
    }
}

/// One name goes and another comes: nobody but a person knows whether it is the same instance.
#[test]
fn p1_a_name_for_another_is_red_in_the_pull_request_until_it_is_answered() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a", "b"]);
        repository.follow(PUSH).done();
        repository.again().ends("apply", 0, "2 created");
        repository.pull_request(&["a", "c"]).ends(review(kind), 6, "an apply will stop: `c`");
        repository.merge(&["a", "c"]).ends("plan", 6, "--not-a-rename c");
        assert_eq!(repository.gateway.creates(), 2);

        // By the variable; a name that is no question does not matter.
        repository.set("CHATAPI_NOT_A_RENAME", "c other");
        let code = if kind == Kind::GitHub { 6 } else { 0 };
        repository.pull_request(&["a", "c"]).ends(review(kind), code, "Plan: 1 to create");
        repository.again().ends("apply", 0, "Apply: 1 created");
        assert_eq!(repository.gateway.creates(), 3);
        repository.set("CHATAPI_NOT_A_RENAME", "");

        // Or it is the same one under another name, which a checkout of the state is told.
        repository.merge(&["a", "d"]).ends("plan", 6, "state mv c d");
        let checkout = instructions()[FETCH].replace("chatapi doubts\n", "chatapi state mv c d\n");
        repository.shell(&repository.path("clone"), &checkout).done();
        repository.follow(BRING_BACK).done();
        let moved = repository.again();
        assert_ne!(moved.job("apply").result, "failure", "{}", moved.job("apply").log);
        assert_eq!(repository.gateway.creates(), 3);
    }
}

/// A rebuild leaves what nobody needs beside the new state: the branch had it before.
#[test]
fn what_a_rebuild_leaves_is_not_committed() {
    let repository = Repository::new(Kind::GitHub, &["a"]);
    repository.follow(PUSH).done();
    repository.again().ends("apply", 0, "1 created");
    let clone = repository.path("clone");
    let fetch = instructions()[FETCH].replace("chatapi doubts\n", "");
    let damage = "sed -i '2s/T/U/' kept/state/journal.jsonl; rm -rf kept/state/index\n\
                  chatapi state rebuild --from journal --lock-file kept/chatapi.lock\n\
                  touch kept/chatapi.lock.before-rebuild; ls kept/state | grep damaged-";
    repository.shell(&clone, &format!("{fetch}{damage}")).done();
    repository.follow(BRING_BACK).done();
    let listed = repository.shell(&repository.path("origin.git"), "git ls-tree -r --name-only chatapi-state").stdout;
    assert!(listed.contains("state/journal.jsonl\n") && listed.contains("chatapi.lock\n"), "{listed}");
    assert!(!listed.contains("damaged-") && !listed.contains("before-rebuild"), "{listed}");
    let typed = instructions()[BRING_BACK].lines().next().unwrap().to_owned();
    assert!(BOTH.iter().all(|kind| recipe(*kind).contains(&typed)), "both jobs keep what the README keeps: {typed}");
}

#[test]
fn p1_p8_two_merges_at_once_create_each_name_once() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        repository.follow(PUSH).done();
        let runs = repository.merges(&[&["a"], &["a", "b"]]);
        runs[0].ends("apply", 0, "Apply: 1 created, 0 unchanged.");
        runs[1].ends("apply", 0, "Apply: 1 created, 1 unchanged.");
        repository.is_complete(&["a", "b"]);

        // A plan that waited for its approval, or for GitLab's other pipeline, while the state has moved.
        repository.gone_before_apply(kind);
        let waiting = repository.merge(&["a", "b", "c"]);
        repository.trouble("");
        repository.merge(&["a", "b", "d"]).ends("apply", 0, "Apply: 1 created, 2 unchanged.");
        repository.apply_again(&waiting).ends("apply", 7, "plan");
        repository.is_complete(&["a", "b", "d"]);
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

        // What the README says: they are deleted at the provider, and made anew.
        let client = Client::builder(repository.gateway.url(), Secret::new(KEY.to_owned())).build_blocking().unwrap();
        let known = repository.kept("chatapi state show a --format json").json()["id"].as_str().unwrap().to_owned();
        for id in repository.gateway.tokens().keys().filter(|id| **id != known) {
            client.delete_instance(&id.parse().unwrap()).unwrap();
        }
        repository.again().ends("apply", 0, "Apply: 2 created, 1 unchanged.");
        repository.kept("chatapi state verify").done();
    }
}

/// The process is killed in the middle; the step that keeps the state runs all the same, and the next run ends right.
#[cfg(feature = "failpoints")]
#[test]
fn p1_p2_p3_a_killed_apply_is_kept_and_the_next_run_ends_right() {
    let points = [
        "guards-passed=kill",
        "journal-after-intent=kill@2",
        "connected=kill@2",
        "journal-after-received=kill@2",
        "journal-after-created=kill@3",
        "index-updated=kill",
        "told=kill",
    ];
    for (number, point) in points.into_iter().enumerate() {
        let kind = BOTH[number % 2];
        let repository = Repository::new(kind, &["a", "b", "c"]);
        repository.follow(PUSH).done();
        repository.failpoint(point);
        let killed = repository.again();
        killed.ends("apply", 137, "failpoint");
        assert_eq!(repository.gateway.creates(), repository.gateway.tokens().len(), "{point}");
        repository.trouble("");
        let again = repository.again();
        again.ends("plan", 0, "");
        assert_ne!(again.job("apply").result, "failure", "{point}: {}", again.job("apply").log);
        assert_eq!(repository.gateway.creates(), 3, "{point}");
        repository.is_complete(&["a", "b", "c"]);
    }
}

/// Cancelled hard: on GitLab the shell is gone too, and what comes after it keeps the state.
#[test]
fn p10_a_cancelled_job_keeps_what_it_has_created() {
    for (kind, end) in [(Kind::GitHub, "kill -TERM $$"), (Kind::GitLab, "kill -TERM $PPID $$")] {
        let repository = Repository::new(kind, &["a", "b"]);
        repository.follow(PUSH).done();
        repository.trouble(end);
        let cancelled = repository.again();
        assert_eq!((cancelled.job("apply").result, repository.gateway.creates()), ("failure", 2));
        repository.is_complete(&["a", "b"]);
        repository.trouble("");
        repository.again().ends("plan", 0, "Nothing to do");
        assert_eq!(repository.gateway.creates(), 2);
    }
}

/// A doubt of a run that was killed is told with its command, and is settled by what the README says.
#[cfg(feature = "failpoints")]
#[test]
fn p7_a_doubt_is_settled_on_the_states_branch_by_what_the_readme_says() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a", "b", "c"]);
        repository.follow(PUSH).done();
        // The server has created, and the answer is in memory only.
        repository.failpoint("answer-read=kill@2");
        repository.again().ends("apply", 137, "failpoint");
        repository.trouble("");
        let doubtful = repository.again();
        doubtful.ends("plan", 0, "in doubt");
        // Nothing has listed since: what the doubt has made cannot be told from what a lost run would have.
        doubtful.ends("apply", 3, "what is in doubt may be among them: settle that first");
        let (log, summary) = (&doubtful.job("apply").log, &doubtful.job("apply").summary);
        assert!(log.contains("chatapi resolve b --attempt") || log.contains("resolve b --attempt"), "{log}");
        assert!(kind == Kind::GitLab || summary.contains("resolve b --attempt"), "{summary}");
        assert_eq!(repository.gateway.creates(), 2, "the one that is in doubt, and the one before it");

        let fetched = repository.follow(FETCH);
        assert!(fetched.stdout.contains("? b (whatsapp)"), "{fetched}");
        let settle = "export CHATAPI_STATE=kept/state CHATAPI_LOCK_FILE=kept/chatapi.lock; ";
        let clone = repository.path("clone");
        let seen = repository.shell(&clone, &format!("{settle} chatapi doubts --refresh || [ $? -eq 3 ]"));
        let line = seen.stdout.lines().find(|line| line.contains("settle")).expect("what settles it");
        let command = line.split_once("settle").unwrap().1.trim();
        let id = command.split("--created ").nth(1).unwrap();
        let token = repository.gateway.tokens()[id].clone();
        std::fs::write(repository.path("home/token"), token).unwrap();
        let script = format!("{settle} {command} --reason listed; chatapi token set b < ~/token");
        repository.shell(&clone, &script).done();
        repository.follow(BRING_BACK).done();

        repository.again().ends("apply", 0, "Apply: 1 created, 2 unchanged.");
        repository.again().ends("plan", 0, "Nothing to do");
        assert_eq!(repository.gateway.creates(), 3);
        repository.is_complete(&["a", "b", "c"]);
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
