//! zsh adds with the help of a coprocess.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "a shell with a coprocess",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "zsh", &["-f", "-c", TEXT])
}

const TEXT: &str = r#"
coproc { t=0; while read -r n; do t=$((t + n)); print $t; done }
helper=$!
while read -r n; do
    print -p $n
    read -p s
    print $s
done
kill $helper
wait $helper
exit 0
"#;
