//! What an instance answers under its own address, once its token is shown: status, settings, webhook and three commands.
//!
//! No phone ever scans the code, so an instance stays at `got qr code` until its paid time ends. A webhook address is
//! stored and never called.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::{AccountStatus, ApiResponse, Complaint, ResultBody};
use super::request::{ApiRequest, Method};
use super::world::Held;

/// A picture of one pixel stands for the code.
const QR_CODE: &str =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=";
const WEBHOOK: &str = "webhookUrl";
/// Most settings that one instance keeps.
const SETTINGS_MAX: usize = 100;

/// The settings of a new instance.
pub(super) fn first_settings() -> BTreeMap<String, Value> {
    BTreeMap::from([(WEBHOOK.to_owned(), Value::String(String::new()))])
}

/// Answers `method` of `held`, whose token the request must show.
pub(super) fn answer(held: &mut Held, method: &str, request: &ApiRequest, now_ms: i64) -> Result<ApiResponse, Complaint> {
    let mut parameters = request.parameters()?;
    if parameters.text("token").as_deref() != Some(held.token.expose()) {
        return Err(Complaint::WrongToken);
    }
    parameters.0.remove("token");
    match (method, request.method) {
        ("status", _) => Ok(status(held, now_ms)),
        ("settings", Method::Get) => Ok(ApiResponse::success(&held.settings)),
        ("settings", _) => change(held, parameters.0).map(|()| ApiResponse::success(&held.settings)),
        ("webhook", Method::Get) => Ok(webhook(held)),
        ("webhook", _) => {
            let address = parameters.0.remove(WEBHOOK).filter(Value::is_string).ok_or(Complaint::NoWebhook)?;
            held.settings.insert(WEBHOOK.to_owned(), address);
            Ok(webhook(held))
        }
        ("logout" | "reboot" | "expiry", _) => Ok(ApiResponse::success(&ResultBody { result: "success" })),
        _ => Err(Complaint::UnknownFunction),
    }
}

fn status(held: &Held, now_ms: i64) -> ApiResponse {
    if held.paid_till() <= now_ms {
        return ApiResponse::success(&AccountStatus { account_status: "not_paid", qr_code: None });
    }
    ApiResponse::success(&AccountStatus { account_status: "got qr code", qr_code: Some(QR_CODE) })
}

fn webhook(held: &Held) -> ApiResponse {
    let address = held.settings.get(WEBHOOK).cloned().unwrap_or_default();
    ApiResponse::success(&BTreeMap::from([(WEBHOOK, address)]))
}

fn change(held: &mut Held, changes: BTreeMap<String, Value>) -> Result<(), Complaint> {
    if held.settings.len() + changes.len() > SETTINGS_MAX {
        return Err(Complaint::TooManySettings);
    }
    held.settings.extend(changes);
    Ok(())
}
