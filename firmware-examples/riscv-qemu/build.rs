//! Lets the linker find this board's `memory.x`.

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR") {
        println!("cargo:rustc-link-search={}", folder.to_string_lossy());
    }
}
