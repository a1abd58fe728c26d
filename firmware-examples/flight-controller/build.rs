//! Names the image to compile in, `PLIANT_IMAGE`, and links for the board.

fn main() {
    println!("cargo:rerun-if-env-changed=PLIANT_IMAGE");
    let image = std::env::var("PLIANT_IMAGE").unwrap_or_else(|_| {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        format!("{folder}/../../models/quadrotor/policy.pliant")
    });
    println!("cargo:rerun-if-changed={image}");
    println!("cargo:rustc-env=PLIANT_IMAGE={image}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
}
