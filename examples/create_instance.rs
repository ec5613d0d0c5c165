//! Creates one `WhatsAppDev` instance and prints its members; the token is shown as `[redacted]`.
//!
//! Without a server, on the emulator, where nothing costs money:
//!
//! ```text
//! cargo run --example create_instance
//! ```
//!
//! On a real one, which will make a paid instance: set `CHATAPI_URL` and `CHATAPI_API_KEY` first.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};

use chatapi::Client;
use chatapi::emulator::{Emulator, EmulatorConfig};
use chatapi::instance::InstanceType;
use chatapi::secret::Secret;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(url) = env::var("CHATAPI_URL") {
        let key = env::var("CHATAPI_API_KEY").map_err(|_| "CHATAPI_API_KEY is not set")?;
        return create(url, Secret::new(key)).await;
    }
    let emulator = Emulator::start(EmulatorConfig::default()).await?;
    let created = create(emulator.base_url(), Secret::new("any-key-will-do".to_owned())).await;
    emulator.shutdown().await;
    created
}

async fn create(url: String, key: Secret) -> Result<(), Box<dyn Error>> {
    let client = Client::builder(url, key).build()?;
    // On an error: it says whether nothing was sent, the server refused, or nobody knows.
    let result = client.create_instance(InstanceType::WhatsAppDev).await?;
    writeln!(io::stdout(), "{result}")?;
    Ok(())
}
