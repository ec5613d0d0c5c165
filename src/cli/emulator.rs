//! `chatapi emulator`.

use std::fs;

use super::args::EmulatorArgs;
use super::context::{Context, draw_seed};
use super::error::CliError;
use super::exit::Exit;
use super::signals;
use crate::emulator::{Emulator, EmulatorConfig, FaultPlan};

pub(super) fn run(context: &Context, args: &EmulatorArgs) -> Result<Exit, CliError> {
    let mut faults = FaultPlan::default();
    if let Some(path) = &args.faults {
        let fail =
            |error: &dyn std::error::Error| CliError::new(Exit::Error, error).context(format!("cannot read {}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| fail(&error))?;
        faults = FaultPlan::from_yaml(&text).map_err(|error| fail(&error))?;
    }
    args.fault.iter().cloned().for_each(|rule| faults.push(rule));
    let config = EmulatorConfig {
        listen: args.listen,
        data: args.data.clone(),
        seed: args.seed.unwrap_or_else(draw_seed),
        faults,
        latency: args.latency,
        error_status: args.error_status.into(),
        link_after: args.link_after,
        is_qr_pictured: args.qr_pictures,
        ..EmulatorConfig::default()
    };
    signals::runtime()?.block_on(async {
        let mut stop = signals::listen()?;
        let emulator = Emulator::start(config).await.map_err(|error| CliError::new(Exit::Error, &error))?;
        context.done(format!("listening on {}", emulator.base_url()))?;
        context.console.note(format_args!(
            "use it with CHATAPI_URL={} and any CHATAPI_API_KEY (9 characters or more); Ctrl-C ends it",
            emulator.base_url()
        ));
        stop.wait().await;
        emulator.shutdown().await;
        Ok(Exit::Done)
    })
}
