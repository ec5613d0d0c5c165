//! Log lines, on standard error. Only this program's own: the HTTP library's would show addresses, and one of them has the key.

use std::env;
use std::io::{self, Write};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::args::{Global, LogFormat};
use super::stream;
use crate::text::{Printed, disarm};

const SELF: &str = "chatapi";

/// Starts logging as `-v` and `CHATAPI_LOG` say; an unreadable `CHATAPI_LOG` is returned.
pub(super) fn start(global: &Global) -> Result<(), String> {
    let from_flags = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let typed = env::var("CHATAPI_LOG").ok().filter(|text| !text.trim().is_empty());
    let (filter, wrong) = match typed.as_deref().map(targets) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(wrong)) => (own(from_flags), Some(wrong)),
        None => (own(from_flags), None),
    };
    let printed = match global.log_format {
        LogFormat::Json => Printed::Json,
        LogFormat::Text => Printed::Text,
    };
    let lines = fmt::layer().with_writer(move || Lines { printed });
    let layer = match global.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_ansi(false).with_target(global.verbose > 0).without_time().with_filter(filter).boxed(),
    };
    // A second start, in a program that embeds this one, keeps the first.
    let _ = tracing_subscriber::registry().with(layer).try_init();
    wrong.map_or(Ok(()), Err)
}

/// Standard error for log lines: each is written at once, and disarmed.
struct Lines {
    printed: Printed,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        stream::write_log(&disarm(&text, self.printed)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn own(level: LevelFilter) -> Targets {
    Targets::new().with_target(SELF, level)
}

/// A level, or `chatapi::module=level,…`; other crates are not let through.
fn targets(text: &str) -> Result<Targets, String> {
    if let Ok(level) = text.trim().parse::<LevelFilter>() {
        return Ok(own(level));
    }
    let parsed: Targets = text.parse().map_err(|_| "CHATAPI_LOG is a level (`debug`) or `chatapi::module=level`".to_owned())?;
    Ok(parsed.into_iter().filter(|(target, _)| target == SELF || target.starts_with("chatapi::")).collect())
}
