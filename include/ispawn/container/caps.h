/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * caps.h - capability sets, through libcap-ng
 *
 * Theory of operation: a set is a 64-bit mask, bit n for capability number n, so that it travels in
 * a spec.  The reduced set is the one Docker documents; inside, all of it is relative to the
 * container's user namespace.  The supervisor's sets are listed here with a sentence each: what it
 * holds while it builds, and what stays for the life of the session.  Names are read and written
 * by libcap-ng only.  Nothing here drops user ids: the order of the drops is prove.h's business.
 */
#ifndef ISPAWN_CONTAINER_CAPS_H
#define ISPAWN_CONTAINER_CAPS_H

#include "ispawn/base/err.h"

#define ISP_CAP(n) (UINT64_C(1) << (n))

/** isp_caps_supervisor_build() / _rest() - the masks of the supervisor's two phases. */
uint64_t isp_caps_supervisor_build(void);
uint64_t isp_caps_supervisor_rest(void);

/**
 * isp_caps_apply() - make @mask the permitted and effective set, empty inheritable and ambient
 * @bounding: new bounding set; capabilities already missing there are fine
 * Works for the calling process (single-threaded).  Needs CAP_SETPCAP when the bounding set
 * shrinks. CAP_SYS_RESOURCE in @mask is taken when it is permitted and left out when it is not:
 * machines that are containers themselves run without it. Return: 0; -EPERM another one of @mask is
 * not permitted (named); what capng_apply() or prctl said.
 */
ISP_MUST_CHECK int isp_caps_apply(uint64_t mask, uint64_t bounding, struct isp_error *err);

/** isp_caps_drop_bounding() - take everything but @keep out of the bounding set.
 * Needs CAP_SETPCAP.  Return: 0; -errno of prctl. */
ISP_MUST_CHECK int isp_caps_drop_bounding(uint64_t keep, struct isp_error *err);

/** isp_caps_lock_securebits() - NOROOT, NO_SETUID_FIXUP, KEEP_CAPS off, NO_CAP_AMBIENT_RAISE, each
 * locked when @is_final_unprivileged, for privilege none; for sudo and root only KEEP_CAPS off and
 * NO_CAP_AMBIENT_RAISE are locked, since setuid programs must still work. */
ISP_MUST_CHECK int isp_caps_lock_securebits(bool is_final_unprivileged, struct isp_error *err);

/**
 * isp_caps_verify() - read all five sets back and compare
 * Return: 0 when permitted, effective and inheritable are exactly @mask, @mask and 0 (both may lack
 * CAP_SYS_RESOURCE), ambient is empty and bounding has no bit outside @bounding; -EPERM with the
 * first difference named.
 */
ISP_MUST_CHECK int isp_caps_verify(uint64_t mask, uint64_t bounding, struct isp_error *err);

#endif
