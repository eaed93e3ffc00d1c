//! Each rule is shown a bad tree and must go red, and the good tree beside it must stay green.

use super::{Tree, Weight, check};

const SHARED: &str = include_str!("../../../.config/deterministic/clippy.toml");
const LINTS: &str = "[lints]\nworkspace = true\n";

/// A tree that breaks nothing, with `files` added to it or put in place of what is there.
fn tree(files: &[(&str, &str)]) -> Tree {
    let good: &[(&str, &str)] = &[
        (".config/deterministic/clippy.toml", SHARED),
        ("clippy.toml", "allow-unwrap-in-tests = true\n"),
        (
            "Cargo.toml",
            "[workspace]\n[package]\nname = \"tollgate\"\n",
        ),
    ];
    let mut tree = Tree::default();
    for (path, text) in good
        .iter()
        .filter(|(path, _)| !files.iter().any(|(new, _)| new == path))
    {
        tree.add(path, text);
    }
    for (path, text) in files {
        tree.add(path, text);
    }
    tree
}

fn errors(files: &[(&str, &str)]) -> Vec<String> {
    let findings = check(&tree(files)).into_iter();
    let errors = findings.filter(|finding| finding.weight == Weight::Error);
    errors.map(|finding| finding.to_string()).collect()
}

#[track_caller]
fn green(files: &[(&str, &str)]) {
    assert_eq!(errors(files), [""; 0]);
}

/// Exactly one finding, at this place and with these words in it.
#[track_caller]
fn red(files: &[(&str, &str)], place: &str, words: &str) {
    let errors = errors(files);
    let [error] = errors.as_slice() else {
        panic!("expected one finding, got {errors:#?}")
    };
    assert!(error.starts_with(&format!("error: {place}: ")), "{error}");
    assert!(error.contains(words), "{error}");
}

fn manifest(package: &str, dependencies: &str) -> String {
    format!("[package]\nname = \"{package}\"\n{LINTS}{dependencies}")
}

#[test]
fn a_good_tree_is_green() {
    green(&[]);
}

#[test]
fn an_edge_outside_the_table_is_red() {
    let path = "crates/collect/Cargo.toml";
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let text = |used| {
            manifest(
                "tollgate-collect",
                &format!("[{kind}]\n{used}.workspace = true\n"),
            )
        };
        red(
            &[(path, &text("tollgate-process"))],
            "crates/collect/Cargo.toml:0",
            "tollgate-process",
        );
        green(&[(path, &text("tollgate-log"))]);
        green(&[(path, &text("hyper"))]);
    }
    let of_target = "[target.'cfg(unix)'.dependencies]\ntollgate-store.workspace = true\n";
    red(
        &[(path, &manifest("tollgate-collect", of_target))],
        "crates/collect/Cargo.toml:0",
        "store",
    );
    let renamed =
        "[dependencies]\nledger = { package = \"tollgate-store\", path = \"../store\" }\n";
    red(
        &[(path, &manifest("tollgate-collect", renamed))],
        "crates/collect/Cargo.toml:0",
        "store",
    );
}

#[test]
fn tests_of_a_crate_may_use_itself_and_the_simulator() {
    let path = "crates/store/Cargo.toml";
    let text = |kind, used| {
        manifest(
            "tollgate-store",
            &format!("[{kind}]\n{used}.workspace = true\n"),
        )
    };
    green(&[(path, &text("dev-dependencies", "tollgate-store"))]);
    green(&[(path, &text("dev-dependencies", "tollgate-sim"))]);
    red(
        &[(path, &text("dependencies", "tollgate-sim"))],
        "crates/store/Cargo.toml:0",
        "development",
    );
    red(
        &[(
            "Cargo.toml",
            "[workspace]\n[package]\nname = \"tollgate\"\n[dependencies]\ntollgate-sim = {}\n",
        )],
        "Cargo.toml:0",
        "development",
    );
}

#[test]
fn a_package_that_breaks_the_promise_is_red() {
    let text = |name| {
        manifest(
            "tollgate-process",
            &format!("[dependencies]\n{name}.workspace = true\n"),
        )
    };
    let path = "crates/process/Cargo.toml";
    let process = |text: &str| errors(&[(path, text), ("crates/process/clippy.toml", SHARED)]);
    assert_eq!(process(&text("thiserror")), [""; 0]);
    assert_eq!(process(&text("rand")).len(), 1);
}

#[test]
fn an_unknown_folder_and_a_wrong_name_are_red() {
    let path = "crates/extra/Cargo.toml";
    red(
        &[(path, &manifest("tollgate-extra", ""))],
        "crates/extra/Cargo.toml:0",
        "crate table",
    );
    red(
        &[("xtask/Cargo.toml", &manifest("tasks", ""))],
        "xtask/Cargo.toml:0",
        "should be `xtask`",
    );
    red(
        &[("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n")],
        "xtask/Cargo.toml:0",
        "[lints]",
    );
}

#[test]
fn an_engine_stays_out_of_the_default_build() {
    let root = |rest: &str| format!("[workspace]\n[package]\nname = \"tollgate\"\n{rest}");
    let optional = "[dependencies]\ntollgate-kafka = { path = \"x\", optional = true }\n";
    green(&[("Cargo.toml", &root(optional))]);
    let plain = "[dependencies]\ntollgate-kafka = { path = \"x\" }\n";
    red(&[("Cargo.toml", &root(plain))], "Cargo.toml:0", "optional");
    let switched = format!(
        "[features]\ndefault = [\"cluster\"]\ncluster = [\"dep:tollgate-kafka\"]\n{optional}"
    );
    red(
        &[("Cargo.toml", &root(&switched))],
        "Cargo.toml:0",
        "default features",
    );
    let heavy = "[dependencies]\ndatafusion = \"1\"\n";
    red(&[("Cargo.toml", &root(heavy))], "Cargo.toml:0", "heavy");
}

#[test]
fn the_edge_never_reads_the_log() {
    let text = "fn f(log: &Log) {\n    log.reader(all, ReadFrom::Start);\n}\n";
    red(
        &[("crates/collect/src/edge.rs", text)],
        "crates/collect/src/edge.rs:2",
        "append",
    );
    green(&[("crates/collect/src/edge/tests.rs", text)]);
    green(&[("src/report.rs", text)]);
}

#[test]
fn banned_words_are_red() {
    let words = [
        concat!("db", "g!(x);"),
        concat!("to", "do!();"),
        concat!("// TO", "DO later"),
        concat!("// FIX", "ME"),
        concat!("// the Black", "list"),
        concat!("// see https://crates", ".io/x"),
        concat!("// registry.npm", "js.org"),
        concat!("\"/wo", "rk/main\""),
    ];
    for word in words {
        red(
            &[("src/a.rs", &format!("//! Text.\n{word}\n"))],
            "src/a.rs:2",
            ": ",
        );
    }
    green(&[(
        "src/a.rs",
        "//! A list of denied hosts, a todo-free line, homework/notes.\n",
    )]);
    green(&[(
        "Cargo.lock",
        concat!("source = \"registry+https://x/crates", ".io-index\"\n"),
    )]);
}

#[test]
fn names_that_say_nothing_are_red() {
    red(&[("src/utils.rs", "")], "src/utils.rs:0", "names nothing");
    red(
        &[("src/common/money.rs", "")],
        "src/common/money.rs:0",
        "names nothing",
    );
    green(&[("src/commons.rs", "")]);
}

#[test]
fn long_lines_are_red_but_rows_of_tables_are_not() {
    let long = "a".repeat(97);
    red(
        &[("src/a.rs", &format!("// {long}b\n"))],
        "src/a.rs:1",
        "101 columns",
    );
    green(&[("src/a.rs", &format!("// {long}\n"))]);
    green(&[("src/a.rs", &format!("//! | {long} |\n"))]);
    red(
        &[("src/a.rs", "let a = 1; \n")],
        "src/a.rs:1",
        "white space",
    );
}

#[test]
fn long_files_and_functions_are_red() {
    red(
        &[("src/a.rs", &"//\n".repeat(801))],
        "src/a.rs:0",
        "801 lines",
    );
    let warned = check(&tree(&[("src/a.rs", &"//\n".repeat(501))]));
    assert_eq!(
        warned
            .iter()
            .map(|finding| finding.weight)
            .collect::<Vec<_>>(),
        [Weight::Warning]
    );
    let function = |lines| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines));
    red(
        &[("src/a.rs", &function(69))],
        "src/a.rs:1",
        "`f` has 71 lines",
    );
    green(&[("src/a.rs", &function(68))]);
}

#[test]
fn a_growing_vocabulary_is_warned_of() {
    let warned = check(&tree(&[
        ("crates/click/src/lib.rs", ""),
        ("crates/click/src/a.rs", &"//\n".repeat(499)),
        ("crates/click/src/b.rs", &"//\n".repeat(499)),
        ("crates/click/src/c.rs", &"//\n".repeat(499)),
        ("crates/click/src/d.rs", &"//\n".repeat(499)),
        ("crates/click/src/e.rs", &"//\n".repeat(499)),
    ]));
    assert_eq!(warned.len(), 1, "{warned:?}");
}

#[test]
fn stray_files_and_undated_decisions_are_red() {
    red(&[("notes.txt", "")], "notes.txt:0", "stray");
    red(&[("scratch/a.rs", "")], "scratch/a.rs:0", "stray");
    red(
        &[("docs/decisions/log.md", "")],
        "docs/decisions/log.md:0",
        "YYYYMMDD",
    );
    green(&[("docs/decisions/20260102-log.md", "")]);
}

#[test]
fn deterministic_crates_carry_the_shared_lints() {
    let cargo = manifest("tollgate-click", "");
    let file = ("crates/click/Cargo.toml", cargo.as_str());
    red(&[file], "crates/click/Cargo.toml:0", "ln -s");
    red(
        &[file, ("crates/click/clippy.toml", "")],
        "crates/click/Cargo.toml:0",
        "ln -s",
    );
    green(&[file, ("crates/click/clippy.toml", SHARED)]);
    let weaker = SHARED.replace("rand::rng", "rand::other");
    let shared = ".config/deterministic/clippy.toml";
    red(
        &[(shared, &weaker)],
        ".config/deterministic/clippy.toml:0",
        "rand::rng",
    );
    red(
        &[("clippy.toml", "new-key = true\n")],
        ".config/deterministic/clippy.toml:0",
        "new-key",
    );
}

#[test]
fn a_test_that_a_document_names_must_exist() {
    let code = ("src/promise.rs", "    async fn a_promise_holds() {}\n");
    let document = |text| ("README.md", text);
    green(&[
        code,
        document("Shown by `a_promise_holds()`, `Type::new()`.\n"),
    ]);
    let words = "`a_promise_held()` is no function";
    red(
        &[code, document("| x | `a_promise_held()` |\n")],
        "README.md:1",
        words,
    );
}
