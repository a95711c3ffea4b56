//! Crates that must not be in the graph.

use std::process::Command;

use profile_tests::repository;

/// A crate and why it must stay out.
const ABSENT: &[(&str, &str)] = &[
    (
        "ring",
        "a second TLS provider makes every TLS connection of async-nats panic",
    ),
    (
        "openssl-sys",
        "TLS is rustls on aws-lc, without a system library",
    ),
    (
        "native-tls",
        "TLS is rustls on aws-lc, without a system library",
    ),
];

#[test]
fn crates_that_do_harm_are_not_in_the_graph() {
    for (name, why) in ABSENT {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--workspace", "--offline", "--locked", "-i", name])
            .current_dir(repository::root())
            .output()
            .expect("cargo can be started");
        let (stdout, stderr) = (
            String::from_utf8_lossy(&tree.stdout),
            String::from_utf8_lossy(&tree.stderr),
        );
        // "nothing to print" (exit 0) or "did not match any packages" (exit 101).
        let absent = stderr.contains("did not match any packages")
            || (tree.status.success() && stdout.trim().is_empty());
        assert!(absent, "{name}: {why}\n{stdout}{stderr}");
    }
}
