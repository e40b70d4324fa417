/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * capability.h - which capabilities a policy may name
 *
 * Theory of operation: a set is a 64-bit mask, bit n for capability number n (linux/capability.h).
 * One table knows every name and its class.  Reduced: the set that Docker documents, what
 * `capabilities = default` means.  Extra: may be added, because each reaches no further than the
 * container's own namespaces.  Refused: the rest; SYS_ADMIN above all, which in a user namespace
 * opens mount(2) and most of the kernel's privileged interfaces to attack.  Names are read here and
 * not by libcap-ng, since this room is linked into the PAM module.
 */
#ifndef ISPAWN_POLICY_CAPABILITY_H
#define ISPAWN_POLICY_CAPABILITY_H

#include "ispawn/base/err.h"

/** isp_capability_reduced() - the mask of `capabilities = default`. */
uint64_t isp_capability_reduced(void);

/** isp_capability_grantable() - every capability that a policy may grant. */
uint64_t isp_capability_grantable(void);

/**
 * isp_capability_parse() - a name, any case, with or without "cap_"
 * @ret_bit: one bit of a mask
 * Return: 0; -EINVAL no such capability; -EPERM one that is never granted.
 */
ISP_MUST_CHECK int isp_capability_parse(const char *name, uint64_t *ret_bit);

#endif
