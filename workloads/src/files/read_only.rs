//! Files whose permissions have been removed since they were opened.

use super::helpers;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "open files whose mode would not let them be opened again by others",
    needs: &[],
    active: false,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut files = Vec::new();
    for (index, mode) in [0o400, 0o200, 0, 0o555].into_iter().enumerate() {
        let name = format!("file{index}");
        let file = helpers::make(&name, 300, cx.seed + index as u64)?;
        std::fs::set_permissions(&name, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .context("chmod")?;
        files.push((file, mode));
    }

    cx.ready()?;

    for (index, (file, mode)) in files.iter().enumerate() {
        expect_eq("mode", fd::stat(file)?.st_mode & 0o7777, *mode)?;
        helpers::verify(&format!("file {index}"), file, 300, cx.seed + index as u64)?;
        fd::write_all(file, b"still writable")?;
    }
    Ok(())
}
