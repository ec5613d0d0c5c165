//! The words of `emulator`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::emulator::{ErrorStatus, FaultRule, Latency, parse_latency};

/// `emulator`.
#[derive(Debug, Args)]
pub(in crate::cli) struct EmulatorArgs {
    /// Where to listen; this machine only. Port 0: the system chooses.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(in crate::cli) listen: SocketAddr,
    /// Where to keep the ledger of what it created; in memory if not said.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) data: Option<PathBuf>,
    /// The seed of tokens and chance; drawn if not said.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) seed: Option<u64>,
    /// What goes wrong, as `OPERATION[:WHEN]=FAULT`; may be repeated.
    #[arg(long, value_name = "RULE")]
    pub(in crate::cli) fault: Vec<FaultRule>,
    /// A YAML file with such rules under `faults:`.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) faults: Option<PathBuf>,
    /// How long a create takes, as `50ms` or `0..200ms`.
    #[arg(long, value_name = "DURATION", value_parser = parse_latency, default_value = "0ms")]
    pub(in crate::cli) latency: Latency,
    /// An instance's phone is linked at the Nth question for its status; if not said, only by `GET {apiUrl}emulatorLink?token=…`.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) link_after: Option<u64>,
    /// Linking codes come as pictures, and not as texts.
    #[arg(long)]
    pub(in crate::cli) qr_pictures: bool,
    /// Which HTTP status its errors carry.
    #[arg(long, value_enum, default_value = "ok")]
    pub(in crate::cli) error_status: ErrorStatusArg,
}

/// Which HTTP status the emulator's errors carry.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(in crate::cli) enum ErrorStatusArg {
    /// 200, as some of the service's errors came.
    Ok,
    /// The fitting 4xx.
    Fitting,
}

impl From<ErrorStatusArg> for ErrorStatus {
    fn from(typed: ErrorStatusArg) -> Self {
        match typed {
            ErrorStatusArg::Ok => Self::Ok,
            ErrorStatusArg::Fitting => Self::Fitting,
        }
    }
}
