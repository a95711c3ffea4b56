//! What `--version` says.

include!("../../tools/version.rs");

fn main() {
    emit_version();
}
