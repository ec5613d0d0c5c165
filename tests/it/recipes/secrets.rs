//! Where tokens go, and where they do not.

use super::BOTH;
use super::forge::Repository;
use super::parts::{PUSH, executable};

/// Tokens go to the deployment and nowhere else.
#[test]
fn p11_a_deployment_gets_the_tokens_and_the_log_does_not() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a", "b"]);
        repository.set("CHATAPI_DEPLOY", "true");
        let seen = repository.path("seen");
        let script = format!(
            "#!/usr/bin/env bash\nprintf '%s %s %s' \"$CREATE_COUNT\" \"$CHATAPI_A_TOKEN\" \"$CHATAPI_B_ID\" > {}\necho \"is set: ${{CHATAPI_A_TOKEN:+yes}}\"\n",
            seen.display()
        );
        executable(&repository.path("clone/deploy.sh"), &script);
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

/// Without a key to seal to nothing is created, so nothing in the clear can come to the branch.
#[test]
fn p11_without_a_key_to_seal_to_nothing_is_created() {
    for kind in BOTH {
        let repository = Repository::new(kind, &["a"]);
        let manifest = repository.path("clone/instances.yaml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let open: Vec<_> = text.lines().filter(|line| !line.starts_with("seal_to")).collect();
        std::fs::write(&manifest, open.join("\n")).unwrap();
        repository.follow(PUSH).done();
        repository.again().ends("apply", 1, "there is no public key to seal tokens to");
        assert_eq!(repository.gateway.creates(), 0);
    }
}
