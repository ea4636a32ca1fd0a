//! `floodmark completions` and `floodmark man`: what shells and manuals want to know of the
//! command line, made from the command line itself.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Done, Failure};

#[derive(Args)]
pub(super) struct CompletionsArgs {
    /// The shell to make it for
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<Done, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "floodmark", &mut text);
    Ok(Done::text(String::from_utf8_lossy(&text).into_owned()))
}

/// One page: the program, and each command under a heading of its own.
pub(super) fn man() -> Result<Done, Failure> {
    let mut program = Cli::command();
    program.build();
    let mut page = Vec::new();
    let render = |command: &clap::Command, page: &mut Vec<u8>| {
        clap_mangen::Man::new(command.clone()).render(page)
    };
    render(&program, &mut page).map_err(|error| Failure::internal(&error))?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let mut section = Vec::new();
        let heading = format!(".SH \"COMMAND {}\"\n", command.get_name().to_uppercase());
        let man = clap_mangen::Man::new(command.clone());
        man.render_synopsis_section(&mut section)
            .and_then(|()| man.render_description_section(&mut section))
            .and_then(|()| man.render_options_section(&mut section))
            .map_err(|error| Failure::internal(&error))?;
        // Below a command's heading, its own headings are one step smaller.
        let section = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        page.extend_from_slice(heading.as_bytes());
        page.extend_from_slice(section.as_bytes());
    }
    Ok(Done::text(String::from_utf8_lossy(&page).into_owned()))
}
