/* SPDX-License-Identifier: MIT */
#include "tools/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli.h"

#define EVERY_MS 100       /* redrawn ten times a second at most */
#define BAR_WIDTH 24       /* so that the whole line fits into 80 columns */
#define CLOCK_BYTES 262144 /* less progress than this is not worth a look at the clock */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void mlimg_progress_init(struct mlimg_progress *p, const char *what, uint64_t total_bytes)
{
	*p = (struct mlimg_progress){
		.what = what,
		.total_bytes = total_bytes,
		.start_ms = now_ms(),
		.is_tty = isatty(STDERR_FILENO) == 1,
	};
}

static void draw(const struct mlimg_progress *p, uint64_t done, uint64_t elapsed_ms)
{
	char size[MLIMG_CLI_SIZE_TEXT], rate[MLIMG_CLI_SIZE_TEXT], bar[BAR_WIDTH + 1];
	uint64_t total = p->total_bytes;
	double part = total ? (double)done / (double)total : 0;
	double per_s = (double)done * 1000 / (double)elapsed_ms;
	int filled;

	mlimg_cli_format_size(done, size);
	mlimg_cli_format_size((uint64_t)per_s, rate);
	if (!total) {
		fprintf(stderr, "\r\033[K%s: %s, %s/s", p->what, size, rate);
		return;
	}
	part = part > 1 ? 1 : part;
	filled = (int)(part * BAR_WIDTH);
	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '#', (size_t)filled);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r\033[K%s [%s] %3.0f%% %s/s", p->what, bar, part * 100, rate);
	if (per_s > 0 && done < total)
		fprintf(stderr, ", %.0f s left", (double)(total - done) / per_s);
}

void mlimg_progress_update(struct mlimg_progress *p, uint64_t done_bytes)
{
	uint64_t now;

	if (!p->is_tty || (done_bytes - p->checked < CLOCK_BYTES && done_bytes != p->total_bytes))
		return;
	p->checked = done_bytes;
	now = now_ms();
	if (now - p->start_ms < MLIMG_PROGRESS_FIRST_MS || now - p->shown_ms < EVERY_MS)
		return;
	p->shown_ms = now;
	draw(p, done_bytes, now - p->start_ms);
	fflush(stderr);
}

void mlimg_progress_add(struct mlimg_progress *p, uint64_t more_bytes)
{
	p->done += more_bytes;
	mlimg_progress_update(p, p->done);
}

void mlimg_progress_end(struct mlimg_progress *p)
{
	if (!p || !p->shown_ms)
		return;
	p->shown_ms = 0;
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
