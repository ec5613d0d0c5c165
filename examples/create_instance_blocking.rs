//! The same as `create_instance`, for programs that are not asynchronous.
//!
//! ```text
//! cargo run --example create_instance_blocking
//! ```
//!
//! It uses `CHATAPI_URL` and `CHATAPI_API_KEY` if they are set, and the emulator otherwise.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};

use chatapi::Client;
use chatapi::client::blocking;
use chatapi::emulator::{Emulator, EmulatorConfig};
use chatapi::instance::InstanceType;
use chatapi::secret::Secret;

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(url) = env::var("CHATAPI_URL") {
        let key = env::var("CHATAPI_API_KEY").map_err(|_| "CHATAPI_API_KEY is not set")?;
        return create(url, Secret::new(key));
    }
    // The emulator is a server: it needs threads of its own to answer a caller that blocks.
    let runtime = tokio::runtime::Runtime::new()?;
    let emulator = runtime.block_on(Emulator::start(EmulatorConfig::default()))?;
    let created = create(emulator.base_url(), Secret::new("any-key-will-do".to_owned()));
    runtime.block_on(emulator.shutdown());
    created
}

fn create(url: String, key: Secret) -> Result<(), Box<dyn Error>> {
    let client = blocking::Client::new(Client::builder(url, key))?;
    // On an error: it says whether nothing was sent, the server refused, or nobody knows.
    let result = client.create_instance(InstanceType::WhatsAppDev)?;
    writeln!(io::stdout(), "{result}")?;
    Ok(())
}
