//! The `chatapi` program.

fn main() -> std::process::ExitCode {
    chatapi::cli::main()
}
