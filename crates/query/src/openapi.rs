//! The OpenAPI 3.1 document, made from the table of routes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::problem::ProblemBody;
use crate::routes::{Gives, Policy, ROUTES, Route, Shape, Takes, shape};

/// The document, as it is served and kept.
pub fn document() -> String {
    let mut schemas = BTreeMap::new();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    collect(shape::<ProblemBody<'_>>(), &mut schemas);
    for route in ROUTES.iter().copied().flatten() {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = operation(route, &mut schemas);
        paths
            .entry(route.path)
            .or_default()
            .insert(method, operation);
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Reports, clicks, books and administration. Money is in integer \
                            micro-units (1,000,000 is one unit of the currency), times are Unix \
                            milliseconds or RFC 3339 in UTC. Refusals are problems (RFC 9457).",
        },
        "security": [{ "key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, `tgk_...`.",
            }},
        },
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn operation(route: &Route, schemas: &mut BTreeMap<String, Value>) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    for part in route.path.split('{').skip(1) {
        let name = part.split('}').next().unwrap_or(part);
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }));
    }
    for param in route.params {
        let schema = match param.many {
            true => json!({ "type": "array", "items": { "type": "string" } }),
            false => json!({ "type": "string" }),
        };
        parameters.push(json!({
            "name": param.name, "in": "query", "description": param.about, "schema": schema,
        }));
    }
    if route.writes() {
        parameters.push(header(
            "Idempotency-Key",
            "The same key and request are done once",
        ));
    }
    if matches!(route.method, http::Method::PATCH | http::Method::DELETE) {
        parameters.push(header(
            "If-Match",
            "The ETag that was read; 412 when it is another",
        ));
    }
    let roles = match route.policy {
        Policy::Public => "everybody".to_owned(),
        Policy::Roles(roles) => {
            let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
            names.join(", ")
        }
    };
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": format!("Roles: {roles}."),
        "parameters": parameters,
        "responses": responses(route, schemas),
    });
    let (kind, shape) = match route.takes {
        Takes::Nothing => return operation,
        Takes::Json(shape, _) => ("application/json", shape),
        Takes::Patch(shape, _) => ("application/merge-patch+json", shape),
    };
    let content = json!({ kind: { "schema": collect(shape, schemas) } });
    if let Some(operation) = operation.as_object_mut() {
        let body = json!({ "required": true, "content": content });
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

fn header(name: &str, about: &str) -> Value {
    json!({ "name": name, "in": "header", "description": about, "schema": { "type": "string" } })
}

/// Such as `get_campaigns_by_campaign`.
fn operation_id(route: &Route) -> String {
    let words = route.path.trim_start_matches("/v1/").replace("/{", "_by_");
    let words = words.replace(['/', '-'], "_").replace('}', "");
    format!("{}_{words}", route.method.as_str().to_ascii_lowercase())
}

fn responses(route: &Route, schemas: &mut BTreeMap<String, Value>) -> Value {
    let (status, about, content) = match route.gives {
        Gives::Json(shape) => {
            let schema = collect(shape, schemas);
            (
                "200",
                "Done",
                json!({ "application/json": { "schema": schema } }),
            )
        }
        Gives::Created(shape) => {
            let schema = collect(shape, schemas);
            (
                "201",
                "Made",
                json!({ "application/json": { "schema": schema } }),
            )
        }
        Gives::Report(shape) => {
            let schema = collect(shape, schemas);
            let content = json!({
                "application/json": { "schema": schema },
                "text/csv": { "schema": { "type": "string" } },
                "application/vnd.apache.parquet": {
                    "schema": { "type": "string", "format": "binary" },
                },
            });
            ("200", "The report", content)
        }
        Gives::Text(kind) => (
            "200",
            "Done",
            json!({ kind: { "schema": { "type": "string" } } }),
        ),
    };
    let problem = json!({ "$ref": "#/components/schemas/Problem" });
    let refused = json!({
        "description": "Refused: a problem (RFC 9457)",
        "content": { "application/problem+json": { "schema": problem } },
    });
    let mut responses = Map::new();
    responses.insert(
        status.to_owned(),
        json!({ "description": about, "content": content }),
    );
    if route.writes() {
        let accepted = json!({
            "description": "Durable, and not yet applied by every partition that it concerns",
            "content": responses.get(status).and_then(|done| done.get("content")).cloned(),
        });
        responses.insert("202".to_owned(), accepted);
    }
    responses.insert("default".to_owned(), refused);
    Value::Object(responses)
}

/// Adds a schema with all that it refers to, and gives the reference to it.
fn collect(shape: Shape, schemas: &mut BTreeMap<String, Value>) -> Value {
    let mut all: Vec<(String, RefOr<Schema>)> = Vec::new();
    (shape.all)(&mut all);
    let name = (shape.name)();
    all.push((name.clone(), (shape.schema)()));
    for (name, schema) in all {
        // Types of ours always can be written.
        let value = serde_json::to_value(schema).unwrap_or_default();
        schemas.insert(name, value);
    }
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
