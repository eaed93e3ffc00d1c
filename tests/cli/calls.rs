//! How it is called, and how it ends.

use std::process::Stdio;

use super::world::{World, call, refused, stderr, stdout, tollgate};

const COMMANDS: [&str; 11] = [
    "demo",
    "serve",
    "link",
    "keys",
    "replay",
    "load",
    "report",
    "config",
    "doctor",
    "sql",
    "completions",
];

#[test]
fn no_command_and_unknown_flags_are_usage_errors() {
    assert!(refused(&call::<&str>([]), 2).contains("Usage: tollgate"));
    assert!(refused(&call(["--no-such-flag"]), 2).contains("--no-such-flag"));
    assert!(
        refused(&call(["reprot"]), 2).contains("report"),
        "the nearest command is named"
    );
    for command in COMMANDS {
        refused(&call([command, "--no-such-flag"]), 2);
    }
}

#[test]
fn every_command_explains_itself() {
    let help = stdout(&call(["--help"]));
    assert!(
        help.contains("Exit codes: 0 fine, 1 found problems, 2 usage"),
        "{help}"
    );
    for command in COMMANDS {
        assert!(
            help.contains(&format!("  {command}")),
            "{command} is not in the help"
        );
        let output = call([command, "--help"]);
        assert!(output.status.success(), "{command}");
        assert!(
            stdout(&output).contains(&format!("Usage: tollgate {command}")),
            "{command}"
        );
    }
    assert!(stdout(&call(["--version"])).starts_with("tollgate "));
}

#[test]
fn a_closed_standard_output_ends_quietly() {
    let world = World::new();
    world.serve().end("-TERM");
    let data = world.text("data");
    let calls: [&[&str]; 5] = [
        &["report", "--data", &data],
        &["config", "reference"],
        &["completions", "bash"],
        &["doctor", "--json"],
        &["--help"],
    ];
    for args in calls {
        let mut child = tollgate();
        let mut child = child
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
        assert_eq!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn colour_is_only_for_those_who_want_it() {
    let world = World::new();
    world.serve().end("-TERM");
    let data = world.text("data");
    let escapes = |args: &[&str]| stdout(&call(args)).contains('\x1b');
    assert!(
        !escapes(&["report", "--data", &data]),
        "no terminal, no colour"
    );
    assert!(escapes(&["report", "--data", &data, "--color", "always"]));
    assert!(!escapes(&["report", "--data", &data, "--color", "never"]));
    let refused = tollgate()
        .env("NO_COLOR", "1")
        .args(["report", "--data", "/absent"])
        .output();
    assert!(!stderr(&refused.unwrap()).contains('\x1b'));
}

#[test]
fn an_error_is_an_object_too_when_json_is_asked_for() {
    let output = call(["report", "--json", "--data", "/no/such/dir"]);
    let told = refused(&output, 3);
    assert!(
        told.starts_with("error: /no/such/dir is no directory"),
        "{told}"
    );
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["exit"], 3);
    assert!(object["error"].as_str().unwrap().contains("/no/such/dir"));
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&call(["completions", shell]));
        for command in COMMANDS {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
}
