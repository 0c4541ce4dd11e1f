//! perl adds in a child.

use super::helpers::adds;
use crate::framework::prelude::*;

pub const WORKLOAD: Workload = Workload {
    purpose: "perl with a forked helper that it talks to through a socket pair",
    needs: &[Need::Installed],
    active: true,
    statik: false,
    run,
};

fn run(cx: &mut Ctx) -> Outcome {
    adds(cx, "perl", &["-e", TEXT])
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
