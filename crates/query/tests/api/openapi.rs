//! The document is kept beside the documentation; a change of the API is a change of that file.

use std::fs;
use std::path::Path;

#[test]
fn the_kept_document_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let document = tollgate_query::document();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &document).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    let is_same = kept == document;
    assert!(
        is_same,
        "UPDATE_GOLDEN=1 cargo test -p tollgate-query writes docs/reference/openapi.json"
    );
}

#[test]
fn every_reference_leads_somewhere() {
    let document: serde_json::Value = serde_json::from_str(&tollgate_query::document()).unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(target) = fields.get("$ref").and_then(|target| target.as_str()) {
                    let found = document.pointer(target.trim_start_matches('#'));
                    assert!(found.is_some(), "{target}");
                    references += 1;
                }
                open.extend(fields.values());
            }
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 50, "{references}");
    assert_eq!(document["openapi"], "3.1.0");
}
