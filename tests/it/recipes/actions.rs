//! The four actions that the workflow uses, each as far as it is used.

use std::fs;

use serde_json::Value;

use super::expression::interpolate;
use super::github::Runner;
use super::parts::{files, knows};
use crate::stage::Call;

impl Runner<'_> {
    pub(super) fn action(&mut self, action: &str, with: &Value) -> i32 {
        let (name, version) = action.split_once('@').expect("a version");
        let is_pinned = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_pinned, "{action} may become something else");
        let given = |key: &str| with[key].as_str().map(|text| interpolate(text, self));
        match name {
            "actions/checkout" => self.checkout(with),
            "actions/cache" => {
                knows(with, &["path", "key"]);
                assert_eq!(given("path").as_deref(), Some("~/.cargo/bin/chatapi"), "the program and nothing else");
                assert!(given("key").unwrap().contains(&"1".repeat(40)), "of the pinned version");
                0
            }
            "actions/upload-artifact" => {
                knows(with, &["name", "path", "if-no-files-found", "overwrite"]);
                let (name, work) = (given("name").unwrap(), self.place.join("work"));
                let paths = given("path").unwrap();
                let found: Vec<_> =
                    paths.lines().flat_map(|path| files(&work, path)).filter(|(path, _)| !path.contains("/.")).collect();
                let code = i32::from(found.is_empty() && with["if-no-files-found"] == "error");
                self.uploads.extend(found.into_iter().map(|(path, bytes)| ((name.clone(), path), bytes)));
                code
            }
            "actions/download-artifact" => {
                knows(with, &["name"]);
                let name = given("name").unwrap();
                let found: Vec<_> = self.run.done.artifacts.iter().filter(|((of, _), _)| *of == name).collect();
                for ((_, path), bytes) in &found {
                    fs::write(self.place.join("work").join(path), bytes).unwrap();
                }
                i32::from(found.is_empty())
            }
            _ => panic!("the runner of the tests does not know {action}"),
        }
    }

    /// A clone, from which nobody can push who is not let.
    fn checkout(&mut self, with: &Value) -> i32 {
        knows(with, &["ref", "path", "persist-credentials"]);
        let work = self.place.join("work");
        let target = with["path"].as_str().map_or(work.clone(), |path| work.join(path));
        let what = with["ref"].as_str().unwrap_or(&self.run.github["sha"]).to_owned();
        let may_push = self.definition["permissions"]["contents"] == "write" && with["persist-credentials"] != false;
        let origin = self.run.repository.path("origin.git");
        let push = if may_push { "" } else { "git remote set-url --push origin /nobody/may/push" };
        let script = format!(
            "umask 022; git init --quiet . 2>&1; git remote add origin {}; git fetch --quiet --depth 1 origin \"$0\"; \
             git checkout --quiet -B checked-out FETCH_HEAD; {push}",
            format_args!("file://{}", origin.display())
        );
        fs::create_dir_all(&target).unwrap();
        let call = Call::of("bash", target, ["-ec", &script, &what]);
        let ran = call.envs(&self.run.repository.environment(&self.place.join("home"))).run();
        self.logs(&ran.stderr);
        ran.code
    }
}
