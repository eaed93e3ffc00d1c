use std::ffi::OsString;

use super::reference::{DEFAULTS, entries, page};
use super::*;

fn with(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, text).unwrap();
    let read = written::read(Some(&path), std::iter::empty());
    let told = |error: String| error.replace(&path.display().to_string(), "t.toml");
    let written = read.map_err(|error| told(error.to_string()))?;
    mean(&written).map_err(|error| told(error.to_string()))
}

fn environment(name: &str, value: &str) -> Result<Config, String> {
    let variables = [(OsString::from(name), OsString::from(value))];
    let written = written::read(None, variables.into_iter()).map_err(|error| error.to_string())?;
    mean(&written).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_good_and_each_has_its_words() {
    let config = mean(&written::read(None, std::iter::empty()).unwrap()).unwrap();
    assert_eq!(config.node.partitions, 16);
    assert!(config.log.sync);
    for entry in entries() {
        assert!(!entry.about.is_empty(), "{} says nothing", entry.path);
        assert!(
            !entry.allowed.is_empty(),
            "{} does not say what is allowed",
            entry.path
        );
    }
    let settings = DEFAULTS
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'));
    assert_eq!(settings.count(), entries().len());
}

#[test]
fn the_reference_page_is_made_from_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/config.md");
    let kept = std::fs::read_to_string(path).unwrap();
    assert_eq!(
        kept,
        page(),
        "run `tollgate config reference > docs/reference/config.md`"
    );
}

/// Each mistake: the file, and what the one message must say.
#[test]
fn a_mistake_is_told_with_line_key_and_what_is_allowed() {
    let cases = [
        (
            "[edge]\nlisten = [\"x\"]\n",
            &["t.toml:2: edge.listen", "\"x\"", "address:port"][..],
        ),
        (
            "[edge]\n\nlistem = []",
            &["t.toml:3: unknown key edge.listem, meant edge.listen?"],
        ),
        (
            "[lgo]\ndurability = \"os\"",
            &["t.toml:1: unknown key lgo, meant log?", "the sections"],
        ),
        (
            "listen = 3",
            &["t.toml:1: unknown key listen, meant api.listen?"],
        ),
        (
            "[node]\npartitions = \"16\"",
            &["t.toml:2: node.partitions", "whole number", "1 to 4095"],
        ),
        (
            "[node]\npartitions = 1.5",
            &["t.toml:2: node.partitions", "whole number"],
        ),
        (
            "[node]\npartitions = true",
            &["t.toml:2: node.partitions", "whole number"],
        ),
        (
            "[node]\npartitions = 0",
            &["t.toml:2: node.partitions: 0 is not", "1 to 4095"],
        ),
        ("[node]\npartitions = 4096", &["t.toml:2", "1 to 4095"]),
        ("[node]\npartitions = -3", &["t.toml:2", "1 to 4095"]),
        (
            "[node]\nedge = 16384",
            &["t.toml:2: node.edge", "0 to 16383"],
        ),
        (
            "[node]\nedge = 99999999999999999999",
            &["t.toml:2: node.edge"],
        ),
        ("node = 3", &["t.toml:1: unknown key node"]),
        (
            "[edge.timeouts]\nhead = 10",
            &["t.toml:2: edge.timeouts.head", "text in quotes"],
        ),
        (
            "[edge.timeouts]\nhead = \"10\"",
            &["t.toml:2", "unit (ms, s, m, h or d)"],
        ),
        (
            "[edge.timeouts]\nhead = \"-1s\"",
            &["t.toml:2", "unit (ms, s, m, h or d)"],
        ),
        (
            "[edge.timeouts]\nhead = \"10 s\"",
            &["t.toml:2", "unit (ms, s, m, h or d)"],
        ),
        (
            "[edge.timeouts]\nhead = \"2h\"",
            &["t.toml:2", "100ms to 1h"],
        ),
        (
            "[edge.timeouts]\nhead = \"99999999999999999999d\"",
            &["t.toml:2", "unit"],
        ),
        (
            "[log]\nsegment = \"1GB\"",
            &["t.toml:2: log.segment", "B, KiB, MiB or GiB"],
        ),
        (
            "[log]\nsegment = \"2GiB\"",
            &["t.toml:2: log.segment", "16MiB to 1GiB"],
        ),
        (
            "[log]\ndurability = \"maybe\"",
            &["t.toml:2: log.durability", "sync, os"],
        ),
        (
            "[link]\nwindow = \"31d\"",
            &["t.toml:2: link.window", "1s to 30d"],
        ),
        (
            "[link]\nwindow = \"5h\"\nwindow_max = \"4h\"",
            &["t.toml:2: link.window", "window_max"],
        ),
        (
            "[log]\nfacts_retention = \"30d\"\npersonal_retention=\"1d\"",
            &[
                "default: link.window_max",
                "log.facts_retention (30d)",
                "duplicates would bill",
            ],
        ),
        (
            "[log]\nfacts_retention = \"40d\"\n[link]\nexpiry = \"60d\"",
            &[
                "t.toml:4: link.expiry",
                "longer than log.facts_retention (40d)",
            ],
        ),
        (
            "[link]\nexpiry = \"1h\"",
            &["t.toml:2: link.expiry", "shorter than link.window"],
        ),
        (
            "[log]\npersonal_retention = \"500d\"",
            &["t.toml:2: log.personal_retention", "longer"],
        ),
        (
            "[api]\nlisten = \"127.0.0.1:8080\"",
            &["t.toml:2: api.listen", "clashes with edge.listen"],
        ),
        (
            "[edge]\nproxy_listen = [\"127.0.0.1:8080\"]",
            &["t.toml:2: edge.proxy_listen", "clashes"],
        ),
        (
            "[edge]\nlisten = []",
            &["t.toml:2: edge.listen", "listens nowhere"],
        ),
        (
            "[edge]\nlisten = [1]",
            &["t.toml:2: edge.listen", "list of texts"],
        ),
        (
            "[edge]\ntls_listen = [\"0.0.0.0:8443\"]",
            &["t.toml:2: edge.tls_listen", "edge.tls_cert"],
        ),
        (
            "[edge]\ntls_certificate = \"c.pem\"",
            &["t.toml:2: edge.tls_certificate", "edge.tls_key"],
        ),
        (
            "[edge]\ntrusted_proxies = [\"10.0.0.0/33\"]",
            &["t.toml:2", "10.0.0.0/33", "networks"],
        ),
        (
            "[edge]\ncountry_header = \"X Country\"",
            &["t.toml:2: edge.country_header"],
        ),
        (
            "[edge]\ncountry_header = \"%s{}\\n\"",
            &["t.toml:2: edge.country_header"],
        ),
        ("[node]\nedge = 1\nedge = 2", &["t.toml:3", "duplicate"]),
        ("[node]\nedge = ", &["t.toml:2"]),
        ("[node\nedge = 1", &["t.toml:1"]),
        ("", &["t.toml: it holds no setting"]),
        (" \r\n\t\n", &["t.toml: it holds no setting"]),
        ("# only words\n[node]\n", &["t.toml: it holds no setting"]),
        ("[node]\nedge = 1\u{0}", &["t.toml:2"]),
    ];
    for (text, parts) in cases {
        let told = with(text).map(|_| ()).expect_err(text);
        assert!(!told.contains('\n'), "one message: {told:?}");
        for part in parts {
            assert!(told.contains(part), "{text:?}: {told:?} lacks {part:?}");
        }
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_nothing() {
    let config = with("\u{feff}[node]\r\nedge = 7\r\n").unwrap();
    assert_eq!(config.node.edge.get(), 7);
    let told = with("\u{feff}[node]\r\n\r\nedg = 7\r\n").unwrap_err();
    assert!(told.starts_with("t.toml:3:"), "{told}");
}

#[test]
fn what_is_no_text_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &Path| {
        written::read(Some(path), std::iter::empty())
            .unwrap_err()
            .to_string()
    };
    assert!(read(folder.path()).contains("it is a directory"));
    assert!(read(&folder.path().join("absent")).contains("cannot be read"));
    let path = folder.path().join("f");
    std::fs::write(&path, "# long\n".repeat(1_500_000)).unwrap();
    assert!(read(&path).contains("longer than 1048576 bytes"));
    std::fs::write(&path, b"[node]\nedge = \"\xff\"").unwrap();
    assert!(read(&path).contains("line 2 is not UTF-8"));
}

#[test]
fn the_environment_stands_before_the_file() {
    let config = environment("TOLLGATE_EDGE_LISTEN", "127.0.0.1:1, 127.0.0.1:2").unwrap();
    assert_eq!(config.edge.listen.len(), 2);
    let config = environment("TOLLGATE_EDGE_TIMEOUTS_HEAD", "3s").unwrap();
    assert_eq!(config.edge.timeouts.head, Duration::from_secs(3));
    assert_eq!(
        environment("TOLLGATE_NODE_EDGE", "5")
            .unwrap()
            .node
            .edge
            .get(),
        5
    );
    let told = environment("TOLLGATE_NODE_EDGES", "5").unwrap_err();
    assert!(told.contains("environment TOLLGATE_NODE_EDGES"), "{told}");
    assert!(told.contains("meant TOLLGATE_NODE_EDGE?"), "{told}");
    let told = environment("TOLLGATE_NODE_EDGE", "x").unwrap_err();
    assert!(told.contains("0 to 16383"), "{told}");
}

#[test]
fn ports_clash_only_where_they_meet() {
    let fine = [
        "[edge]\nlisten = [\"127.0.0.1:0\"]\n[api]\nlisten = \"127.0.0.1:0\"",
        "[edge]\nlisten = [\"127.0.0.1:8080\"]\n[api]\nlisten = \"127.0.0.2:8080\"",
    ];
    for text in fine {
        with(text).unwrap();
    }
    let clash = "[edge]\nlisten = [\"[::]:8080\"]\n[api]\nlisten = \"127.0.0.2:8080\"";
    assert!(with(clash).unwrap_err().contains("t.toml:4: api.listen"));
}

#[test]
fn times_are_told_in_their_largest_unit() {
    let told = [86_400_000, 5_400_000, 1_500, 0]
        .map(Duration::from_millis)
        .map(value::spell_duration);
    assert_eq!(told, ["1d", "90m", "1500ms", "0d"]);
}
