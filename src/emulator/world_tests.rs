//! Golden bodies of the world, byte for byte.

use super::super::request::Method;
use super::*;

const NOW: i64 = 1_700_000_000_000;
const JSON: &str = "application/json";

fn request(method: Method, path: &str, query: &str, body: &str) -> ApiRequest {
    ApiRequest {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        content_type: (!body.is_empty()).then(|| JSON.to_owned()),
        body: body.as_bytes().to_vec(),
        request_id: Some("attempt-1".to_owned()),
    }
}

fn create(uid: &str, kind: &str) -> ApiRequest {
    request(Method::Post, "/newInstance", "", &format!(r#"{{"uid":"{uid}","type":"{kind}"}}"#))
}

fn body(world: &mut World, request: &ApiRequest) -> String {
    String::from_utf8(world.handle(request, NOW).0.body).unwrap()
}

fn world() -> World {
    World::new(7).with_base_url("http://127.0.0.1:8080")
}

/// A world with one instance of account `k`, and that instance's token.
fn inhabited() -> (World, String) {
    let mut world = world();
    let (_, entry) = world.handle(&create("k", "whatsapp"), NOW);
    let token = entry.unwrap().token.unwrap().expose().to_owned();
    (world, token)
}

#[test]
fn golden_create() {
    let mut world = world();
    let (response, entry) = world.handle(&create("k", "WhatsApp"), NOW);
    assert_eq!((response.status, response.content_type), (200, "application/json; charset=utf-8"));
    let golden = concat!(
        r#"{"result":{"status":"created","instance":{"id":"100001","#,
        r#""apiUrl":"http://127.0.0.1:8080/instance100001/","token":"TOKEN"}}}"#
    );
    let entry = entry.unwrap();
    let token = entry.token.as_ref().unwrap().expose();
    assert_eq!(String::from_utf8(response.body).unwrap(), golden.replace("TOKEN", token));
    assert!(token.len() == 16 && token.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{token}");
    assert_eq!((entry.seq, entry.op, entry.kind), (1, LedgerOp::Created, InstanceType::WhatsApp));
    assert_eq!(entry.account, account_hash("k"));
    assert_eq!(entry.request_id.as_deref(), Some("attempt-1"));
}

#[test]
fn golden_list_has_no_token_and_shows_one_account_only() {
    let (mut world, token) = inhabited();
    body(&mut world, &create("other", "whatsapp"));
    body(&mut world, &create("k", "whatsapp_dev"));
    let listed = body(&mut world, &request(Method::Get, "/listInstances", "uid=k", ""));
    assert!(!listed.contains(&token));
    assert_eq!(
        listed,
        concat!(
            r#"{"result":[{"id":"100001","name":"","type":"whatsapp","apiUrl":"http://127.0.0.1:8080/instance100001/","#,
            r#""stopped":false,"paidTill":1702592000000,"paymentsCount":1},"#,
            r#"{"id":"100003","name":"","type":"whatsapp_dev","apiUrl":"http://127.0.0.1:8080/instance100003/","#,
            r#""stopped":false,"paidTill":1702592000000,"paymentsCount":1}]}"#
        )
    );
    assert_eq!(body(&mut world, &request(Method::Get, "/listInstances", "uid=nobody", "")), r#"{"result":[]}"#);
}

#[test]
fn golden_delete() {
    let (mut world, _) = inhabited();
    let foreign = request(Method::Post, "/deleteInstance", "", r#"{"uid":"other","instanceId":"100001"}"#);
    assert_eq!(body(&mut world, &foreign), r#"{"error":"no such instance on this account"}"#);
    let own = request(Method::Post, "/deleteInstance", "", r#"{"uid":"k","instanceId":"100001"}"#);
    let (response, entry) = world.handle(&own, NOW);
    assert_eq!(response.body, br#"{"result":"deleted"}"#);
    let entry = entry.unwrap();
    assert_eq!((entry.seq, entry.op, entry.token), (2, LedgerOp::Deleted, None));
    assert_eq!(body(&mut world, &own), r#"{"error":"no such instance on this account"}"#);
}

#[test]
fn a_deleted_id_is_never_given_again() {
    let (mut world, _) = inhabited();
    body(&mut world, &request(Method::Get, "/deleteInstance", "uid=k&instanceId=100001", ""));
    assert!(body(&mut world, &create("k", "whatsapp")).contains(r#""id":"100002""#));
}

#[test]
fn golden_errors_name_what_is_missing() {
    let mut world = world();
    for (sent, golden) in [
        (r#"{"type":"whatsapp"}"#, r#"{"error":"parameter uid is missing"}"#),
        (r#"{"uid":"","type":"whatsapp"}"#, r#"{"error":"parameter uid is missing"}"#),
        (r#"{"uid":"k"}"#, r#"{"error":"parameter type is missing"}"#),
        (r#"{"uid":"k","type":"fax"}"#, r#"{"error":"type is unknown, known are whatsapp and whatsapp_dev"}"#),
        (r#"["uid"]"#, r#"{"error":"the body is not a JSON object"}"#),
    ] {
        let (response, entry) = world.handle(&request(Method::Post, "/newInstance", "", sent), NOW);
        assert_eq!((response.status, String::from_utf8(response.body).unwrap().as_str()), (200, golden));
        assert!(entry.is_none());
    }
    let mut strict = World::new(7).with_error_status(ErrorStatus::Fitting);
    assert_eq!(strict.handle(&create("k", "fax"), NOW).0.status, 400);
}

#[test]
fn unknown_functions_are_404() {
    let (mut world, token) = inhabited();
    let query = format!("token={token}");
    for path in ["/", "/instances", "/instance100001/messages", "/instance100009/status"] {
        let (response, _) = world.handle(&request(Method::Get, path, &query, ""), NOW);
        assert_eq!((response.status, response.body.as_slice()), (404, br#"{"error":"no such function"}"#.as_slice()), "{path}");
    }
}

#[test]
fn an_instance_answers_to_its_token_only() {
    let (mut world, token) = inhabited();
    for query in ["", "token=", "token=0000000000000000"] {
        let (response, _) = world.handle(&request(Method::Get, "/instance100001/status", query, ""), NOW);
        assert_eq!((response.status, response.body.as_slice()), (401, br#"{"error":"wrong token"}"#.as_slice()), "{query}");
    }
    let status = request(Method::Get, "/instance100001/status", &format!("token={token}"), "");
    assert!(body(&mut world, &status).starts_with(r#"{"accountStatus":"got qr code","qrCode":"2@"#));
    let (late, _) = world.handle(&status, NOW + PAID_FOR_MS);
    assert_eq!(late.body, br#"{"accountStatus":"not_paid"}"#);
}

#[test]
fn settings_and_webhook_are_kept_per_instance() {
    let (mut world, token) = inhabited();
    let query = format!("token={token}");
    let mut call =
        |method, name: &str, sent| body(&mut world, &request(method, &format!("/instance100001/{name}"), &query, sent));
    assert_eq!(call(Method::Get, "webhook", ""), r#"{"webhookUrl":""}"#);
    assert_eq!(call(Method::Post, "webhook", r#"{"webhookUrl":"https://a.example/"}"#), r#"{"webhookUrl":"https://a.example/"}"#);
    let changed = r#"{"sendDelay":5,"webhookUrl":"https://a.example/"}"#;
    assert_eq!(call(Method::Post, "settings", r#"{"sendDelay":5}"#), changed);
    assert_eq!(call(Method::Get, "settings", ""), changed);
    assert_eq!(call(Method::Post, "webhook", "{}"), r#"{"error":"parameter webhookUrl is missing"}"#);
    for name in ["logout", "reboot", "expiry"] {
        assert_eq!(call(Method::Post, name, ""), r#"{"result":"success"}"#, "{name}");
    }
}

#[test]
fn twists_bend_the_answer_and_not_the_truth() {
    let (mut world, _) = inhabited();
    let list = request(Method::Get, "/listInstances", "uid=k", "");
    let empty = r#"{"result":[]}"#.as_bytes();
    assert_eq!(world.decide(&list, Twist::EmptyList, NOW).response.body, empty);
    assert_eq!(world.decide(&list, Twist::Lag(2000), NOW + 1999).response.body, empty);
    assert_ne!(world.decide(&list, Twist::Lag(2000), NOW + 2000).response.body, empty);

    let exists = world.decide(&create("k", "whatsapp"), Twist::Exists, NOW);
    let golden = r#"{"result":{"status":"exists","instance":{"id":"100001","apiUrl":"http://127.0.0.1:8080/instance100001/"}}}"#;
    assert_eq!((exists.response.body.as_slice(), exists.entry.is_none()), (golden.as_bytes(), true));
    let alone = world.decide(&create("new", "whatsapp"), Twist::Exists, NOW);
    assert_eq!(alone.response.body, br#"{"result":{"status":"exists"}}"#);

    let tokenless = world.decide(&create("k", "whatsapp"), Twist::NoToken, NOW);
    assert!(!String::from_utf8(tokenless.response.body).unwrap().contains("token"));
    assert!(tokenless.entry.unwrap().token.is_some());
}

#[test]
fn a_decision_that_is_not_absorbed_changes_nothing() {
    let mut world = world();
    let first = world.decide(&create("k", "whatsapp"), Twist::None, NOW);
    let second = world.decide(&create("k", "whatsapp"), Twist::None, NOW);
    assert_eq!((&first.response, &first.entry), (&second.response, &second.entry));
    assert_eq!(body(&mut world, &request(Method::Get, "/listInstances", "uid=k", "")), r#"{"result":[]}"#);
}

#[test]
fn tokens_depend_on_seed_and_id() {
    assert_eq!(new_token(1, 100_001), new_token(1, 100_001));
    assert_ne!(new_token(1, 100_001), new_token(2, 100_001));
    assert_ne!(new_token(1, 100_001), new_token(1, 100_002));
}
