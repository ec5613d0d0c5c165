//! What an instance answers under its own address, once its token is shown: status, settings, webhook and three commands.
//!
//! An instance is at `got qr code` until its phone is linked: by `emulatorLink`, which only the emulator has, or by itself after so
//! many questions for its status ([`Phone`]). `logout` unlinks it. Like the settings that is forgotten with the process. A webhook
//! address is stored and never called.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::{AccountStatus, ApiResponse, Complaint, ResultBody};
use super::request::{ApiRequest, Method};
use super::world::Held;

/// How phones behave here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Phone {
    /// The question for its status at which an instance finds itself linked; none: only by `emulatorLink`.
    pub(super) link_after: Option<u64>,
    /// Codes come as pictures.
    pub(super) is_pictured: bool,
}

/// A picture of one pixel stands for the code where pictures are wanted.
const PICTURE: &str =
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=";
const WEBHOOK: &str = "webhookUrl";
/// Most settings that one instance keeps.
const SETTINGS_MAX: usize = 100;

/// The settings of a new instance.
pub(super) fn first_settings() -> BTreeMap<String, Value> {
    BTreeMap::from([(WEBHOOK.to_owned(), Value::String(String::new()))])
}

/// Answers `method` of `held`, whose token the request must show.
pub(super) fn answer(
    held: &mut Held,
    method: &str,
    request: &ApiRequest,
    (phone, now_ms): (Phone, i64),
) -> Result<ApiResponse, Complaint> {
    let mut parameters = request.parameters()?;
    if parameters.text("token").as_deref() != Some(held.token.expose()) {
        return Err(Complaint::WrongToken);
    }
    parameters.0.remove("token");
    match (method, request.method) {
        ("status", _) => Ok(status(held, phone, now_ms)),
        ("emulatorLink", _) => {
            held.is_linked = true;
            Ok(ApiResponse::success(&ResultBody { result: "success" }))
        }
        ("logout", _) => {
            (held.is_linked, held.asked) = (false, 0);
            Ok(ApiResponse::success(&ResultBody { result: "success" }))
        }
        ("settings", Method::Get) => Ok(ApiResponse::success(&held.settings)),
        ("settings", _) => change(held, parameters.0).map(|()| ApiResponse::success(&held.settings)),
        ("webhook", Method::Get) => Ok(webhook(held)),
        ("webhook", _) => {
            let address = parameters.0.remove(WEBHOOK).filter(Value::is_string).ok_or(Complaint::NoWebhook)?;
            held.settings.insert(WEBHOOK.to_owned(), address);
            Ok(webhook(held))
        }
        ("reboot" | "expiry", _) => Ok(ApiResponse::success(&ResultBody { result: "success" })),
        _ => Err(Complaint::UnknownFunction),
    }
}

fn status(held: &mut Held, phone: Phone, now_ms: i64) -> ApiResponse {
    let answer = |account_status, qr_code| ApiResponse::success(&AccountStatus { account_status, qr_code });
    if held.paid_till() <= now_ms {
        return answer("not_paid", None);
    }
    held.asked += 1;
    held.is_linked |= phone.link_after.is_some_and(|after| held.asked >= after);
    match held.is_linked {
        true => answer("authenticated", None),
        false if phone.is_pictured => answer("got qr code", Some(PICTURE)),
        false => answer("got qr code", Some(&held.code)),
    }
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
