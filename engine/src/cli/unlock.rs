//! `cairn unlock`

use super::args::UnlockArgs;
use super::location::input;
use super::{count, out};
use cairn::error::Error;
use cairn::image::Reader;
use cairn::resource::Records;
use cairn::resource::fd::tcp_outside;

pub fn run(args: &UnlockArgs) -> anyhow::Result<u8> {
    let input = input(&args.file)?;
    let failed = |source| Error::of_image(input.path(), source);
    let records: Records = Reader::open(input.clone()).and_then(|reader| reader.records()).map_err(failed)?;
    let removed = tcp_outside::unlock(&records)?;
    out(&match removed {
        0 => "no TCP connection was locked\n".into(),
        removed => format!("{}: removed\n", count(removed, "lock")),
    })?;
    Ok(0)
}
