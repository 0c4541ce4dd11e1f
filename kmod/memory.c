// SPDX-License-Identifier: GPL-2.0
/*
 * Writing memory of a frozen process to a file.
 *
 * Pages are copied, and the copy is what is checksummed and written: a page can
 * change while it is read, by other processes that map it, by devices, or by
 * process_vm_writev(2) and its like.
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
#include "memory.h"
#include "session.h"

/* Also selected by RD_ZSTD, which decompresses an initramfs. */
#if !IS_ENABLED(CONFIG_XXHASH)
#error "cairn needs a kernel with CONFIG_XXHASH"
#endif

#define SAVE_PAGES	(CAIRN_SAVE_MAX / PAGE_SIZE)

/* Unused frames that a session keeps. */
#define FRAMES_MAX	8

/**
 * struct frame - what one request saves
 * @list: in the unused frames of the session
 * @room: pages for copies, allocated once and kept with the frame
 * @nr_room: number of pages in @room
 * @ranges: of the request
 * @pages: pages of the present range, with references
 * @vecs: copies of the pages that are saved
 * @count: length of @vecs
 * @all: number of pages in all ranges so far
 * @saved: bit n is set if page n of all ranges is in @vecs
 * @sum: checksum of @vecs
 */
struct frame {
	struct list_head list;
	struct page *room[SAVE_PAGES];
	unsigned int nr_room;
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
	while (frame->nr_room > 0)
		__free_page(frame->room[--frame->nr_room]);
	kvfree(frame);
}

/*
 * An empty frame, with the pages of an earlier request if there was one: to
 * allocate and clear pages for each request would cost more than the copy.
 */
static struct frame *get_frame(struct cairn_session *session)
{
	struct frame *frame;

	spin_lock(&session->frames_lock);
	frame = list_first_entry_or_null(&session->frames, struct frame, list);
	if (frame) {
		list_del(&frame->list);
		session->nr_frames--;
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
	keep = session->nr_frames < FRAMES_MAX;
	if (keep) {
		list_add(&frame->list, &session->frames);
		session->nr_frames++;
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

/* Gets references to the pages of a range: all or none. */
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

/* Appends a copy of a page to the frame. */
static int append_copy(struct frame *frame, const void *data)
{
	struct page *copy;

	if (frame->count == frame->nr_room) {
		copy = alloc_page(GFP_KERNEL_ACCOUNT);
		if (!copy)
			return -ENOMEM;
		frame->room[frame->nr_room++] = copy;
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

/* Copies the pages of a range, without those of zeros unless they are wanted. */
static int copy_pages(struct frame *frame, const struct cairn_range *range)
{
	unsigned int i;
	int err;

	for (i = 0; i < range->len / PAGE_SIZE; i++, frame->all++) {
		/* Not kmapped: 64-bit kernels have no highmem. */
		const void *data = page_address(frame->pages[i]);

		if (!(range->flags & CAIRN_RANGE_ZEROS) &&
		    !memchr_inv(data, 0, PAGE_SIZE))
			continue;
		err = append_copy(frame, data);
		if (err)
			return err;
		frame->saved[frame->all / 64] |= 1ULL << (frame->all % 64);
	}
	return 0;
}

static int fill_frame(struct mm_struct *mm, struct frame *frame, u32 count)
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
 * Advances the file position by @len and returns the old one, so that concurrent
 * requests write to different places.
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
 * The mm of a frozen process, with a reference: thaw, SIGKILL and execve() do not
 * change which one is read.
 */
static struct mm_struct *get_mm(struct file *device, pid_t pid)
{
	struct task_struct *leader = cairn_inspect_begin(device, pid, true);
	struct mm_struct *mm;

	if (IS_ERR(leader))
		return ERR_CAST(leader);
	mm = get_task_mm(leader);
	cairn_inspect_end(device);
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
	mm = get_mm(device, save->pid);
	if (IS_ERR(mm))
		return PTR_ERR(mm);
	err = fill_frame(mm, frame, save->count);
	mmput(mm);
	if (!err)
		err = cairn_check_unchanged(device, save->pid);
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
	/* Others have no position, or can block for ever. */
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
