//! The command as people and scripts meet it: exit codes, the one line on stderr, the JSON on stdout. Needs no privilege.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn fourtuple(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fourtuple"));
    // What the caller's environment says is not what is tested.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FOURTUPLE_")) {
        command.env_remove(name);
    }
    command.args(words).output().expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fourtuple-{}-{name}", std::process::id()));
        std::fs::write(&path, content).expect("the temporary folder is writable");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn what_is_wrong_is_named_and_has_its_exit_code() {
    let unknown = File::new("unknown.toml", "frobnicate = 1\n");
    let unknown = unknown.0.to_str().expect("the path is text");
    let port = ["--iface", "nosuch0", "--ip", "10.99.0.2/24", "--stats", "off"];
    // The words, whether the port's flags go with them, the exit code, what stderr names.
    let cases: &[(&[&str], bool, i32, &str)] = &[
        (&[], false, 2, "Usage"),
        (&["frobnicate"], false, 2, "frobnicate"),
        (&["serve"], true, 2, "name a service"),
        (&["serve", "echo"], false, 2, "--iface"),
        (&["serve", "echo", "--iface", "nosuch0"], false, 2, "--ip"),
        (&["serve", "echo"], true, 3, "nosuch0"),
        (&["serve", "gopher:70"], true, 2, "gopher"),
        (&["serve", "echo:7", "discard:7"], true, 2, "port 7"),
        (&["serve", "echo:0"], true, 2, "echo:0"),
        (&["serve", "echo", "--workers", "512"], true, 3, "--workers"),
        (&["serve", "echo", "--workers", "0"], true, 2, "workers"),
        (&["serve", "echo", "--mtu", "100"], true, 2, "--mtu"),
        (
            &["serve", "echo", "--ip", "10.99.0.256/24"],
            false,
            2,
            "10.99.0.256/24",
        ),
        (&["serve", "echo", "--config", unknown], true, 2, "frobnicate"),
        (
            &["serve", "echo", "--config", "/nosuch.toml"],
            true,
            2,
            "/nosuch.toml",
        ),
        (&["load", "rr", "10.99.0.999:7"], true, 2, "10.99.0.999"),
        (&["load", "rr", "[fd99::1]:7"], true, 2, "--ip"),
        (
            &["load", "stream", "10.99.0.1:9", "--verify"],
            true,
            2,
            "--verify",
        ),
        (
            &["load", "rr", "10.99.0.1:7", "-d", "5 parsecs"],
            true,
            2,
            "5 parsecs",
        ),
        (&["demo", "holt"], false, 2, "holt"),
        (&["demo", "hold", "-n", "5"], false, 2, "--count"),
        (&["demo", "hold", "--pipeline", "2"], false, 2, "--pipeline"),
        (&["demo", "http", "--verify"], false, 2, "--verify"),
        (&["demo", "rr", "-s", "100:4k", "--verify"], false, 2, "--verify"),
        (&["demo", "rr", "-s", "1:2:3"], false, 2, "1:2:3"),
        (&["demo", "rr", "-s", "9000:1"], false, 2, "8192"),
        (&["demo", "rr", "--close", "server"], false, 2, "--close"),
        (&["demo", "rr", "--path", "/"], false, 2, "--path"),
        (&["demo", "http", "--path", "x"], false, 2, "--path"),
        (&["demo", "crr", "--ramp", "1s"], false, 2, "--ramp"),
        (&["demo", "stream", "-s", "1:2"], false, 2, "--size"),
        (&["demo", "--src-ports", "7-6"], false, 2, "7-6"),
        (&["demo", "--src-range", "fd99::/64"], false, 2, "--src-range"),
        (&["demo", "--src-range", "10.99.0.0/24"], false, 2, "--src-range"),
        (&["demo", "--src-range", "224.1.0.0/16"], false, 2, "--src-range"),
        (&["serve", "echo:7-6"], true, 2, "7-6"),
        (&["serve", "echo:7000-7999", "http:7500"], true, 2, "port 7500"),
        (&["serve", "echo", "--root", "/"], true, 2, "--root"),
        (&["serve", "http", "--root", "/nosuch"], true, 2, "/nosuch"),
        (&["demo", "-n", "0"], false, 2, "--count"),
        (&["demo", "--workers", "512"], false, 3, "--workers"),
    ];
    for (words, with_port, code, named) in cases {
        let mut words = words.to_vec();
        if *with_port {
            words.extend(port);
        }
        let done = fourtuple(&words);
        let stderr = text(&done.stderr);
        assert_eq!(done.status.code(), Some(*code), "{words:?}: {stderr}");
        assert!(
            stderr.contains(named),
            "{words:?} does not name {named}: {stderr}"
        );
        assert!(
            done.stdout.is_empty(),
            "{words:?} prints a result: {}",
            text(&done.stdout)
        );
        if stderr.contains("panicked") {
            panic!("{words:?}: {stderr}");
        }
        if *code == 3 {
            assert_eq!(stderr.lines().count(), 1, "{words:?}: {stderr}");
            assert!(stderr.starts_with("fourtuple: "), "{stderr}");
        }
    }
}

#[test]
fn help_offers_what_there_is() {
    let done = fourtuple(&["--help"]);
    let stdout = text(&done.stdout);
    assert!(done.status.success());
    for command in ["demo", "serve", "load", "completions", "man"] {
        assert!(stdout.contains(&format!("  {command} ")), "{stdout}");
    }
    for later in ["top", "conns", "capture", "doctor", "report", "merge"] {
        assert!(!stdout.contains(&format!("  {later} ")), "{stdout}");
    }
    assert!(text(&fourtuple(&["completions", "bash"]).stdout).contains("fourtuple"));
    assert!(text(&fourtuple(&["man"]).stdout).starts_with(".ie"));
}

/// Runs `demo` and gives its JSON, which has to be all of stdout.
fn demo(words: &[&str]) -> Value {
    let mut all = vec!["demo"];
    all.extend(words);
    all.push("--json");
    let done = fourtuple(&all);
    assert_eq!(done.status.code(), Some(0), "{words:?}: {}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "", "{words:?}");
    serde_json::from_slice(&done.stdout).expect("stdout is one JSON object")
}

#[test]
fn demo_does_exactly_what_it_was_asked_to_do() {
    let report = demo(&["rr", "-c", "16", "-n", "1000", "--verify"]);
    assert_eq!(report["schema"], "fourtuple.load/1");
    assert_eq!(
        (&report["pattern"], &report["mode"]),
        (&"rr".into(), &"closed".into())
    );
    assert_eq!(
        (&report["operations"], &report["connections"]),
        (&1000.into(), &16.into())
    );
    assert_eq!(
        report["errors"],
        serde_json::json!({"connect": 0, "reset": 0, "timeout": 0, "verify": 0})
    );
    assert_eq!(report["server"]["workers"], 1);
    assert!(
        report["server"]["busy_ns_per_operation"]
            .as_f64()
            .is_some_and(|cost| cost > 0.0)
    );
    assert!(
        report["server"]["resident_bytes_per_connection"]
            .as_f64()
            .is_some_and(|bytes| bytes > 0.0)
    );
    assert!(report["latency_ns"]["p99.9"].as_u64() <= report["latency_ns"]["max"].as_u64());
}

#[test]
fn demo_verifies_requests_of_any_size() {
    for (size, pipeline) in [("1", "1"), ("1447", "8"), ("100000", "1")] {
        let report = demo(&[
            "rr",
            "-c",
            "3",
            "-n",
            "60",
            "-s",
            size,
            "--pipeline",
            pipeline,
            "--verify",
        ]);
        assert_eq!(report["operations"], 60, "{size} bytes");
    }
}

#[test]
fn demo_opens_and_closes_in_every_way() {
    for close in ["client", "server", "rst"] {
        let mut words = vec!["crr", "-c", "8", "-n", "500", "--close", close];
        if close != "server" {
            words.push("--verify");
        }
        let report = demo(&words);
        assert_eq!(
            (&report["pattern"], &report["operations"]),
            (&"crr".into(), &500.into()),
            "--close {close}"
        );
    }
}

#[test]
fn demo_streams_both_ways() {
    let sent = demo(&["stream", "-c", "2", "-n", "100"]);
    assert_eq!(sent["operations"], 100);
    assert!(sent["bits_per_s"]["sent"].as_f64().is_some_and(|bits| bits > 0.0));
    let received = demo(&["stream", "--reverse", "-c", "2", "-n", "100"]);
    assert_eq!(received["operations"], 100);
    assert!(
        received["bits_per_s"]["received"]
            .as_f64()
            .is_some_and(|bits| bits > 0.0)
    );
}

#[test]
fn demo_speaks_http() {
    for flags in [
        &["-n", "1000"][..],
        &["-n", "1000", "--pipeline", "16"],
        &["-n", "200", "-s", "500:100k"],
        &["-n", "200", "--path", "/any", "-s", "8192"],
    ] {
        let report = demo(&[&["http", "-c", "4"], flags].concat());
        assert_eq!(report["operations"].as_u64(), flags[1].parse().ok(), "{flags:?}");
        assert_eq!(report["errors"]["status"], 0, "{flags:?}");
    }
    let report = demo(&["rr", "-c", "2", "-n", "100", "-s", "100:4k"]);
    let bits = |way: &str| report["bits_per_s"][way].as_f64().unwrap_or_default();
    let ratio = bits("received") / bits("sent");
    assert!((40.0..45.0).contains(&ratio), "100 bytes ask for 4000: {report}");
    let report = demo(&["crr", "-c", "2", "-n", "100", "-s", "64:1k"]);
    assert_eq!(report["operations"], 100);
}

#[test]
fn an_answer_that_is_not_2xx_is_an_error_of_its_own() {
    let done = fourtuple(&[
        "demo", "http", "-n", "50", "-c", "2", "--path", "/bytes/x", "--json",
    ]);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("2xx"), "{}", text(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).expect("stdout is one JSON object");
    assert_eq!(
        (&report["operations"], &report["errors"]["status"]),
        (&0.into(), &50.into())
    );
}

#[test]
fn demo_holds_connections() {
    let report = demo(&["hold", "-c", "3000", "-d", "1s", "--ramp", "200ms"]);
    assert_eq!(report["operations"], 3000);
    assert_eq!(
        report["hold"],
        serde_json::json!({"established": 3000, "lost": 0})
    );
    assert!(report["latency_ns"]["p50"].as_u64().is_some_and(|p50| p50 > 0));
    assert!(report["errors"].get("status").is_none(), "no HTTP was spoken");
    assert_eq!(report["server"]["left_connections"], 0, "all closed in order");
}

#[test]
fn demo_asks_on_as_many_connections_as_it_is_told() {
    for active in ["1", "16", "5000"] {
        let words = ["rr", "-c", "3000", "--active", active, "-n", "10000", "--verify"];
        let more = ["--keepalive", "60s,10s,6"];
        let report = demo(&[&words[..], &more].concat());
        assert_eq!(report["operations"], 10_000, "{active}");
        assert_eq!(
            report["errors"],
            serde_json::json!({"connect": 0, "reset": 0, "timeout": 0, "verify": 0})
        );
    }
}

#[test]
fn demo_connects_from_where_it_is_told() {
    let report = demo(&[
        "crr",
        "-c",
        "50",
        "-n",
        "500",
        "--src-range",
        "10.1.0.0/16",
        "--src-ports",
        "5000-5000",
    ]);
    assert_eq!(report["operations"], 500, "one port, and many addresses");
}

#[test]
fn people_get_a_table() {
    let file = File::new("demo.toml", "connections = 2\ncount = 100\nwarmup = \"10ms\"\n");
    let done = fourtuple(&["demo", "--config", file.0.to_str().expect("the path is text")]);
    let stdout = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    for part in [
        "rr to 10.99.0.1:7, 2 connections",
        "operations   100 ",
        "p99 ",
        "ns busy an operation",
        "stats",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}
