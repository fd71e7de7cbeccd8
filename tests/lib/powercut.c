/* SPDX-License-Identifier: MIT */
/*
 * usage: powercut LOG IMAGE CUT CUTS SEED [ATOM] Makes of IMAGE, a copy of a disk as it was when
 * the log of its writes began, what may be on it after a power cut: what a flush has made durable
 * before the cut, and of what was written since anything.
 *
 * The log is QEMU's (block driver blklogwrites), in the format of the kernel's dm-log-writes
 * (Documentation/admin-guide/device-mapper/log-writes.rst, drivers/md/dm-log-writes.c; all
 * little-endian): in sectors of the size that the first one names, a superblock, then entries of
 * one sector each with the data of a write behind it.
 *
 *     superblock: u64 magic, u64 version 1, u64 entries, u32 sector size
 *     entry:      u64 sector, u64 sectors, u64 flags (1 flush, 2 FUA, 4 discard, 8 mark), u64 length of a mark's data
 *
 * QEMU logs what is done, in the order in which it was done, and a flush when it has ended. What is
 * written between two flushes may be on the disk or not, in any order, for a disk may hold it in
 * its cache; but a cache keeps the order of what is written to the same place. A disk writes ATOM
 * bytes (4096) as a whole; a longer write may be torn.
 *
 * A write that ended while a flush was under way is logged before it, and taken for durable, which
 * it need not be: the log cannot tell.
 *
 * Cuts are spread over the log: of CUTS the first half between the flushes before the first promise
 * (powerload.c), which is the boot, the others behind. The image's last sector then says how many
 * promises were made before the cut. Cut CUTS is none: the whole log is replayed.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x6a736677736872u
#define SECTOR 512u
#define FLUSH 1u
#define DISCARD 4u
#define KNOWN 7u
#define WRITE_MAX (64u << 20)

struct entry {
	uint64_t at, size; /* bytes of the disk */
	uint64_t data;     /* where in the log */
	uint64_t flags;
};

static int log_fd, image_fd;
static struct entry *entries;
static size_t n_entries;
static uint64_t mark_at; /* the disk's last sector */
static uint64_t atom = 4096, random_state;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list args;

	fputs("powercut: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* splitmix64 (public domain, Vigna 2015) */
static uint64_t below(uint64_t n)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % n;
}

static void read_log(void *data, size_t size, uint64_t at)
{
	if (pread(log_fd, data, size, (off_t)at) != (ssize_t)size)
		die("the log ends at byte %" PRIu64, at);
}

static void load_entries(void)
{
	uint64_t super[4], head[4], sector, at;
	uint32_t sector_size;

	read_log(super, sizeof(super), 0);
	memcpy(&sector_size, &super[3], sizeof(sector_size));
	sector = le32toh(sector_size);
	n_entries = le64toh(super[2]);
	if (le64toh(super[0]) != MAGIC || le64toh(super[1]) != 1 || sector < SECTOR ||
		sector > 65536)
		die("no log of writes");
	entries = calloc(n_entries + 1, sizeof(*entries));
	if (!entries)
		die("%zu entries", n_entries);
	at = sector;
	for (size_t i = 0; i < n_entries; i++) {
		struct entry *e = &entries[i];

		read_log(head, sizeof(head), at);
		*e = (struct entry){.at = le64toh(head[0]) * sector,
			.size = le64toh(head[1]) * sector,
			.flags = le64toh(head[2]),
			.data = at + sector};
		if (e->flags & ~(uint64_t)KNOWN || e->at > mark_at + SECTOR ||
			e->size > mark_at + SECTOR - e->at ||
			(!(e->flags & DISCARD) && e->size > WRITE_MAX) || (!e->flags && !e->size))
			die("entry %zu of %zu is damaged", i, n_entries);
		at = e->data + (e->flags & DISCARD ? 0 : e->size);
	}
}

/* What QEMU's own pwrite does. */
static void write_image(const void *data, size_t size, uint64_t at)
{
	if (pwrite(image_fd, data, size, (off_t)at) != (ssize_t)size)
		die("write the image: %s", strerror(errno));
}

/* Bytes from @from of an entry; what is discarded reads as zeros. */
static void apply(const struct entry *e, uint64_t from, uint64_t size)
{
	char *data = calloc(1, size + 1);

	if (!data)
		die("%" PRIu64 " bytes", size);
	if (!(e->flags & DISCARD))
		read_log(data, size, e->data + from);
	write_image(data, size, e->at + from);
	free(data);
}

static bool is_write(const struct entry *e)
{
	return e->size > 0 && e->at != mark_at;
}

static uint32_t read_mark(const struct entry *e)
{
	char text[SECTOR];
	unsigned n;

	read_log(text, sizeof(text), e->data);
	text[SECTOR - 1] = '\0';
	if (sscanf(text, "mlimg-power %u\n", &n) != 1)
		die("the last sector was written by somebody else");
	return n;
}

/* How what was written since the last flush gets to the disk. */
enum way { NOTHING, ALL, SOME_WRITES, SOME_PIECES, FIRST_WRITES, LAST_WRITES, N_WAYS };

static const char *const way_names[] = {"nothing", "all", "some of the writes",
	"pieces of the writes", "the first writes, of the last one a piece", "the last writes"};

/* @return whether a piece was written */
static bool is_kept(enum way way, bool is_write_kept, size_t i, size_t edge)
{
	switch (way) {
	case NOTHING: return false;
	case ALL: return true;
	case SOME_WRITES: return is_write_kept;
	case SOME_PIECES: return below(2);
	case FIRST_WRITES: return i < edge || (i == edge && below(2));
	default: return i >= edge;
	}
}

/* @return how many bytes were kept */
static uint64_t apply_unflushed(size_t from, size_t end, enum way way)
{
	size_t edge = from + below(end - from + 1);
	uint64_t kept = 0;

	for (size_t i = from; i < end; i++) {
		const struct entry *e = &entries[i];
		bool is_write_kept = below(2);

		for (uint64_t done = 0, size; is_write(e) && done < e->size; done += size) {
			size = atom - (e->at + done) % atom;
			if (size > e->size - done)
				size = e->size - done;
			if (!is_kept(way, is_write_kept, i, edge))
				continue;
			apply(e, done, size);
			kept += size;
		}
	}
	return kept;
}

/*
 * Intervals between flushes in which something was written; interval i ends before the flush
 * ends[i]. @return their number
 */
static size_t find_intervals(size_t *ends, size_t *ret_n_boot)
{
	bool is_written = false, is_boot = true;
	size_t n = 0;

	*ret_n_boot = 0;
	for (size_t i = 0; i < n_entries; i++) {
		is_written |= is_write(&entries[i]);
		is_boot &= !entries[i].size || is_write(&entries[i]);
		if (!(entries[i].flags & FLUSH) || !is_written)
			continue;
		ends[n++] = i;
		*ret_n_boot += is_boot;
		is_written = false;
	}
	return n;
}

/* A random one of the part of [from, end) that belongs to number i of n. */
static size_t spread(size_t from, size_t end, size_t i, size_t n)
{
	size_t first = from + (end - from) * i / n, last = from + (end - from) * (i + 1) / n;

	return last > first ? first + below(last - first) : first < end ? first : end - 1;
}

static size_t choose(size_t cut, size_t n_cuts, size_t n, size_t n_boot)
{
	size_t half = n_boot == 0 ? 0 : n_boot == n ? n_cuts : (n_cuts + 1) / 2;

	return cut < half ? spread(0, n_boot, cut, half)
			  : spread(n_boot, n, cut - half, n_cuts - half);
}

static void cut(size_t number, size_t n_cuts)
{
	size_t *ends = calloc(n_entries + 1, sizeof(*ends)), n, n_boot, chosen, from, end;
	char mark[SECTOR] = "";
	enum way way = (enum way)below(N_WAYS);
	uint64_t kept, written = 0;
	uint32_t promised = 0;

	if (!ends)
		die("%zu entries", n_entries);
	n = find_intervals(ends, &n_boot);
	if (n == 0)
		die("nothing was written and flushed");
	chosen = choose(number, n_cuts, n, n_boot);
	from = chosen ? ends[chosen - 1] + 1 : 0;
	end = ends[chosen];
	for (size_t i = 0; i < end; i++) {
		if (entries[i].size && !is_write(&entries[i]))
			promised = read_mark(&entries[i]);
		if (i < from && is_write(&entries[i]))
			apply(&entries[i], 0, entries[i].size);
		else if (i >= from && is_write(&entries[i]))
			written += entries[i].size;
	}
	kept = apply_unflushed(from, end, way);
	if (promised) {
		sprintf(mark, "mlimg-power %u\n", promised);
		write_image(mark, sizeof(mark), mark_at);
	}
	printf("%s, flush %zu of %zu, %u promises; since the flush before it %" PRIu64
	       " bytes were written: %s, %" PRIu64 " bytes\n",
		chosen < n_boot ? "boot" : "load", chosen + 1, n, promised, written, way_names[way],
		kept);
	free(ends);
}

static void replay_all(void)
{
	for (size_t i = 0; i < n_entries; i++)
		if (entries[i].size)
			apply(&entries[i], 0, entries[i].size);
	printf("all of %zu entries\n", n_entries);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (!*text || *end)
		die("'%s' is no number", text);
	return n;
}

int main(int argc, char **argv)
{
	struct stat st;

	if (argc != 6 && argc != 7) {
		fputs("usage: powercut LOG IMAGE CUT CUTS SEED [ATOM]\n", stderr);
		return 2;
	}
	log_fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	image_fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (log_fd < 0 || image_fd < 0 || fstat(image_fd, &st) < 0)
		die("%s, %s: %s", argv[1], argv[2], strerror(errno));
	if (st.st_size % 4096 != SECTOR)
		die("%s has no sector for promises", argv[2]);
	mark_at = (uint64_t)st.st_size - SECTOR;
	random_state = number(argv[5]) ^ number(argv[3]) << 32;
	if (argc == 7)
		atom = number(argv[6]);
	if (number(argv[3]) > number(argv[4]) || atom < SECTOR || atom % SECTOR)
		die("no cut %s of %s, or no disk writes %s bytes", argv[3], argv[4],
			argc == 7 ? argv[6] : "4096");
	load_entries();
	if (strcmp(argv[3], argv[4]) == 0)
		replay_all();
	else
		cut(number(argv[3]), number(argv[4]));
	free(entries);
	return 0;
}
