//! Compiles ZITADEL's part of the API to Rust messages, and to the descriptors that reflection serves; and
//! what `--version` says.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

include!("../../tools/version.rs");

const PROTO_DIR: &str = "../../messages/proto";
const FILES: [&str; 3] = [
    "zitadel/management.proto",
    "zitadel/auth.proto",
    "zitadel/user/v2/user_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    emit_version();
    println!("cargo::rerun-if-changed={PROTO_DIR}");
    let descriptors = protox::compile(FILES, [PROTO_DIR])?;
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    prost_build::Config::new()
        .include_file("zitadel.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
