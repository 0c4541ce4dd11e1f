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
#include <linux/list.h>
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
	xa_destroy(&session->groups);
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
	xa_init(&session->groups);
	init_waitqueue_head(&session->changed);
	spin_lock_init(&session->frames_lock);
	INIT_LIST_HEAD(&session->frames);
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
		cairn_wait_killable(held->go, READ_ONCE(held->released));
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
 * then, but keeps the module loaded until it has. With the lock held.
 */
static void let_go(struct cairn_session *session, struct cairn_held *held)
{
	/* Another may have its number by now. */
	if (xa_load(&session->threads, held->tid) == held)
		xa_erase(&session->threads, held->tid);
	list_del(&held->list);
	WRITE_ONCE(held->released, true);
	wake_up(&held->go);
	kref_put(&held->ref, held_free);
}

/* With the lock held. */
static void let_group_go(struct cairn_session *session, struct cairn_group *group)
{
	struct cairn_held *held, *next;

	list_for_each_entry_safe(held, next, &group->threads, list)
		let_go(session, held);
	xa_erase(&session->groups, group->pid);
	kfree(group);
}

/* The process of a thread, if it is held; NULL else. With the lock held. */
static struct cairn_group *group_of(struct cairn_session *session,
				    const struct task_struct *task)
{
	struct cairn_group *group = xa_load(&session->groups, task->tgid);

	if (!group || list_empty(&group->threads) || group->signal != task->signal)
		return NULL;
	return group;
}

/* With the lock held. */
static struct cairn_group *group_alloc(struct cairn_session *session,
				       const struct task_struct *leader)
{
	struct cairn_group *old = xa_load(&session->groups, leader->tgid);
	struct cairn_group *group;
	int err;

	/* One that has ended, and whose PID is in use again. */
	if (old)
		let_group_go(session, old);
	group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);
	if (!group)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&group->threads);
	group->pid = leader->tgid;
	group->signal = leader->signal;
	err = xa_err(xa_store(&session->groups, group->pid, group, GFP_KERNEL_ACCOUNT));
	if (err) {
		kfree(group);
		return ERR_PTR(err);
	}
	return group;
}

/* With the lock held. */
static void let_all_go(struct cairn_session *session)
{
	struct cairn_group *group;
	unsigned long pid;

	xa_for_each(&session->groups, pid, group)
		let_group_go(session, group);
}

int cairn_close(struct inode *inode, struct file *file)
{
	struct cairn_session *session = file->private_data;

	mutex_lock(&session->lock);
	let_all_go(session);
	mutex_unlock(&session->lock);
	cairn_free_frames(session);
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

/* How often the thread has left a processor. */
static unsigned long switches_of(const struct task_struct *task)
{
	return READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
}

/*
 * Notes how the thread is quiet. False when it is not, or is only about to be: it
 * says that it is stopped a moment before it leaves its processor.
 */
static bool note_quiet(struct cairn_held *held)
{
	if (progress_of(held) != CAIRN_ASKED)
		return true;
	if (cairn_on_cpu(held->task))
		return false;
	held->switches = switches_of(held->task);
	/* Whoever goes on from the stop that is seen now has switched more often. */
	smp_rmb();
	held->stopped = task_is_stopped_or_traced(held->task);
	return held->stopped;
}

/* Whether the thread was stopped and has gone on since, be it to the next stop. */
static bool has_gone_on(const struct cairn_held *held)
{
	return held->stopped &&
	       (progress_of(held) != CAIRN_ASKED ||
		!task_is_stopped_or_traced(held->task) ||
		switches_of(held->task) != held->switches);
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
	if (progress_of(held) == CAIRN_GONE)
		goto unlock;
	if (has_gone_on(held)) {
		err = -ESTALE;
		goto unlock;
	}
	if (!try_get_task_stack(task))
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

/* With the lock held. Threads that have ended are of no interest. */
static bool any_has_gone_on(const struct cairn_group *group)
{
	const struct cairn_held *held;

	if (!group->stopped)
		return false;
	list_for_each_entry(held, &group->threads, list)
		if (has_gone_on(held) && progress_of(held) != CAIRN_GONE)
			return true;
	return false;
}

int cairn_still(struct file *file, pid_t pid)
{
	struct cairn_session *session = file->private_data;
	struct task_struct *leader = cairn_get_task(pid);
	struct cairn_group *group;
	int err = -ESRCH;

	if (IS_ERR(leader))
		return PTR_ERR(leader);
	mutex_lock(&session->lock);
	group = group_of(session, leader);
	if (group)
		err = any_has_gone_on(group) ? -ESTALE : 0;
	mutex_unlock(&session->lock);
	put_task_struct(leader);
	return err;
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

/*
 * A thread that was asked by another number: one that replaces the program takes
 * the place and the number of the first (fs/exec.c, de_thread()). With the lock
 * held.
 */
static struct cairn_held *asked_before(const struct cairn_group *group,
				       struct task_struct *task)
{
	struct cairn_held *held;

	if (!thread_group_leader(task))
		return NULL;
	list_for_each_entry(held, &group->threads, list)
		if (held->task == task)
			return held;
	return NULL;
}

/*
 * Lists it by the number that it has, in the place of one that has ended and had
 * the number before. With the lock held.
 */
static int file_thread(struct cairn_session *session, struct cairn_held *held)
{
	struct cairn_held *old;

	held->tid = held->task->pid;
	old = xa_store(&session->threads, held->tid, held, GFP_KERNEL_ACCOUNT);
	if (xa_is_err(old))
		return xa_err(old);
	if (old)
		let_go(session, old);
	return 0;
}

/* With the lock held. */
static int file_again(struct cairn_session *session, struct cairn_held *held)
{
	if (xa_load(&session->threads, held->tid) == held)
		xa_erase(&session->threads, held->tid);
	return file_thread(session, held);
}

/* Asks one thread to stop. Takes over the reference to it. */
static int ask(struct cairn_session *session, struct cairn_group *group,
	       struct task_struct *task)
{
	struct cairn_held *held = asked_before(group, task);
	int err;

	if (held) {
		put_task_struct(task);
		return file_again(session, held);
	}
	held = kzalloc(sizeof(*held), GFP_KERNEL_ACCOUNT);
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
	err = file_thread(session, held);
	if (err) {
		kref_put(&held->ref, held_free);
		return err;
	}
	list_add_tail(&held->list, &group->threads);
	/* One that ends is no failure: there is nobody to hold. */
	if (!interrupt(held))
		let_go(session, held);
	return 0;
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
static int ask_new(struct cairn_session *session, struct cairn_group *group,
		   struct task_struct *leader, u32 flags)
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
			err = ask(session, group, fresh[i]);
		else
			put_task_struct(fresh[i]);
	}
	kvfree(fresh);
	return err ?: count;
}

/* With the lock held. */
static bool note_all_quiet(struct cairn_group *group)
{
	struct cairn_held *held;

	group->stopped = 0;
	list_for_each_entry(held, &group->threads, list) {
		if (!note_quiet(held))
			return false;
		group->stopped += held->stopped;
	}
	return true;
}

static int hold_threads(struct cairn_session *session, struct cairn_group *group,
			struct task_struct *leader, const struct cairn_hold *hold)
{
	u32 patience = min_t(u32, hold->timeout_ms, PATIENCE_MS);
	unsigned long deadline = jiffies + msecs_to_jiffies(patience) + 1;
	int asked;

	for (;;) {
		asked = ask_new(session, group, leader, hold->flags);
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
		if (asked)
			continue;
		if (note_all_quiet(group))
			return 0;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		usleep_range(10, 50);
	}
}

/*
 * Every thread has credentials of its own, and until it was held it could get
 * others, by exec of a set-uid program too. What is held keeps those it has.
 */
static bool may_access_all(const struct cairn_group *group)
{
	const struct cairn_held *held;

	list_for_each_entry(held, &group->threads, list)
		if (progress_of(held) != CAIRN_GONE &&
		    !cairn_ptrace_may_access(held->task,
					     PTRACE_MODE_ATTACH_REALCREDS))
			return false;
	return true;
}

static int hold_process(struct cairn_session *session,
			struct task_struct *leader, struct cairn_hold *hold)
{
	struct cairn_group *group = group_of(session, leader);
	const struct cairn_held *held;
	int err;

	if (group)
		return -EALREADY;
	group = group_alloc(session, leader);
	if (IS_ERR(group))
		return PTR_ERR(group);
	err = hold_threads(session, group, leader, hold);
	if (!err && !may_access_all(group))
		err = cairn_refused("to hold", task_pid_nr(leader));
	if (err) {
		let_group_go(session, group);
		return err;
	}
	hold->threads = 0;
	list_for_each_entry(held, &group->threads, list)
		if (progress_of(held) != CAIRN_GONE)
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

static int release_process(struct cairn_session *session, pid_t pid)
{
	struct task_struct *task = cairn_get_task(pid);
	struct cairn_group *group;

	if (IS_ERR(task))
		return PTR_ERR(task);
	group = group_of(session, task);
	if (group)
		let_group_go(session, group);
	put_task_struct(task);
	return group ? 0 : -ESRCH;
}

int cairn_release(struct file *file, union cairn_argument *arg)
{
	struct cairn_session *session = file->private_data;
	int err = 0;

	mutex_lock(&session->lock);
	if (arg->release.pid)
		err = release_process(session, arg->release.pid);
	else
		let_all_go(session);
	mutex_unlock(&session->lock);
	return err;
}
