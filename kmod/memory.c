// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of a process that is held, on its way into a file.
 *
 * Pages are copied once, and what is summed and written is the copy: a page may
 * be written to while it is looked at, by those with whom it is shared, by
 * devices, by whoever may write to the process's memory.
 */
#include <linux/bvec.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/xxhash.h>

#include "cairn.h"
#include "compat.h"
#include "session.h"

#define SAVE_PAGES	(CAIRN_SAVE_MAX / PAGE_SIZE)

/* As many requests at a time find room for copies that was there before. */
#define SPARE_FRAMES	8

/**
 * struct frame - what one request saves
 * @list: of those that the session has to spare
 * @room: pages for copies, which stay with the frame
 * @roomy: how many these are
 * @ranges: as the caller has them
 * @pages: the pages of a range, as they are taken
 * @vecs: copies of the pages that are saved
 * @count: how many these are
 * @all: how many pages there are in all ranges
 * @saved: bit n for page n of all ranges: whether it is among them
 * @sum: of what is saved
 */
struct frame {
	struct list_head list;
	struct page *room[SAVE_PAGES];
	unsigned int roomy;
	struct cairn_range ranges[CAIRN_SAVE_RANGES];
	struct page *pages[SAVE_PAGES];
	struct bio_vec vecs[SAVE_PAGES];
	unsigned int count;
	unsigned int all;
	u64 saved[DIV_ROUND_UP(CAIRN_SAVE_MAX / PAGE_SIZE, 64)];
	struct xxh64_state sum;
};

static void frame_free(struct frame *frame)
{
	while (frame->roomy > 0)
		__free_page(frame->room[--frame->roomy]);
	kvfree(frame);
}

/*
 * One without anything in it. To get pages anew for each request, which the
 * kernel clears, would cost more than to copy.
 */
static struct frame *get_frame(struct cairn_session *session)
{
	struct frame *frame;

	spin_lock(&session->frames_lock);
	frame = list_first_entry_or_null(&session->frames, struct frame, list);
	if (frame) {
		list_del(&frame->list);
		session->spare--;
	}
	spin_unlock(&session->frames_lock);
	if (!frame)
		return kvzalloc(sizeof(*frame), GFP_KERNEL_ACCOUNT);
	frame->count = 0;
	frame->all = 0;
	memset(frame->saved, 0, sizeof(frame->saved));
	return frame;
}

static void put_frame(struct cairn_session *session, struct frame *frame)
{
	bool keep;

	spin_lock(&session->frames_lock);
	keep = session->spare < SPARE_FRAMES;
	if (keep) {
		list_add(&frame->list, &session->frames);
		session->spare++;
	}
	spin_unlock(&session->frames_lock);
	if (!keep)
		frame_free(frame);
}

void cairn_free_frames(struct cairn_session *session)
{
	struct frame *frame, *next;

	list_for_each_entry_safe(frame, next, &session->frames, list)
		frame_free(frame);
}

static int check_ranges(const struct cairn_range *ranges, u32 count)
{
	u64 all = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		const struct cairn_range *range = &ranges[i];

		if (!range->len || !PAGE_ALIGNED(range->len | range->from) ||
		    range->flags & ~CAIRN_RANGE_ZEROS)
			return -EINVAL;
		all += range->len;
	}
	return all <= CAIRN_SAVE_MAX ? 0 : -EINVAL;
}

static void put_pages(struct page **pages, long count)
{
	while (count > 0)
		put_page(pages[--count]);
}

/* Takes the pages of a range, all or none. */
static int take_pages(struct mm_struct *mm, const struct cairn_range *range,
		      struct page **pages)
{
	long count = range->len / PAGE_SIZE, taken = 0;

	while (taken < count) {
		long more = cairn_get_pages(mm, range->from + taken * PAGE_SIZE,
					    count - taken, pages + taken);

		if (more <= 0) {
			put_pages(pages, taken);
			return more ?: -EFAULT;
		}
		taken += more;
	}
	return 0;
}

/* Copies a page, to be written. */
static int copy_page_of(struct frame *frame, const void *data)
{
	struct page *copy;

	if (frame->count == frame->roomy) {
		copy = alloc_page(GFP_KERNEL_ACCOUNT);
		if (!copy)
			return -ENOMEM;
		frame->room[frame->roomy++] = copy;
	}
	copy = frame->room[frame->count];
	memcpy(page_address(copy), data, PAGE_SIZE);
	xxh64_update(&frame->sum, page_address(copy), PAGE_SIZE);
	frame->vecs[frame->count++] = (struct bio_vec) {
		.bv_page = copy,
		.bv_len = PAGE_SIZE,
	};
	return 0;
}

/* Copies the pages of a range that are saved. */
static int copy_pages(struct frame *frame, const struct cairn_range *range)
{
	unsigned int i;
	int err;

	for (i = 0; i < range->len / PAGE_SIZE; i++, frame->all++) {
		/* Every page has an address on 64-bit machines. */
		const void *data = page_address(frame->pages[i]);

		if (!(range->flags & CAIRN_RANGE_ZEROS) &&
		    !memchr_inv(data, 0, PAGE_SIZE))
			continue;
		err = copy_page_of(frame, data);
		if (err)
			return err;
		frame->saved[frame->all / 64] |= 1ULL << (frame->all % 64);
	}
	return 0;
}

static int take_frame(struct mm_struct *mm, struct frame *frame, u32 count)
{
	u32 i;

	xxh64_reset(&frame->sum, 0);
	for (i = 0; i < count; i++) {
		const struct cairn_range *range = &frame->ranges[i];
		int err = take_pages(mm, range, frame->pages);

		if (err)
			return err;
		err = copy_pages(frame, range);
		put_pages(frame->pages, range->len / PAGE_SIZE);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/*
 * Where the file is positioned, which moves behind @len bytes from there: many
 * can append at a time, and each has a place of its own.
 */
static loff_t reserve(struct file *file, size_t len)
{
	loff_t at, end;

	mutex_lock(&file->f_pos_lock);
	at = file->f_pos;
	if (check_add_overflow(at, (loff_t)len, &end))
		at = -EOVERFLOW;
	else
		file->f_pos = end;
	mutex_unlock(&file->f_pos_lock);
	return at;
}

static int write_frame(struct file *file, struct frame *frame,
		       struct cairn_save *save)
{
	size_t len = frame->count * PAGE_SIZE;
	struct iov_iter iter;
	loff_t at;

	save->len = len;
	save->sum = xxh64_digest(&frame->sum);
	at = reserve(file, len);
	if (at < 0)
		return at;
	save->offset = at;
	iov_iter_bvec(&iter, WRITE, frame->vecs, frame->count, len);
	while (iov_iter_count(&iter)) {
		ssize_t done = cairn_iter_write(file, &iter, &at);

		if (done < 0)
			return done;
		if (!done)
			return -EIO;
	}
	return 0;
}

/*
 * The memory of a process that the session holds. It stays what it is even if
 * the process is let go, killed, or becomes another program meanwhile.
 */
static struct mm_struct *get_memory(struct file *device, pid_t pid)
{
	struct task_struct *leader = cairn_begin(device, pid, true);
	struct mm_struct *mm;

	if (IS_ERR(leader))
		return ERR_CAST(leader);
	mm = get_task_mm(leader);
	cairn_finish(device);
	return mm ?: ERR_PTR(-ESRCH);
}

static int save_frame(struct file *device, struct file *file, struct frame *frame,
		      struct cairn_save *save)
{
	struct mm_struct *mm;
	int err;

	if (copy_from_user(frame->ranges, u64_to_user_ptr(save->ranges),
			   save->count * sizeof(*frame->ranges)))
		return -EFAULT;
	err = check_ranges(frame->ranges, save->count);
	if (err)
		return err;
	mm = get_memory(device, save->pid);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	err = take_frame(mm, frame, save->count);
	mmput(mm);
	if (!err)
		err = cairn_still(device, save->pid);
	if (!err)
		err = write_frame(file, frame, save);
	if (!err && copy_to_user(u64_to_user_ptr(save->saved), frame->saved,
				 DIV_ROUND_UP(frame->all, 64) * sizeof(u64)))
		err = -EFAULT;
	return err;
}

int cairn_save(struct file *device, union cairn_argument *arg)
{
	struct cairn_session *session = device->private_data;
	struct cairn_save *save = &arg->save;
	struct frame *frame;
	struct file *file;
	int err = -EINVAL;

	if (save->count > CAIRN_SAVE_RANGES)
		return -EINVAL;
	file = fget(save->fd);
	if (!file)
		return -EBADF;
	/* Only these have places to write to, and do not block for ever. */
	if (!S_ISREG(file_inode(file)->i_mode) || file->f_flags & O_APPEND)
		goto put;
	err = -EBADF;
	if (!(file->f_mode & FMODE_WRITE))
		goto put;
	err = -ENOMEM;
	frame = get_frame(session);
	if (frame) {
		err = save_frame(device, file, frame, save);
		put_frame(session, frame);
	}
put:
	fput(file);
	return err;
}
