//! Each rule on a small text that breaks it, and on one that does not.

use serde_json::json;

use super::source::Source;
use super::{check, direction};

fn faults(path: &str, text: &str) -> Vec<String> {
    check(path, text).iter().map(ToString::to_string).collect()
}

#[test]
fn imports_go_upwards_only_and_front_ends_see_the_boundary_alone() {
    let uses = |name: &str, used: &str, kind: Option<&str>| {
        let used = json!({ "name": used, "path": "somewhere", "kind": kind });
        let metadata = json!({ "packages": [{ "name": name, "dependencies": [used] }] });
        direction::check(&metadata).unwrap().len()
    };
    assert_eq!(uses("tramline-log", "tramline-store", None), 0);
    assert_eq!(uses("tramline-store", "tramline-log", None), 1);
    assert_eq!(uses("tramline-kafka", "tramline-broker", None), 0);
    assert_eq!(uses("tramline-kafka", "tramline-wire", None), 0);
    assert_eq!(uses("tramline-kafka", "tramline-log", None), 1);
    assert_eq!(uses("tramline-http", "tramline-kafka", None), 1);
    assert_eq!(uses("tramline-kafka", "tramline-testkit", Some("dev")), 0);
    assert_eq!(uses("tramline-new", "tramline-types", None), 1);
}

#[test]
fn pure_code_names_no_clock_no_disk_and_no_runtime() {
    let text = "//! A file.\nuse tokio::sync::mpsc;\n";
    assert_eq!(faults("crates/record/src/batch.rs", text).len(), 1);
    assert_eq!(faults("crates/kafka/src/session.rs", text).len(), 1);
    assert!(faults("crates/kafka/src/connection.rs", text).is_empty());
    let text = "//! A file.\n// tokio in a comment\nconst A: &str = \"tokio\";\nfn tokios() {}\n";
    assert!(faults("crates/record/src/batch.rs", text).is_empty());
}

#[test]
fn disk_is_the_stores_and_the_environment_the_servers() {
    let text = "//! A file.\nuse std::fs;\n";
    assert!(faults("crates/store/src/disk.rs", text).is_empty());
    assert!(faults("crates/server/src/config.rs", text).is_empty());
    assert_eq!(faults("crates/log/src/partition.rs", text).len(), 1);
    let text = "//! A file.\nfn f() { let _ = std::env::var(\"A\"); }\n";
    assert!(faults("crates/server/src/main.rs", text).is_empty());
    assert_eq!(faults("crates/broker/src/lib.rs", text).len(), 1);
}

#[test]
fn tests_may_touch_what_code_may_not() {
    let text = "//! A file.\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\nfn f() {}\n";
    assert!(faults("crates/log/src/partition.rs", text).is_empty());
    let text = "//! A file.\n#[cfg(test)]\nmod tests;\nuse std::fs;\n";
    assert_eq!(faults("crates/log/src/partition.rs", text).len(), 1);
    assert!(faults("crates/log/tests/it/main.rs", "//! A file.\nuse std::fs;\n").is_empty());
}

#[test]
fn files_start_with_a_header_and_stay_small() {
    assert_eq!(faults("crates/log/src/lib.rs", "fn f() {}\n").len(), 1);
    let lines = |n: usize| format!("//! A file.\n\n// Why.\n{}", "fn f() {}\n".repeat(n));
    assert!(faults("crates/log/src/lib.rs", &lines(500)).is_empty());
    assert_eq!(faults("crates/log/src/lib.rs", &lines(501)).len(), 1);
    assert!(faults("crates/log/src/partition/tests.rs", &lines(501)).is_empty());
}

#[test]
fn names_say_what_a_file_holds() {
    for path in ["crates/log/src/util.rs", "crates/common/src/lib.rs", "crates/log/src/a/mod.rs"] {
        assert_eq!(faults(path, "//! A file.\n").len(), 1, "{path}");
    }
}

#[test]
fn unfinished_work_and_paths_of_one_machine_are_faults_in_any_file() {
    let unfinished = ["TO", "DO"].concat();
    assert_eq!(
        faults("docs/a.md", &format!("a\n{unfinished}: b\n")),
        [format!("docs/a.md:2: `{unfinished}`: finish it, or file it")]
    );
    assert!(faults("docs/a.md", &format!("{unfinished}RSAL")).is_empty());
    let path = ["/wo", "rk/main"].concat();
    assert_eq!(faults("start", &format!("cd \"{path}\"")).len(), 1);
    assert!(faults("start", "cd net/work/main").is_empty());
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = "a /* b /* c */ d */ \"e\\\"f\" r#\"g\"h\"# 'i' '\\'' b'j' &'k l r#type // m\nn";
    let source = Source::read("a.rs", text);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let code: Vec<_> = source.code().map(|(_, line)| words(line)).collect();
    assert_eq!(code, [vec!["a", "b", "&'k", "l", "r#type"], vec!["n"]]);
}
