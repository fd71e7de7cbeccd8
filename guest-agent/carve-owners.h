/* SPDX-License-Identifier: MIT */
/**
 * @file carve-owners.h
 * Whose the things in carve-outs are (carve.h). They are no part of the upper, so a change of the
 * stack neither compares nor rewrites them: there may be millions. A server whose number is another
 * one in the new system could not open its data any more, and whoever has the number now could. So
 * numbers that things in carve-outs have stay what they are (libmlimg/accounts.h, rule 6), and
 * nothing in there has to be touched, on the way there or back.
 *
 * They are looked at when the first number is asked for that would change, which is seldom: breadth
 * first, at most MLIMG_CARVE_OWNERS_MAX things. Where there are more, or some cannot be looked at,
 * any number may be among them: then all stay. Access control lists are not looked at.
 */
#ifndef MLIMG_CARVE_OWNERS_H
#define MLIMG_CARVE_OWNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Things that are looked at; so many took 0.4 s of a busy machine with two cores */
#define MLIMG_CARVE_OWNERS_MAX 50000

/** Zeroed but for user_fd. mlimg_carve_owners_done() it. */
struct mlimg_carve_owners {
	int user_fd;     /**< the user layer's top directory */
	bool is_read;    /**< the rest is set */
	bool is_cut;     /**< not all was looked at */
	uint8_t *owners; /**< a bit for each number below 65536, of users, then of groups */
	bool has_large;  /**< and some above that */
};

/** @return 1 when things in carve-outs have that owner or group, 0 when not, -1: they may have */
int mlimg_carve_owners_has(struct mlimg_carve_owners *carved, bool is_group, uint32_t id);

/** Free what it owns. */
void mlimg_carve_owners_done(struct mlimg_carve_owners *carved);

#endif
