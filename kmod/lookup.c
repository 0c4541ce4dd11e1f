// SPDX-License-Identifier: GPL-2.0
/*
 * Looks up the functions of the table in lookup.h.
 *
 * kallsyms_lookup_name() itself is not exported since 5.7. Its address is that of a
 * kprobe which is registered on it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/string.h>

#include "lookup.h"
#include "uapi/cairn.h"

typedef unsigned long kallsyms_fn(const char *name);

static unsigned long no_lookup(const char *name)
{
	return 0;
}

DEFINE_STATIC_CALL(cairn_kallsyms, no_lookup);

#define DEFINE_SYMBOL(result, name, params, args, absent, feature, why)	\
	result cairn_absent_##name params				\
	{								\
		return absent;						\
	}								\
	DEFINE_STATIC_CALL(cairn_call_##name, cairn_absent_##name);	\
	static void found_##name(unsigned long address)			\
	{								\
		static_call_update(cairn_call_##name,			\
				   (typeof(cairn_absent_##name) *)address); \
	}
CAIRN_SYMBOLS(DEFINE_SYMBOL)

static const struct symbol {
	const char *name;
	const char *why;
	u64 feature;
	void (*found)(unsigned long address);
} symbols[] = {
#define SYMBOL_ENTRY(result, sym, params, args, absent, feat, reason)	\
	{ .name = #sym, .why = reason, .feature = feat, .found = found_##sym },
	CAIRN_SYMBOLS(SYMBOL_ENTRY)
};

/*
 * The address of kallsyms_lookup_name(), or 0.
 *
 * A kprobe is not on the first byte of a function everywhere: on x86 it is after
 * ENDBR, on powerpc at the local entry point, which needs the kernel's TOC in a
 * register. kallsyms has the offset.
 */
static unsigned long find_kallsyms(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	char text[KSYM_SYMBOL_LEN];
	unsigned long address;
	const char *plus;
	unsigned int offset;
	int err;

	err = register_kprobe(&probe);
	if (err) {
		pr_info("no kprobe on %s: %d\n", probe.symbol_name, err);
		return 0;
	}
	address = (unsigned long)probe.addr;
	unregister_kprobe(&probe);

	sprint_symbol(text, address);
	plus = strchr(text, '+');
	if (!plus || sscanf(plus, "+%x/", &offset) != 1 ||
	    strncmp(text, probe.symbol_name, plus - text)) {
		pr_info("kprobe on %s is in %s\n",
			probe.symbol_name, text);
		return 0;
	}
	return address - offset;
}

unsigned long cairn_lookup_address(const char *name)
{
	return static_call(cairn_kallsyms)(name);
}

u64 cairn_lookup_symbols(u64 features)
{
	unsigned long kallsyms = find_kallsyms();
	size_t i;

	if (kallsyms)
		static_call_update(cairn_kallsyms, (kallsyms_fn *)kallsyms);

	for (i = 0; i < ARRAY_SIZE(symbols); i++) {
		const struct symbol *symbol = &symbols[i];
		unsigned long address = static_call(cairn_kallsyms)(symbol->name);

		if (address) {
			symbol->found(address);
		} else {
			pr_info("this kernel has no %s, which %s\n",
				symbol->name, symbol->why);
			features &= ~symbol->feature;
		}
	}
	return features;
}
