//! What runs this, and on what: the person or the job, the clock, the disk.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use crate::state::Who;
use crate::text::escape;

/// `at` in whole seconds and never before it: whoever is told to come then does not come too early.
pub(super) fn not_before(at: Timestamp) -> Timestamp {
    at.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil)).unwrap_or(at)
}

/// Whether a CI system runs this.
pub(super) fn is_ci() -> bool {
    const MARKS: &[&str] = &[
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "TF_BUILD",
        "BUILDKITE",
        "CIRCLECI",
        "JENKINS_URL",
        "TEAMCITY_VERSION",
        "BITBUCKET_COMMIT",
        "CODEBUILD_BUILD_ARN",
        "TRAVIS",
        "DRONE",
    ];
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let ci = env::var("CI").unwrap_or_default();
    match ci.as_str() {
        "" => MARKS.iter().any(|mark| is_set(mark)),
        "0" | "false" => false,
        _ => true,
    }
}

/// Who runs this, as far as the environment tells.
pub(super) fn who() -> Who {
    let first = |names: &[&str]| names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()).map(clean));
    let github = || {
        let part = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let (server, repository, run) = (part("GITHUB_SERVER_URL")?, part("GITHUB_REPOSITORY")?, part("GITHUB_RUN_ID")?);
        Some(clean(format!("{server}/{repository}/actions/runs/{run}")))
    };
    Who {
        user: first(&["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"]),
        host: Some(clean(rustix::system::uname().nodename().to_string_lossy())),
        job: github().or_else(|| first(&["CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL"])),
        commit: first(&["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT", "CIRCLE_SHA1"]),
    }
}

fn clean(text: impl AsRef<str>) -> String {
    let cut: String = text.as_ref().chars().take(300).collect();
    escape(&cut).into_owned()
}

/// Changes with each start of the machine.
pub(super) fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Since the machine started, suspended time too: nobody can set this clock.
#[cfg(target_os = "linux")]
pub(super) fn up() -> Option<Duration> {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Boottime)).ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn up() -> Option<Duration> {
    None
}

/// Now, by the wall's clock as it was when this was first asked and the machine's since: the times that a run records stand in
/// the right distance from each other, whatever is done to the clock meanwhile.
pub(super) fn steady_now() -> Timestamp {
    static FIRST: OnceLock<(Timestamp, Option<Duration>)> = OnceLock::new();
    let (wall, began) = FIRST.get_or_init(|| (Timestamp::now(), up()));
    let passed = up().zip(*began).map(|(now, began)| now.saturating_sub(began));
    passed.and_then(|passed| wall.checked_add(passed).ok()).unwrap_or_else(Timestamp::now)
}

/// Whether the file system is one of those that keep what fsync was told to keep: ext4, xfs, btrfs, zfs.
#[cfg(target_os = "linux")]
pub(super) fn keeps_what_is_synced(dir: &Path) -> bool {
    const KEEPING: [i64; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1];
    rustix::fs::statfs(dir).is_ok_and(|disk| KEEPING.contains(&(disk.f_type & 0xFFFF_FFFF)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn keeps_what_is_synced(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_from_which_something_counts_is_told_no_earlier() {
        for (at, told) in [
            ("2026-01-01T00:00:00.1Z", "2026-01-01T00:00:01Z"),
            ("2026-01-01T00:00:00.9Z", "2026-01-01T00:00:01Z"),
            ("2026-01-01T00:00:01Z", "2026-01-01T00:00:01Z"),
        ] {
            assert_eq!(not_before(at.parse().unwrap()).to_string(), told, "{at}");
        }
    }
}
