//! What a `resource_group` comes to in the runs of a job.

use serde_json::Value;

use super::Name;
use super::yaml::{at, texts};

/// Variables that no two pipelines, or no two jobs, have alike.
const OF_RUN: [&str; 18] = [
    "CI_PIPELINE_ID",
    "CI_PIPELINE_IID",
    "CI_PIPELINE_URL",
    "CI_PIPELINE_CREATED_AT",
    "CI_JOB_ID",
    "CI_JOB_URL",
    "CI_JOB_TOKEN",
    "CI_JOB_STARTED_AT",
    "CI_COMMIT_SHA",
    "CI_COMMIT_SHORT_SHA",
    "CI_COMMIT_BEFORE_SHA",
    "CI_COMMIT_TIMESTAMP",
    "CI_COMMIT_TITLE",
    "CI_COMMIT_MESSAGE",
    "CI_COMMIT_AUTHOR",
    "CI_RUNNER_ID",
    "CI_CONCURRENT_ID",
    "CI_NODE_INDEX",
];
/// How far variables in variables are followed.
const DEPTH_MAX: usize = 5;

/// What the name depends on.
#[derive(Debug)]
pub(super) struct Job<'j> {
    pub(super) name: &'j str,
    pub(super) definition: &'j Value,
    pub(super) workflow: Option<&'j Value>,
    pub(super) variables: &'j [(String, String)],
}

/// What `text` comes to.
pub(super) fn name(text: &str, job: &Job<'_>) -> Name {
    expanded(text, job, 0).map_or_else(|name| name, |text| Name::Fixed(text.to_lowercase()))
}

fn expanded(text: &str, job: &Job<'_>, depth: usize) -> Result<String, Name> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        let is_braced = behind.starts_with('{');
        let start = behind.strip_prefix('{').unwrap_or(behind);
        let end = start.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(start.len());
        let (variable, after) = start.split_at(end);
        out.push_str(&value(variable, job, depth)?);
        rest = if is_braced { after.strip_prefix('}').ok_or(Name::Unknown)? } else { after };
    }
    out.push_str(rest);
    Ok(out)
}

fn value(variable: &str, job: &Job<'_>, depth: usize) -> Result<String, Name> {
    let own = job.variables.iter().find(|(name, _)| name == variable).map(|(_, value)| value);
    match variable {
        "" => Err(Name::Unknown),
        _ if OF_RUN.contains(&variable) || variable.starts_with("GITLAB_USER_") => {
            Err(Name::Varies("each run has a group of its own"))
        }
        "CI_COMMIT_BRANCH" | "CI_COMMIT_REF_NAME" | "CI_COMMIT_REF_SLUG" => branch(job).map_or_else(Err, Ok),
        "CI_COMMIT_TAG" | "CI_PIPELINE_SOURCE" => Err(Name::Varies("runs for other branches or events have other groups")),
        _ if variable.starts_with("CI_MERGE_REQUEST_") => {
            Err(Name::Varies("runs for other branches or events have other groups"))
        }
        "CI_JOB_NAME" | "CI_JOB_NAME_SLUG" => Ok(job.name.to_owned()),
        "CI_ENVIRONMENT_NAME" | "CI_ENVIRONMENT_SLUG" => {
            let said = at(job.definition, &["environment"]);
            let text = said.and_then(|said| at(said, &["name"]).unwrap_or(said).as_str()).filter(|_| depth < DEPTH_MAX);
            expanded(text.ok_or(Name::Unknown)?, job, depth + 1)
        }
        _ if ["CI_PROJECT_", "CI_SERVER_", "CI_JOB_STAGE", "CI_DEFAULT_BRANCH"]
            .iter()
            .any(|start| variable.starts_with(start)) =>
        {
            Ok(format!("<{variable}>"))
        }
        _ => match own {
            Some(value) if depth < DEPTH_MAX => expanded(value, job, depth + 1),
            _ => Err(Name::Unknown),
        },
    }
}

/// The one branch that the job runs for.
fn branch(job: &Job<'_>) -> Result<String, Name> {
    let varies = Name::Varies("runs for other branches or events have other groups");
    let of_workflow = job.workflow.and_then(|workflow| at(workflow, &["rules"])).map(by_rules);
    let of_job = match (at(job.definition, &["rules"]), at(job.definition, &["only"])) {
        (Some(rules), _) => Some(by_rules(rules)),
        (None, Some(only)) => Some(by_only(only)),
        (None, None) => None,
    };
    match (of_job, of_workflow) {
        (Some(Branch::One(name)), _) | (_, Some(Branch::One(name))) => Ok(name),
        (Some(Branch::Unknown), _) | (None, Some(Branch::Unknown)) => Err(Name::Unknown),
        _ => Err(varies),
    }
}

/// For which branches something runs.
enum Branch {
    One(String),
    Many,
    Unknown,
}

fn by_rules(rules: &Value) -> Branch {
    let rules = rules.as_array().map_or(&[][..], Vec::as_slice);
    let is_run = |rule: &&Value| at(rule, &["when"]).and_then(Value::as_str) != Some("never");
    let mut branches = Vec::new();
    for rule in rules.iter().filter(is_run) {
        let Some(condition) = at(rule, &["if"]).and_then(Value::as_str) else { return Branch::Unknown };
        match in_condition(condition) {
            Branch::One(name) => branches.push(name),
            other => return other,
        }
    }
    branches.sort();
    branches.dedup();
    match <[String; 1]>::try_from(branches) {
        Ok([name]) => Branch::One(name),
        Err(names) if names.is_empty() => Branch::Unknown,
        Err(_) => Branch::Many,
    }
}

/// `$CI_COMMIT_BRANCH == "main" && …`.
fn in_condition(condition: &str) -> Branch {
    if condition.contains("||") {
        return Branch::Unknown;
    }
    let named = condition.split("&&").find_map(|part| {
        let (left, right) = part.split_once("==")?;
        let is_branch = matches!(left.trim(), "$CI_COMMIT_BRANCH" | "$CI_COMMIT_REF_NAME");
        is_branch.then(|| right.trim().trim_matches(['"', '\'']).to_owned())
    });
    named.map_or(Branch::Unknown, Branch::One)
}

fn by_only(only: &Value) -> Branch {
    const KINDS: [&str; 11] = [
        "api",
        "branches",
        "chat",
        "external",
        "external_pull_requests",
        "merge_requests",
        "pipelines",
        "pushes",
        "schedules",
        "tags",
        "web",
    ];
    let names = texts(at(only, &["refs"]).unwrap_or(only));
    match names.as_slice() {
        [name] if !KINDS.contains(name) && !name.starts_with('/') => Branch::One((*name).to_owned()),
        [] => Branch::Unknown,
        _ => Branch::Many,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_what_its_variables_come_to() {
        let fixed = |text: &str| Name::Fixed(text.to_owned());
        let by_run = || Name::Varies("each run has a group of its own");
        let by_branch = || Name::Varies("runs for other branches or events have other groups");
        let main = "rules: [{if: '$CI_COMMIT_BRANCH == \"main\"'}]";
        for (job, group, expected) in [
            ("a: b", "Chatapi", fixed("chatapi")),
            ("a: b", "x-$CI_PIPELINE_ID", by_run()),
            ("a: b", "x-${CI_JOB_ID}", by_run()),
            ("a: b", "$CI_COMMIT_SHA", by_run()),
            ("a: b", "$CI_COMMIT_REF_SLUG", by_branch()),
            (main, "x-$CI_COMMIT_REF_SLUG", fixed("x-main")),
            ("only: [main]", "$CI_COMMIT_BRANCH", fixed("main")),
            ("only: [branches]", "$CI_COMMIT_BRANCH", by_branch()),
            (
                "rules: [{if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH}, {when: never}]",
                "$CI_COMMIT_BRANCH",
                fixed("$ci_default_branch"),
            ),
            ("rules: [{if: $CI_COMMIT_BRANCH == \"a\"}, {if: $CI_COMMIT_BRANCH == \"b\"}]", "$CI_COMMIT_BRANCH", by_branch()),
            ("rules: [{if: $X}]", "$CI_COMMIT_BRANCH", Name::Unknown),
            ("environment: {name: production}", "$CI_ENVIRONMENT_NAME", fixed("production")),
            ("environment: review/$CI_COMMIT_SHA", "$CI_ENVIRONMENT_SLUG", by_run()),
            ("a: b", "$CI_PROJECT_ID-$OWN", fixed("<ci_project_id>-mine")),
            ("a: b", "$LOOP", Name::Unknown),
            ("a: b", "$OTHER", Name::Unknown),
            ("a: b", "${CI_PROJECT_ID", Name::Unknown),
        ] {
            let definition = super::super::yaml::documents(job).unwrap().remove(0);
            let variables = [("OWN".to_owned(), "mine".to_owned()), ("LOOP".to_owned(), "$LOOP".to_owned())];
            let job = Job { name: "apply", definition: &definition, workflow: None, variables: &variables };
            assert_eq!(name(group, &job), expected, "{group}: {definition}");
        }
    }
}
