//! Every route against every role and tenant, made from the table of routes itself.

use http::StatusCode;
use tollgate_query::routes::{ROUTES, Route, Takes};

use super::deployment::{Deployment, Holder};

/// Whose thing a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Own,
    Foreign,
    Nobodys,
}

/// The number in the path that stands for one; none where nothing of the kind belongs to one
/// tenant. A new kind of id must be added here, or this test fails.
fn id(route: &Route, whose: Whose) -> Option<String> {
    let number = |own: u32, foreign: u32| match whose {
        Whose::Own => Some(own.to_string()),
        Whose::Foreign => Some(foreign.to_string()),
        Whose::Nobodys => Some("99".to_owned()),
    };
    match route.id()? {
        "advertiser" | "publisher" => number(1, 2),
        "campaign" => number(11, 12),
        "ad" => number(21, 22),
        "link" => number(31, 32),
        // Credentials reach over all tenants, so to a narrow key all of them are foreign.
        "key" => number(41, 41),
        "token" => number(51, 51),
        "api_key" => number(101, 101),
        // Nothing is posted and no click is in the lake of this test.
        "command" => Some("00000000000000000000000000000000".to_owned()),
        "click" => Some("019a0000-0000-7000-8000-000000000000".to_owned()),
        other => panic!("{route:?}: what is an own and a foreign {other}?"),
    }
}

/// A body that makes or changes something of theirs. A new route with a body must be added here.
fn body(route: &Route, whose: Whose) -> String {
    let owner = match whose {
        Whose::Own => 1,
        Whose::Foreign => 2,
        Whose::Nobodys => 9,
    };
    let campaign = 10 + owner;
    match (route.method.as_str(), route.path) {
        ("POST", "/v1/advertisers") => r#"{"name":"new","currency":"EUR"}"#.to_owned(),
        ("POST", "/v1/publishers") => r#"{"name":"new","share_basis_points":1}"#.to_owned(),
        ("POST", "/v1/campaigns") => format!(r#"{{"advertiser":{owner},"name":"new"}}"#),
        ("POST", "/v1/campaigns/bulk") => format!(r#"[{{"advertiser":{owner},"name":"new"}}]"#),
        ("POST", "/v1/ads") => format!(r#"{{"campaign":{campaign},"name":"new"}}"#),
        ("POST", "/v1/links") => {
            format!(r#"{{"campaign":{campaign},"destination":"https://example.com/"}}"#)
        }
        ("POST", "/v1/links/bulk") => {
            format!(r#"[{{"campaign":{campaign},"destination":"https://example.com/"}}]"#)
        }
        ("POST", "/v1/keys" | "/v1/tokens") => "{}".to_owned(),
        ("POST", "/v1/api-keys") => r#"{"name":"new","role":"analyst"}"#.to_owned(),
        ("POST", "/v1/top-ups" | "/v1/adjustments" | "/v1/credits") => {
            format!(r#"{{"advertiser":{owner},"amount_micros":5,"reason":"because"}}"#)
        }
        ("PATCH", _) => "{}".to_owned(),
        (_, path) if matches!(route.takes, Takes::Nothing) => {
            let _ = path;
            String::new()
        }
        (method, path) => panic!("{method} {path}: what is its body?"),
    }
}

async fn ask(route: &Route, holder: Option<Holder>, whose: Whose) -> (StatusCode, String) {
    // A deployment of its own for each request that writes: what one removes the next one needs.
    let deployment = Deployment::new();
    let (head, tail) = match route.path.split_once('{') {
        None => (route.path.to_owned(), String::new()),
        Some((head, _)) => (head.to_owned(), id(route, whose).unwrap_or_default()),
    };
    let path = match route.path {
        "/v1/ledger/entries" => format!("{head}?campaign={}", 10 + number(whose)),
        "/v1/ledger/postings" => format!("{head}?partition=0"),
        "/v1/reports" => format!(
            "{head}?metrics=gross&filter=campaign:{}",
            10 + number(whose)
        ),
        _ => format!("{head}{tail}"),
    };
    let request = (route.method.as_str(), path.as_str());
    let headers = [("idempotency-key", "k1")];
    let answer = deployment
        .send(holder, request, &body(route, whose), &headers)
        .await;
    (answer.status, answer.body)
}

fn number(whose: Whose) -> u32 {
    match whose {
        Whose::Own => 1,
        Whose::Foreign => 2,
        Whose::Nobodys => 9,
    }
}

fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().copied().flatten()
}

/// Routes that say whose thing they are about, in path, body or query.
fn names_a_tenant(route: &Route) -> bool {
    let body = body(route, Whose::Foreign);
    let credential = matches!(route.id(), Some("key" | "token" | "api_key"));
    let in_path = route.id().is_some() && !credential;
    let in_query = matches!(route.path, "/v1/ledger/entries" | "/v1/reports");
    in_path || in_query || body.contains(":2,") || body.contains(":12,")
}

#[tokio::test]
async fn nobody_is_let_in_without_a_key() {
    for route in routes() {
        for whose in [Whose::Own, Whose::Foreign, Whose::Nobodys] {
            let (status, body) = ask(route, None, whose).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{route:?}: {body}");
        }
    }
}

#[tokio::test]
async fn each_role_does_what_its_policy_says_and_foreign_is_as_absent() {
    let mut asked = 0;
    for route in routes() {
        for holder in Holder::all() {
            let own = ask(route, Some(holder), Whose::Own).await;
            let foreign = ask(route, Some(holder), Whose::Foreign).await;
            let absent = ask(route, Some(holder), Whose::Nobodys).await;
            let case = format!("{route:?} {holder:?}\nown {own:?}\nforeign {foreign:?}");
            asked += 3;
            if !route.policy.allows(holder.role) {
                for (status, _) in [&own, &foreign, &absent] {
                    assert_eq!(*status, StatusCode::FORBIDDEN, "{case}");
                }
                assert_eq!(own.1, foreign.1, "{case}");
                continue;
            }
            let is_report = route.path == "/v1/reports";
            if names_a_tenant(route) && holder.narrow {
                assert_eq!(foreign, absent, "{case}");
                let is_hidden = foreign.0 == StatusCode::NOT_FOUND;
                // A publisher reports on its own clicks of any campaign.
                let by_publisher =
                    is_report && holder.role == tollgate_click::control::Role::Publisher;
                assert!(is_hidden || by_publisher, "{case}");
            }
            let is_there = !matches!(route.id(), Some("command" | "click"));
            let may = own.0.is_success() || own.0 == StatusCode::CONFLICT;
            let reaches_all = matches!(route.id(), Some("key" | "token" | "api_key"))
                || matches!(
                    route.path,
                    "/v1/advertisers"
                        | "/v1/publishers"
                        | "/v1/keys"
                        | "/v1/tokens"
                        | "/v1/api-keys"
                        | "/v1/events"
                        | "/v1/ledger/entries"
                );
            assert!(may || !is_there || (holder.narrow && reaches_all), "{case}");
        }
    }
    assert!(
        asked > 1_000,
        "{asked} requests: the table must not be empty"
    );
}

#[tokio::test]
async fn no_answer_to_a_narrow_key_speaks_of_foreign_things() {
    for route in routes().filter(|route| route.method == http::Method::GET) {
        for holder in Holder::all().into_iter().filter(|holder| holder.narrow) {
            let (status, body) = ask(route, Some(holder), Whose::Own).await;
            assert!(!status.is_server_error(), "{route:?} {holder:?}: {body}");
            assert!(!body.contains("foreign"), "{route:?} {holder:?}: {body}");
        }
    }
}

#[tokio::test]
async fn a_narrow_key_cannot_move_things_to_foreign_ones() {
    use super::deployment::ADMIN;
    let holder = Holder {
        role: tollgate_click::control::Role::Advertiser,
        narrow: true,
    };
    for (path, patch) in [
        ("/v1/campaigns/11", r#"{"advertiser":2}"#),
        ("/v1/links/31", r#"{"campaign":12}"#),
        ("/v1/links/31", r#"{"advertiser":2}"#),
        ("/v1/links/31", r#"{"ad":22}"#),
        ("/v1/links/31", r#"{"link":32}"#),
        ("/v1/ads/21", r#"{"campaign":12}"#),
    ] {
        let deployment = Deployment::new();
        let before = deployment.send(Some(ADMIN), ("GET", path), "", &[]).await;
        let answer = deployment
            .send(Some(holder), ("PATCH", path), patch, &[])
            .await;
        assert!(
            answer.status.is_client_error(),
            "{path} {patch}: {answer:?}"
        );
        let after = deployment.send(Some(ADMIN), ("GET", path), "", &[]).await;
        assert_eq!(before.body, after.body);
    }
}

#[tokio::test]
async fn a_revoked_key_is_nobodys() {
    let deployment = Deployment::new();
    let victim = Holder {
        role: tollgate_click::control::Role::Analyst,
        narrow: false,
    };
    let path = ("GET", "/v1/campaigns");
    assert_eq!(
        deployment.send(Some(victim), path, "", &[]).await.status,
        StatusCode::OK
    );
    let number = 100 + victim.role as u32 * 2;
    let revoke = format!("/v1/api-keys/{number}");
    let admin = Some(super::deployment::ADMIN);
    let revoked = deployment.send(admin, ("DELETE", &revoke), "", &[]).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    let answer = deployment.send(Some(victim), path, "", &[]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let own = deployment
        .send(admin, ("DELETE", "/v1/api-keys/100"), "", &[])
        .await;
    assert_eq!(own.status, StatusCode::CONFLICT, "the last admin: {own:?}");
}
