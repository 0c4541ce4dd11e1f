//! Programs written for BLCR's library, and its commands.

use super::*;
use std::os::unix::fs::symlink;

/// What every program begins with: `say(NAME, FORMAT, …)` adds a line to a file.
const BEGIN: &str = r#"
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <libcr.h>

static void say(const char *name, const char *format, ...)
{
	char line[5000];
	va_list args;
	va_start(args, format);
	int len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	line[len] = '\n';
	int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (write(fd, line, len + 1) != len + 1) abort();
	close(fd);
}

/* What counts of a callback, in one line each. */
static int callback(void *name)
{
	say("log", "%s begins", name);
	int done = cr_checkpoint(CR_CHECKPOINT_READY);
	say("log", "%s %s", name, done > 0 ? "restarted" : done < 0 ? cr_strerror(-done) : "continued");
	return 0;
}

static void count(void)
{
	for (int number = 1;; number++) {
		FILE *file = fopen("count.new", "w");
		fprintf(file, "%d\n", number);
		fclose(file);
		rename("count.new", "count");
		usleep(1000);
	}
}
"#;

/// A directory with the library and the commands under their names, and a program that was built
/// with them.
struct Program {
    dir: tempfile::TempDir,
}

impl Program {
    fn new(text: &str) -> Program {
        let dir = tempfile::tempdir().expect("a directory");
        // A dependency of these tests.
        let library = Path::new(CAIRN).with_file_name("deps").join("libcr.so");
        for name in ["libcr.so.0", "libcr_run.so.0", "libcr_omit.so.0"] {
            symlink(&library, dir.path().join(name)).expect("linked");
        }
        for name in ["cairn", "cr_run", "cr_checkpoint", "cr_restart"] {
            symlink(CAIRN, dir.path().join(name)).expect("linked");
        }
        std::fs::write(dir.path().join("program.c"), format!("{BEGIN}{text}")).expect("written");
        let headers = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/libcr/include");
        cmd!(
            "cc",
            "-Wall",
            "-Wno-unused-function",
            "-Werror",
            "-pthread",
            headers,
            "program.c",
            "-L.",
            "-l:libcr.so.0",
            "-o",
            "program"
        )
        .dir(dir.path())
        .run()
        .expect("it compiles");
        Program { dir }
    }

    fn prepare(&self, command: duct::Expression) -> duct::Expression {
        let path = std::env::var("PATH").expect("there is one");
        let command = command.dir(self.dir.path()).env("LD_LIBRARY_PATH", self.dir.path());
        command.env("PATH", format!("{}:{path}", self.dir.path().display()))
    }

    /// Starts it as a job.
    fn start(self) -> Job {
        let run = self.prepare(cmd!(CAIRN, "run", "--detach", "-o", "said", "--", "./program")).stdin_null();
        let pid = run.read().expect("the job starts").trim().parse().expect("its number");
        Job { dir: self.dir, pid }
    }
}

impl Job {
    /// Runs one of BLCR's commands in its directory.
    fn blcr(&self, args: &[&str]) -> Output {
        let run = cmd(self.path(args[0]), &args[1..]).dir(self.dir.path());
        run.stdin_null().stdout_capture().stderr_capture().unchecked().run().expect("it starts")
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until it has said something.
    fn await_said(&self, name: &str) -> String {
        wait_for(name, || std::fs::read_to_string(self.path(name)).ok().filter(|text| text.ends_with('\n')))
    }

    fn await_end(&self) {
        wait_for("the end of the job", || self.is_gone().then_some(()));
    }
}

/// `cr_restart` stays the parent of the job.
struct Restarted(std::process::Child);

impl Restarted {
    fn of(job: &Job, file: &str) -> Restarted {
        let mut command = std::process::Command::new(job.path("cr_restart"));
        command.arg(file).current_dir(job.dir.path()).stdin(std::process::Stdio::null());
        Restarted(command.spawn().expect("it starts"))
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        // The job is killed with it, or has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CALLBACKS: &str = r#"
static void *other(void *unused)
{
	cr_init();
	cr_register_callback(callback, "other", CR_SIGNAL_CONTEXT);
	say("up", "other");
	for (;;) pause();
	return NULL;
}

int main(void)
{
	pthread_t thread;
	cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	cr_register_callback(callback, "second", CR_SIGNAL_CONTEXT);
	cr_register_callback(callback, "thread", CR_THREAD_CONTEXT);
	pthread_create(&thread, NULL, other, NULL);
	count();
}
"#;

/// The callbacks in thread context first, then those in signal context, the last one first.
#[test]
fn callbacks_run_before_and_after() {
    let job = Program::new(CALLBACKS).start();
    job.await_said("up");
    job.await_progress();
    let ran = |how: &str| {
        let log = job.log();
        let at = |name: &str, what: &str| {
            let line = format!("{name} {what}");
            log.iter().position(|other| *other == line).unwrap_or_else(|| panic!("{line} is not in {log:?}"))
        };
        assert_eq!(log.len(), 8, "{log:?}");
        assert!(at("thread", "begins") < at("second", "begins"));
        assert!(at("thread", "begins") < at("other", "begins"));
        assert!(at("second", "begins") < at("first", "begins"));
        assert!(at("first", how) < at("second", how));
        assert!(at("first", "begins").max(at("other", "begins")) < at("first", how).min(at("thread", how)));
        std::fs::remove_file(job.path("log")).expect("it was there");
    };
    for _ in 0..3 {
        let output = job.blcr(&["cr_checkpoint", "-f", "context", &job.pid()]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        wait_for("the callbacks", || (job.log().len() == 8).then_some(()));
        ran("continued");
        job.await_progress();
    }
    let output = job.blcr(&["cr_checkpoint", "-f", "context", "--kill", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_end();
    for _ in 0..2 {
        std::fs::remove_file(job.path("log")).expect("it was there");
        std::fs::write(job.path("log"), "thread begins\nsecond begins\nother begins\nfirst begins\n")
            .expect("written");
        let restarted = Restarted::of(&job, "context");
        wait_for("the callbacks", || (job.log().len() == 8).then_some(()));
        ran("restarted");
        std::fs::write(job.path("log"), "").expect("written");
        job.await_progress();
        // And once more, of what was restarted.
        let output = job.blcr(&["cr_checkpoint", "-f", "context", "--kill", &job.pid()]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        job.await_end();
        drop(restarted);
    }
}

/// A callback is told of the request and of the restart.
#[test]
fn a_callback_learns_who_asks_for_what() {
    let job = Program::new(
        r#"
static int told(void *unused)
{
	const struct cr_checkpoint_info *asked = cr_get_checkpoint_info();
	say("asked", "%d %d %d %s", asked->signal, asked->scope, asked->target == getpid(), asked->dest);
	if (cr_checkpoint(0) > 0)
		say("restarted", "%d %s", cr_get_restart_info()->requester, cr_get_restart_info()->src);
	return 0;
}

int main(void)
{
	cr_init();
	cr_register_callback(told, NULL, CR_THREAD_CONTEXT);
	if (cr_get_checkpoint_info() || cr_checkpoint(0) != -CR_ENOTCB) abort();
	count();
}
"#,
    )
    .start();
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "-p", "--kill", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    let dir = job.dir.path().canonicalize().expect("it is there");
    assert_eq!(job.await_said("asked"), format!("9 0 1 {}/.context.tmp\n", dir.display()));
    job.await_end();
    let restarted = Restarted::of(&job, "context");
    let told = format!("{} {}/context\n", restarted.0.id(), dir.display());
    assert_eq!(job.await_said("restarted"), told);
}

/// The job runs on, and the command ends with the code.
#[rstest::rstest]
#[case::for_now("CR_CHECKPOINT_TEMP_FAILURE", 2354 & 0xff, "Checkpoint cancelled for now by a callback")]
#[case::with_a_code("CR_CHECKPOINT_TEMP_FAILURE_CODE(77)", 77, "File descriptor in bad state")]
fn a_callback_cancels_the_checkpoint(#[case] how: &str, #[case] code: i32, #[case] why: &str) {
    let job = Program::new(&format!(
        r#"
static int cancels(void *unused)
{{
	say("why", "%s", cr_strerror(-cr_checkpoint({how})));
	return 0;
}}

int main(void)
{{
	cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	cr_register_callback(cancels, NULL, CR_SIGNAL_CONTEXT);
	count();
}}
"#
    ))
    .start();
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "--kill", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), code, "{}", complaint(&output));
    assert!(!job.path("context").exists() && !job.path(".context.tmp").exists());
    assert_eq!(job.await_said("why"), format!("{why}\n"));
    assert!(job.log().is_empty(), "the other callback does not run");
    job.await_progress();
}

/// All processes of the checkpoint are killed.
#[test]
fn a_callback_cancels_the_checkpoint_for_good() {
    let job = Program::new(
        r#"
static int cancels(void *unused)
{
	cr_checkpoint(CR_CHECKPOINT_PERM_FAILURE_CODE(78));
	return 0;
}

int main(void)
{
	cr_init();
	if (fork() == 0) for (;;) pause();
	cr_register_callback(cancels, NULL, CR_SIGNAL_CONTEXT);
	count();
}
"#,
    )
    .start();
    job.await_progress();
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", job.pid));
    let child: i32 = children.expect("it lives").trim().parse().expect("one child");
    let output = job.blcr(&["cr_checkpoint", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), 78, "{}", complaint(&output));
    job.await_end();
    let is_gone = || status_field(child, "State").is_none_or(|state| state.starts_with(['Z', 'X']));
    wait_for("the end of the child", || is_gone().then_some(()));
}

#[test]
fn a_checkpoint_waits_for_critical_sections() {
    let job = Program::new(
        r#"
int main(void)
{
	cr_client_id_t client = cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	cr_register_callback(callback, "thread", CR_THREAD_CONTEXT);
	cr_enter_cs(client);
	say("up", "inside");
	while (access("go", F_OK)) usleep(1000);
	say("log", "%s", cr_tryenter_cs(client) == 0 ? "nested" : "not nested");
	cr_leave_cs(client);
	say("log", "leaves, %d", cr_status());
	cr_leave_cs(client);
	while (cr_status() != CR_STATE_IDLE) usleep(1000);
	say("up", "outside");
	count();
}
"#,
    )
    .start();
    job.await_said("up");
    let output = job.blcr(&["cr_checkpoint", "--time", "1", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), rustix::io::Errno::TIME.raw_os_error(), "{}", complaint(&output));
    assert!(job.log().is_empty());
    let command = job.path("cr_checkpoint");
    let later = cmd!(command, "-f", "context", job.pid()).dir(job.dir.path()).stderr_capture().unchecked();
    let later = later.start().expect("it starts");
    std::fs::write(job.path("go"), "").expect("written");
    let output = later.wait().expect("it ends");
    assert_eq!(exit_code(output), 0, "{}", complaint(output));
    job.await_progress();
    assert_eq!(job.await_said("up"), "inside\noutside\n");
    let log = job.log();
    assert_eq!(log[..2], ["nested", "leaves, 1"], "{log:?}");
    assert!(log.contains(&"first continued".to_owned()) && log.contains(&"thread continued".to_owned()));
}

/// They take turns.
#[test]
fn two_checkpoints_at_a_time_succeed() {
    let job = Program::new(CALLBACKS).start();
    job.await_said("up");
    job.await_progress();
    for _ in 0..5 {
        let begin = |file: &str| {
            let run = cmd!(job.path("cr_checkpoint"), "-f", file, job.pid()).dir(job.dir.path());
            run.stderr_capture().unchecked().start().expect("it starts")
        };
        for running in [begin("one"), begin("two")] {
            let output = running.wait().expect("it ends");
            assert_eq!(exit_code(output), 0, "{}", complaint(output));
        }
        job.await_progress();
    }
    wait_for("the callbacks", || (job.log().len() == 80).then_some(()));
    let ended = job.log().iter().filter(|line| line.ends_with("continued")).count();
    assert_eq!(ended, 40, "{:?}", job.log());
}

/// Whether a thread has ended in a critical section, and whether one stays there: whoever waits for
/// them goes on when the checkpoint is cancelled.
#[test]
fn a_critical_section_without_an_end_holds_nobody_for_ever() {
    let job = Program::new(
        r#"
static void *ends(void *unused)
{
	cr_enter_cs(cr_init());
	return NULL;
}

static void *stays(void *unused)
{
	cr_client_id_t client = cr_init();
	cr_enter_cs(client);
	say("up", "inside");
	while (access("go", F_OK)) usleep(1000);
	cr_leave_cs(client);
	for (;;) pause();
	return NULL;
}

int main(void)
{
	pthread_t thread;
	cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	pthread_create(&thread, NULL, ends, NULL);
	pthread_join(thread, NULL);
	pthread_create(&thread, NULL, stays, NULL);
	count();
}
"#,
    )
    .start();
    job.await_said("up");
    for _ in 0..2 {
        let output = job.blcr(&["cr_checkpoint", "--time", "1", "-f", "context", &job.pid()]);
        assert_eq!(exit_code(&output), rustix::io::Errno::TIME.raw_os_error(), "{}", complaint(&output));
        job.await_progress();
    }
    assert!(job.log().is_empty(), "{:?}", job.log());
    std::fs::write(job.path("go"), "").expect("written");
    let output = job.blcr(&["cr_checkpoint", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the callback", || (job.log() == ["first begins", "first continued"]).then_some(()));
}

/// From two threads at once; and what a request for oneself is told.
#[test]
fn a_program_requests_two_checkpoints_of_itself() {
    let job = Program::new(
        r#"
static void request(const char *name, unsigned flags)
{
	cr_checkpoint_args_t args;
	cr_checkpoint_handle_t handle;
	cr_initialize_checkpoint_args_t(&args);
	args.cr_scope = CR_SCOPE_PROC;
	args.cr_fd = open(name, O_WRONLY | O_CREAT, 0600);
	args.cr_flags = flags;
	char *log = NULL;
	if (cr_request_checkpoint(&args, &handle)) abort();
	int done;
	while ((done = cr_poll_checkpoint_msg(&handle, NULL, &log)) == CR_POLL_CHKPT_ERR_PRE && errno == EINTR);
	say("ends", "%s: %s", name, done > 0 ? "saved" : errno == EDEADLK ? "not itself" : log);
}

static void *other(void *unused)
{
	cr_init();
	request("one", 0);
	return NULL;
}

int main(void)
{
	pthread_t thread;
	cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	pthread_create(&thread, NULL, other, NULL);
	request("two", 0);
	pthread_join(thread, NULL);
	request("three", CR_CHKPT_PROHIBIT_SELF);
	say("up", "done");
	count();
}
"#,
    )
    .start();
    job.await_said("up");
    let ends = job.await_said("ends");
    let mut ends: Vec<&str> = ends.lines().collect();
    ends.sort_unstable();
    assert_eq!(ends, ["one: saved", "three: not itself", "two: saved"]);
    job.await_progress();
}

/// That is no checkpoint.
#[test]
fn a_job_that_ends_in_its_callback_is_not_saved() {
    let job = Program::new(
        r#"
static int ends(void *unused) { _exit(3); }

int main(void)
{
	cr_init();
	cr_register_callback(ends, NULL, CR_THREAD_CONTEXT);
	count();
}
"#,
    )
    .start();
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), rustix::io::Errno::SRCH.raw_os_error(), "{}", complaint(&output));
    assert!(!job.path("context").exists());
}

/// Whoever is killed, the job goes on.
#[test]
fn a_killed_command_harms_nobody() {
    let job = Program::new(
        r#"
static int waits(void *unused)
{
	say("up", "begins");
	while (access("go", F_OK)) usleep(1000);
	return 0;
}

int main(void)
{
	cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	cr_register_callback(waits, NULL, CR_THREAD_CONTEXT);
	count();
}
"#,
    )
    .start();
    job.await_progress();
    let run = cmd!(job.path("cr_checkpoint"), "-f", "context", job.pid()).dir(job.dir.path()).unchecked();
    let killed = run.start().expect("it starts");
    job.await_said("up");
    killed.kill().expect("it is killed");
    std::fs::write(job.path("go"), "").expect("written");
    wait_for("the callback", || {
        (job.log() == ["first begins", "first Interrupted system call"]).then_some(())
    });
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "-f", "context", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    wait_for("the callback", || (job.log()[2..] == ["first begins", "first continued"]).then_some(()));
    job.await_progress();
}

/// As MPI libraries do: a program saves itself, and finds out that it was restarted.
#[test]
fn a_program_saves_itself() {
    let job = Program::new(
        r#"
int main(void)
{
	cr_init();
	cr_register_callback(callback, "first", CR_SIGNAL_CONTEXT);
	cr_checkpoint_args_t args;
	cr_checkpoint_handle_t handle;
	cr_initialize_checkpoint_args_t(&args);
	int file = open("context", O_WRONLY | O_CREAT, 0600);
	args.cr_scope = CR_SCOPE_PROC;
	args.cr_fd = file;
	if (cr_request_checkpoint(&args, &handle)) { say("end", "%s", cr_strerror(errno)); return 1; }
	while (cr_wait_checkpoint(&handle, NULL) < 0 && errno == EINTR) continue;
	char log[2000] = "";
	cr_log_checkpoint(&handle, sizeof(log), log);
	int done = cr_reap_checkpoint(&handle);
	if (done < 0) say("why", "%s", log);
	close(file);
	say("end", "%s", done > 0 ? "saved" : cr_strerror(errno));
	count();
}
"#,
    )
    .start();
    let end = job.await_said("end");
    let why = std::fs::read_to_string(job.path("why")).unwrap_or_default();
    assert_eq!(end, "saved\n", "{why}");
    wait_for("the callback", || (job.log() == ["first begins", "first continued"]).then_some(()));
    job.await_progress();
    job.kill();
    job.await_end();
    std::fs::remove_file(job.path("end")).expect("it was there");
    let restarted = Restarted::of(&job, "context");
    assert_eq!(job.await_said("end"), "The request ended by a restart\n");
    wait_for("the callback", || {
        (job.log().last().map(String::as_str) == Some("first restarted")).then_some(())
    });
    job.await_progress();
    drop(restarted);
}

/// Without the library nobody is asked.
#[test]
fn a_program_without_the_library_is_saved_all_the_same() {
    let program = Program::new("int main(void) { return 0; }");
    let run = cmd!(
        CAIRN,
        "run",
        "--detach",
        "-o",
        "/dev/null",
        "--",
        "sh",
        "-c",
        "i=0; while :; do i=$((i+1)); echo $i > count; done"
    );
    let run = program.prepare(run).stdin_null();
    let pid = run.read().expect("the job starts").trim().parse().expect("its number");
    let job = Job { dir: program.dir, pid };
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "--backup", "--kill", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_end();
    let file = format!("context.{pid}");
    assert!(job.path(&file).exists() && job.path(&format!("{file}.~1~")).exists());
    let output = job.blcr(&["cr_checkpoint", &job.pid()]);
    assert_eq!(exit_code(&output), rustix::io::Errno::SRCH.raw_os_error(), "{}", complaint(&output));
    let restarted = Restarted::of(&job, &file);
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "--term", "-f", "another", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_end();
    drop(restarted);
}

/// Hooks are called in every thread, and threads without callbacks wait for the others.
#[test]
fn hooks_are_called() {
    let job = Program::new(
        r#"
static void hook(cr_hook_event_t event) { say("log", "event %d", event); }

static void *plain(void *unused)
{
	say("up", "plain");
	for (;;) pause();
	return NULL;
}

int main(void)
{
	pthread_t thread;
	cr_init();
	for (int event = 0; event < CR_NUM_HOOKS; event++)
		if (cr_register_hook(event, hook)) abort();
	if (cr_register_hook(CR_NUM_HOOKS, hook) != CR_HOOK_FN_ERROR || errno != EINVAL) abort();
	cr_register_callback(callback, "thread", CR_THREAD_CONTEXT);
	pthread_create(&thread, NULL, plain, NULL);
	count();
}
"#,
    )
    .start();
    job.await_said("up");
    job.await_progress();
    let output = job.blcr(&["cr_checkpoint", "-f", "context", "--kill", &job.pid()]);
    assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
    job.await_end();
    let restarted = Restarted::of(&job, "context");
    job.await_progress();
    let begin = Instant::now();
    while job.log().len() < 5 && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut log = job.log();
    log.sort_unstable();
    assert_eq!(log, ["event 3", "event 4", "event 5", "thread begins", "thread restarted"]);
    drop(restarted);
}

/// Wrong arguments, each with the error of the interface.
#[test]
fn what_is_wrong_is_refused() {
    let program = Program::new(
        r#"
static int inside(void *unused)
{
	if (cr_register_callback(callback, NULL, CR_SIGNAL_CONTEXT) != -1 || errno != EBUSY) say("wrong", "register");
	if (cr_replace_self(callback, NULL, CR_THREAD_CONTEXT) != -1 || errno != EINVAL) say("wrong", "self");
	if (cr_replace_self(callback, "replaced", CR_SIGNAL_CONTEXT)) say("wrong", "replace");
	if (cr_enter_cs(CR_ID_CALLBACK) || cr_leave_cs(CR_ID_CALLBACK)) say("wrong", "section");
	if (cr_status() != CR_STATE_ACTIVE) say("wrong", "status");
	return 0;
}

#define IS(call, code) if ((call) != -1 || errno != (code)) say("wrong", "%s: %s", #call, cr_strerror(errno))

static void *uninitialised(void *unused)
{
	IS(cr_enter_cs(0), CR_ENOINIT);
	IS(cr_status(), CR_ENOINIT);
	IS(cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_READ), CR_ENOINIT);
	IS(cr_inc_persist(), CR_ENOINIT);
	IS(cr_register_callback(inside, NULL, CR_SIGNAL_CONTEXT), CR_ENOINIT);
	return NULL;
}

int main(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, uninitialised, NULL);
	pthread_join(thread, NULL);
	if (cr_init() != 0 || cr_init() != 1) say("wrong", "init");
	IS(cr_register_callback(inside, NULL, 0), EINVAL);
	cr_callback_id_t id = cr_register_callback(inside, NULL, CR_SIGNAL_CONTEXT);
	IS(cr_replace_callback(id, inside, NULL, CR_THREAD_CONTEXT), EINVAL);
	IS(cr_replace_callback(id + 1, inside, NULL, CR_SIGNAL_CONTEXT), EINVAL);
	IS(cr_dec_persist(), ERANGE);
	if (cr_inc_persist() != 0 || cr_dec_persist() != 1) say("wrong", "persist");
	IS(cr_hold_ctrl(17, CR_HOLD_READ), EINVAL);
	IS(cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_DFLT), EINVAL);
	if (cr_hold_ctrl(CR_HOLD_SCOPE_INIT, CR_HOLD_NONE) != CR_HOLD_BOTH) say("wrong", "hold");
	IS(cr_forward_checkpoint(CR_SCOPE_TREE, getpid()), CR_ENOTCB);
	cr_checkpoint_args_t args;
	cr_checkpoint_handle_t handle = 0;
	IS(cri_init_checkpoint_args_t(2, &args), CR_EVERSION);
	cr_initialize_checkpoint_args_t(&args);
	IS(cr_request_checkpoint(&args, &handle), EBADF);
	args.cr_fd = open("/dev/null", O_WRONLY);
	args.cr_scope = 4;
	IS(cr_request_checkpoint(&args, &handle), EINVAL);
	args.cr_scope = CR_SCOPE_PROC;
	args.cr_target = 4194304;
	IS(cr_request_checkpoint(&args, &handle), ESRCH);
	args.cr_version = 7;
	IS(cr_request_checkpoint(&args, &handle), EINVAL);
	IS(cr_wait_checkpoint(&handle, NULL), EINVAL);
	IS(cr_reap_checkpoint(&handle), EINVAL);
	args.cr_version = CR_CHECKPOINT_ARGS_VERSION;
	args.cr_flags = CR_CHKPT_ASYNC_ERR;
	if (cr_request_checkpoint(&args, &handle)) say("wrong", "deferred");
	IS(cr_reap_checkpoint(&handle), ESRCH);
	cr_spinlock_t lock = CR_SPINLOCK_INITIALIZER;
	if (!cr_spinlock_trylock(&lock) || cr_spinlock_trylock(&lock)) say("wrong", "lock");
	cr_spinlock_unlock(&lock);
	cr_spinlock_lock(&lock);
	count();
}
"#,
    );
    let job = program.start();
    job.await_progress();
    assert_eq!(std::fs::read_to_string(job.path("wrong")).unwrap_or_default(), "");
    for _ in 0..2 {
        let output = job.blcr(&["cr_checkpoint", "-f", "context", &job.pid()]);
        assert_eq!(exit_code(&output), 0, "{}", complaint(&output));
        job.await_progress();
    }
    assert_eq!(std::fs::read_to_string(job.path("wrong")).unwrap_or_default(), "");
    assert_eq!(job.log(), ["replaced begins", "replaced continued"]);
}
