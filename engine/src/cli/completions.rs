//! `cairn completions` and `cairn man`

use super::args::Cli;
use clap::CommandFactory;
use std::io::{self, Write};

pub fn run(shell: clap_complete::Shell) -> anyhow::Result<u8> {
    clap_complete::generate(shell, &mut Cli::command(), "cairn", &mut io::stdout());
    Ok(0)
}

pub fn man() -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut out)?;
    for sub in command.get_subcommands() {
        clap_mangen::Man::new(sub.clone()).title(format!("cairn-{}", sub.get_name())).render(&mut out)?;
    }
    out.flush()?;
    Ok(0)
}
