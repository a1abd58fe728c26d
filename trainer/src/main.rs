//! The `pliant` command line: see [`pliant_trainer::cli`].

fn main() -> std::process::ExitCode {
    pliant_trainer::cli::main()
}
