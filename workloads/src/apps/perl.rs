//! perl adds in a child.

use super::helpers::{command, converse, sum};
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "perl with a forked helper that it talks to through a socket pair",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    let mut program = command("perl")?;
    program.args(["-e", TEXT]);
    converse(cx, program, sum)
}

const TEXT: &str = r#"
use Socket; use IO::Handle;
socketpair(my $mine, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
$_->autoflush(1) for $mine, $theirs, *STDOUT;
if (!fork) {
    close $mine;
    my $sum = 0;
    while (<$theirs>) { $sum += $_; print $theirs "$sum\n"; }
    exit;
}
close $theirs;
while (<STDIN>) { print $mine $_; print scalar <$mine>; }
close $mine;
wait;
"#;
