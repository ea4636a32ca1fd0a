//! Compiles the schema with a compiler in pure Rust, so that building needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = "floodmark/fleet/v1/fleet.proto";
    println!("cargo::rerun-if-changed={schema}");
    let descriptors = protox::compile([schema], ["."])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
