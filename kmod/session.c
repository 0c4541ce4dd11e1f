// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions, and holding.
 *
 * Threads wait in a task work, which the kernel runs before it lets them back
 * to their program: all their registers are saved then. Whatever becomes of the
 * one who holds, the last close of the file lets everybody go.
 */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>

#include "cairn.h"
#include "compat.h"
#include "lookup.h"
#include "session.h"

/*
 * Nobody is told when a thread enters a stop instead of its work: it is looked
 * at again after so long.
 */
#define LOOK_AGAIN	(msecs_to_jiffies(2) ?: 1)
/* The longest that a caller may wait. */
#define PATIENCE_MS	60000

static void session_free(struct kref *ref)
{
	struct cairn_session *session =
		container_of(ref, struct cairn_session, ref);

	xa_destroy(&session->threads);
	kfree(session);
}

static void held_free(struct kref *ref)
{
	struct cairn_held *held = container_of(ref, struct cairn_held, ref);

	put_task_struct(held->task);
	kref_put(&held->session->ref, session_free);
	kfree(held);
}

int cairn_open(struct inode *inode, struct file *file)
{
	struct cairn_session *session;

	session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);
	if (!session)
		return -ENOMEM;
	kref_init(&session->ref);
	mutex_init(&session->lock);
	xa_init(&session->threads);
	init_waitqueue_head(&session->changed);
	file->private_data = session;
	return 0;
}

/*
 * How far a thread is. Who sees that it waits, or is gone, sees everything
 * that it did until then.
 */
static int progress_of(const struct cairn_held *held)
{
	/* Pairs with get_to(). */
	return smp_load_acquire(&held->progress);
}

static void get_to(struct cairn_held *held, int progress)
{
	/* Pairs with progress_of(). */
	smp_store_release(&held->progress, progress);
	wake_up_all(&held->session->changed);
}

/* Whether it is known when the call ends that the thread was interrupted in. */
static bool has_end(const struct cairn_held *held)
{
	/* What has slept again since then is in another sleep. */
	return held->interrupted && held->end.known &&
	       held->end.sleep == held->slept;
}

/*
 * The work: runs in the thread itself, without locks, on its way back to its
 * program.
 */
static void held_run(struct callback_head *work)
{
	struct cairn_held *held = container_of(work, struct cairn_held, work);
	bool others_can_wait = cairn_can_wait(work->next);
	struct cairn_end end = {};

	if (!(current->flags & PF_EXITING)) {
		held->slept = current->nvcsw;
		held->interrupted = cairn_interrupted();
		get_to(held, CAIRN_WAITING);
		/* Signals wait until it goes on, except one that kills. */
		wait_event_killable(held->go, READ_ONCE(held->released));
		/* Who asks for the thread has looked for it before. */
		if (READ_ONCE(held->released) && has_end(held))
			end = held->end;
	}
	get_to(held, CAIRN_GONE);
	kref_put(&held->ref, held_free);
	if (end.known)
		cairn_go_on(&end, others_can_wait);
	/* cairn_exit() waits until nobody is behind this line any more. */
	module_put(THIS_MODULE);
}

/*
 * One that is stopped has the work queued until it goes on; it does nothing
 * then, but keeps the module loaded until it has.
 */
static void let_go(struct cairn_held *held)
{
	WRITE_ONCE(held->released, true);
	wake_up(&held->go);
	kref_put(&held->ref, held_free);
}

/*
 * Lets the threads of a process go, or all if there is no leader. With the lock
 * held. Returns how many.
 */
static unsigned int let_all_go(struct cairn_session *session,
			       struct task_struct *leader)
{
	struct cairn_held *held;
	unsigned int count = 0;
	unsigned long tid;

	xa_for_each(&session->threads, tid, held) {
		if (leader && !same_thread_group(held->task, leader))
			continue;
		xa_erase(&session->threads, tid);
		let_go(held);
		count++;
	}
	return count;
}

int cairn_close(struct inode *inode, struct file *file)
{
	struct cairn_session *session = file->private_data;

	mutex_lock(&session->lock);
	let_all_go(session, NULL);
	mutex_unlock(&session->lock);
	kref_put(&session->ref, session_free);
	return 0;
}

struct task_struct *cairn_get_task(pid_t nr)
{
	struct task_struct *task;
	struct pid *pid;

	if (nr <= 0)
		return ERR_PTR(-ESRCH);
	pid = find_get_pid(nr);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	return task ?: ERR_PTR(-ESRCH);
}

/* Whether the thread executes nothing of its program before it is let go. */
static bool is_quiet(const struct cairn_held *held)
{
	return progress_of(held) != CAIRN_ASKED ||
	       task_is_stopped_or_traced(held->task);
}

struct task_struct *cairn_begin(struct file *file, pid_t tid, bool process)
{
	struct cairn_session *session = file->private_data;
	struct task_struct *task = cairn_get_task(tid);
	struct cairn_held *held;
	int err = -ESRCH;

	if (IS_ERR(task))
		return task;
	mutex_lock(&session->lock);
	held = xa_load(&session->threads, task->pid);
	if (!held || held->task != task || (process && !thread_group_leader(task)))
		goto unlock;
	/*
	 * It says that it waits a moment before it sleeps; and one that was
	 * stopped and is made to go on is on its way into the work.
	 */
	while (!is_quiet(held) || cairn_on_cpu(task)) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			goto unlock;
		}
		usleep_range(10, 50);
	}
	if (progress_of(held) == CAIRN_GONE || !try_get_task_stack(task))
		goto unlock;
	session->looked_at = task;
	/* The session has a reference to the task. */
	put_task_struct(task);
	return task;
unlock:
	mutex_unlock(&session->lock);
	put_task_struct(task);
	return ERR_PTR(err);
}

const struct cairn_end *cairn_end_of(struct file *file, struct task_struct *task)
{
	struct cairn_session *session = file->private_data;
	struct cairn_held *held = xa_load(&session->threads, task->pid);

	return held && progress_of(held) == CAIRN_WAITING && has_end(held) ?
		&held->end : NULL;
}

void cairn_finish(struct file *file)
{
	struct cairn_session *session = file->private_data;

	cairn_put_task_stack(session->looked_at);
	mutex_unlock(&session->lock);
}

int cairn_with_signals(struct task_struct *task,
		       int (*read)(struct task_struct *task, void *arg),
		       void *arg)
{
	struct sighand_struct *sighand;
	bool same = false;
	int ret = -ESRCH;

	rcu_read_lock();
	while (!same) {
		sighand = rcu_dereference(task->sighand);
		if (!sighand)
			break;
		spin_lock_irq(&sighand->siglock);
		/* The memory of one stays one, but may have become another's. */
		same = sighand == rcu_access_pointer(task->sighand);
		if (same)
			ret = read(task, arg);
		spin_unlock_irq(&sighand->siglock);
	}
	rcu_read_unlock();
	return ret;
}

int cairn_look(struct file *file, pid_t tid, bool process,
	       int (*read)(struct task_struct *task, void *arg), void *arg)
{
	struct task_struct *task = cairn_begin(file, tid, process);
	int ret;

	if (IS_ERR(task))
		return PTR_ERR(task);
	ret = cairn_with_signals(task, read, arg);
	cairn_finish(file);
	return ret;
}

static bool all_quiet(struct cairn_session *session, struct task_struct *leader)
{
	struct task_struct *thread;
	struct cairn_held *held;
	bool quiet = true;

	rcu_read_lock();
	for_each_thread(leader, thread) {
		held = xa_load(&session->threads, thread->pid);
		if (held && held->task == thread && !is_quiet(held)) {
			quiet = false;
			break;
		}
	}
	rcu_read_unlock();
	return quiet;
}

/* Queues the work, which has the module and @held stay until it has run. */
static bool queue(struct cairn_held *held, enum task_work_notify_mode how)
{
	__module_get(THIS_MODULE);
	kref_get(&held->ref);
	if (!task_work_add(held->task, &held->work, how))
		return true;
	module_put(THIS_MODULE);
	kref_put(&held->ref, held_free);
	return false;
}

/* Has a thread run its work as soon as it can. Returns whether it will. */
static bool interrupt(struct cairn_held *held)
{
	struct cairn_nudge *nudge = NULL;

	/* One that ends has no stack any more, sooner or later. */
	if (!try_get_task_stack(held->task))
		return false;
	if (cairn_may_have_end(held->task))
		nudge = cairn_nudge_alloc();
	cairn_put_task_stack(held->task);
	if (!nudge)
		return queue(held, TWA_SIGNAL);
	/*
	 * The work does not wake it, but from now on it cannot go back to its
	 * program without it: what is seen is of the call that it leaves.
	 */
	if (!queue(held, TWA_RESUME)) {
		cairn_nudge_free(nudge);
		return false;
	}
	cairn_find_end(held->task, &held->end);
	if (!cairn_nudge(held->task, nudge))
		cairn_nudge_free(nudge);
	return true;
}

/* Asks one thread to stop. Takes over the reference to it. */
static int ask(struct cairn_session *session, struct task_struct *task)
{
	struct cairn_held *held = kzalloc(sizeof(*held), GFP_KERNEL_ACCOUNT);
	struct cairn_held *old;
	int err;

	if (!held) {
		put_task_struct(task);
		return -ENOMEM;
	}
	kref_init(&held->ref);
	kref_get(&session->ref);
	held->session = session;
	held->task = task;
	init_waitqueue_head(&held->go);
	init_task_work(&held->work, held_run);

	old = xa_store(&session->threads, task->pid, held, GFP_KERNEL);
	err = xa_err(old);
	if (err)
		goto put;
	/* One that has ended, and whose TID is in use again. */
	if (old)
		let_go(old);
	if (interrupt(held))
		return 0;
	/* It ends. That is no failure: there is nobody to hold. */
	xa_erase(&session->threads, task->pid);
put:
	kref_put(&held->ref, held_free);
	return err;
}

/* Why a thread cannot be held; 0 when it can. */
static int objection(const struct task_struct *thread, u32 flags)
{
	if (thread->flags & (PF_KTHREAD | CAIRN_PF_WORKER))
		return -EOPNOTSUPP;
	if (thread->ptrace && !(flags & CAIRN_HOLD_TRACED))
		return -EBUSY;
	return 0;
}

/*
 * Asks every thread that has not been asked. Returns how many, or an error.
 * Threads that end are passed over: what is left of them is not theirs.
 */
static int ask_new(struct cairn_session *session, struct task_struct *leader,
		   u32 flags)
{
	struct task_struct *thread, **fresh;
	int room, count = 0, err = 0, i;

	/* Those for whom there is no room are found by the next look. */
	room = get_nr_threads(leader) + 16;
	fresh = kvmalloc_array(room, sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return -ENOMEM;
	rcu_read_lock();
	for_each_thread(leader, thread) {
		struct cairn_held *held;

		held = xa_load(&session->threads, thread->pid);
		if ((held && held->task == thread) || thread->flags & PF_EXITING)
			continue;
		err = objection(thread, flags);
		if (err || count == room)
			break;
		get_task_struct(thread);
		fresh[count++] = thread;
	}
	rcu_read_unlock();
	for (i = 0; i < count; i++) {
		if (!err)
			err = ask(session, fresh[i]);
		else
			put_task_struct(fresh[i]);
	}
	kvfree(fresh);
	return err ?: count;
}

static int hold_threads(struct cairn_session *session,
			struct task_struct *leader, const struct cairn_hold *hold)
{
	u32 patience = min_t(u32, hold->timeout_ms, PATIENCE_MS);
	unsigned long deadline = jiffies + msecs_to_jiffies(patience) + 1;
	int asked;

	do {
		asked = ask_new(session, leader, hold->flags);
		if (asked < 0)
			return asked;
		while (!all_quiet(session, leader)) {
			wait_event_killable_timeout(session->changed,
						    all_quiet(session, leader),
						    LOOK_AGAIN);
			if (fatal_signal_pending(current))
				return -EINTR;
			if (time_after(jiffies, deadline) &&
			    !all_quiet(session, leader))
				return -ETIMEDOUT;
		}
	} while (asked);
	return 0;
}

/*
 * Every thread has credentials of its own, and until it was held it could get
 * others, by exec of a set-uid program too. What is held keeps those it has.
 */
static bool may_access_all(struct cairn_session *session,
			   struct task_struct *leader)
{
	struct cairn_held *held;
	unsigned long tid;

	xa_for_each(&session->threads, tid, held)
		if (same_thread_group(held->task, leader) &&
		    progress_of(held) != CAIRN_GONE &&
		    !cairn_ptrace_may_access(held->task,
					     PTRACE_MODE_ATTACH_REALCREDS))
			return false;
	return true;
}

static int hold_process(struct cairn_session *session,
			struct task_struct *leader, struct cairn_hold *hold)
{
	struct cairn_held *held;
	unsigned long tid;
	int err;

	xa_for_each(&session->threads, tid, held)
		if (same_thread_group(held->task, leader))
			return -EALREADY;
	err = hold_threads(session, leader, hold);
	if (!err && !may_access_all(session, leader))
		err = cairn_refused("to hold", task_pid_nr(leader));
	if (err) {
		let_all_go(session, leader);
		return err;
	}
	hold->threads = 0;
	xa_for_each(&session->threads, tid, held)
		if (same_thread_group(held->task, leader) &&
		    progress_of(held) != CAIRN_GONE)
			hold->threads++;
	return 0;
}

int cairn_hold(struct file *file, union cairn_argument *arg)
{
	struct cairn_session *session = file->private_data;
	struct cairn_hold *hold = &arg->hold;
	struct task_struct *leader;
	int err;

	if (hold->flags & ~CAIRN_HOLD_TRACED || hold->reserved)
		return -EINVAL;
	leader = cairn_get_task(hold->pid);
	if (IS_ERR(leader))
		return PTR_ERR(leader);
	if (!thread_group_leader(leader))
		err = -EINVAL;
	else if (leader->flags & PF_KTHREAD)
		err = -EOPNOTSUPP;
	else if (same_thread_group(leader, current))
		err = -EDEADLK;
	else if (!cairn_ptrace_may_access(leader, PTRACE_MODE_ATTACH_REALCREDS))
		err = cairn_refused("to hold", task_pid_nr(leader));
	else
		err = mutex_lock_killable(&session->lock);
	if (!err) {
		err = hold_process(session, leader, hold);
		mutex_unlock(&session->lock);
	}
	put_task_struct(leader);
	return err;
}

int cairn_release(struct file *file, union cairn_argument *arg)
{
	struct cairn_session *session = file->private_data;
	struct task_struct *leader = NULL;
	unsigned int count;

	if (arg->release.pid) {
		leader = cairn_get_task(arg->release.pid);
		if (IS_ERR(leader))
			return PTR_ERR(leader);
	}
	mutex_lock(&session->lock);
	count = let_all_go(session, leader);
	mutex_unlock(&session->lock);
	if (!leader)
		return 0;
	put_task_struct(leader);
	return count ? 0 : -ESRCH;
}
