//! Links for the board.

fn main() {
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
}
