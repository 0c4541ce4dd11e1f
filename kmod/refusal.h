/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Logging of denied requests.
 */
#ifndef _CAIRN_REFUSAL_H
#define _CAIRN_REFUSAL_H

#include <linux/types.h>

/**
 * cairn_refused() - log that the caller is denied something
 * @what: a few words that precede the number in the log
 * @nr: the process or thread concerned, in the initial PID namespace
 *
 * Return: -EPERM
 */
int cairn_refused(const char *what, pid_t nr);

#endif /* _CAIRN_REFUSAL_H */
