//! A zombie is recreated by a process that exits: no other process may notice.

use super::*;

/// Nothing limits what the restarting program itself may dump.
#[test]
fn a_zombie_that_dumped_no_core_dumps_none_at_the_restart() {
    let job = python::start(
        r#"
import resource
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
zombies = []
for number in signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT:
    zombie = os.fork()
    if zombie == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    ended = os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    if ended.si_code == os.CLD_DUMPED: skip("cores go to a program here")
    zombies.append((zombie, number))
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
say("up", os.getpid())
signal.sigwait({signal.SIGUSR1})
say("ended", [os.waitpid(zombie, 0)[1] - number for zombie, number in zombies])
"#,
    );
    if python::up(&job).is_none() {
        return;
    }
    let output = job.checkpoint("context", &["--kill"]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the end of the job", || job.is_gone().then_some(()));
    let text = format!("ulimit -c unlimited; exec {CAIRN} restart --detach context");
    let restart = cmd!("sh", "-c", text).dir(job.dir.path()).stdout_capture().stderr_capture();
    let output = restart.unchecked().run().expect("sh starts");
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let pid = rustix::process::Pid::from_raw(job.pid).expect("positive");
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("it lives");
    assert_eq!(wait_for("the wait statuses", || python::said(&job, "ended")), "[0, 0, 0]");
    let names = std::fs::read_dir(job.dir.path()).expect("the directory is there").flatten();
    let cores: Vec<_> =
        names.map(|name| name.file_name()).filter(|name| name.to_string_lossy().contains("core")).collect();
    assert!(cores.is_empty(), "{cores:?}");
}
