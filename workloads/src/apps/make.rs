//! make and gcc, in several jobs at once.

use super::helpers::{command, exits};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a build by make and gcc in several jobs",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

const FILES: u64 = 40;

fn run(cx: &mut Ctx) -> Outcome {
    command("gcc")?;
    let mut make = command("make")?;
    let mut main = String::from("#include <stdio.h>\n");
    for n in 0..FILES {
        let text = format!(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nlong part{n}(void) {{ return {n}; }}\n"
        );
        std::fs::write(format!("part{n}.c"), text).context("write a source file")?;
        main += &format!("long part{n}(void);\n");
    }
    let parts = |of: fn(u64) -> String, between: &str| (0..FILES).map(of).collect::<Vec<_>>().join(between);
    main +=
        &format!("int main(void) {{ printf(\"%ld\\n\", {}); }}\n", parts(|n| format!("part{n}()"), " + "));
    std::fs::write("main.c", main).context("write a source file")?;
    let objects = parts(|n| format!("part{n}.o"), " ");
    std::fs::write("Makefile", format!("sum: main.o {objects}\n\tgcc -o $@ $^\n")).context("write it")?;
    let mut make = make.args(["-j3", "-s"]).spawn().context("start make")?;
    sync::wait_until("the first object file", || Ok(std::path::Path::new("part0.o").exists()))?;

    cx.ready()?;

    exits(&mut make)?;
    let said = std::process::Command::new("./sum").output().context("run the program")?;
    let sum: u64 = (0..FILES).sum();
    expect_bytes("what the program says", &said.stdout, format!("{sum}\n").as_bytes())
}
