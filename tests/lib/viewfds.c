/* SPDX-License-Identifier: MIT */
/*
 * usage: viewfds SOCKET [UID] Asks an agent for `mlimg-view`, as the user UID, and prints of each
 * directory its name, what is in it, and what can be done there that must not be: "climbs" out of
 * it, "writes" into it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libmlimg/cleanup.h"
#include "libmlimg/io.h"

#define FDS_MAX 253 /* SCM_RIGHTS */

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mlimg_autoclose int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return mlimg_steal_fd(&fd);
}

/* @return number of descriptors, -1; the line is @p ret_text */
static int receive(int fd, char *ret_text, size_t size, int *ret_fds)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct iovec data = {.iov_base = ret_text, .iov_len = size - 1};
	struct msghdr message = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (n <= 0)
		return -1;
	ret_text[n] = '\0';
	if (!header)
		return 0;
	memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	return (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

static int compare(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void look_at(int fd, const char *name)
{
	mlimg_autoclose int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct dirent **entries = NULL;
	struct stat here, above;
	char path[64];
	int n;

	printf("%s:", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/.", fd);
	n = scandir(path, &entries, NULL, compare);
	if (n < 0) {
		printf(" %s\n", strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			printf(" %s", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	if (up < 0 || fstat(fd, &here) < 0 || fstat(up, &above) < 0 ||
		here.st_ino != above.st_ino || here.st_dev != above.st_dev)
		printf(" climbs");
	if (mkdirat(fd, "made", 0700) == 0 || errno != EROFS || fchmod(fd, 0777) == 0)
		printf(" writes");
	putchar('\n');
}

int main(int argc, char **argv)
{
	static const char request[] = "{\"execute\":\"mlimg-view\"}\n";
	static char text[65536];
	uid_t uid = argc == 3 ? (uid_t)atoi(argv[2]) : getuid();
	int fds[FDS_MAX], fd, n;
	const json_t *dirs;
	json_t *answer;

	if (uid != getuid() && setresuid(uid, uid, uid) < 0)
		return 2;
	fd = argc > 1 ? connect_to(argv[1]) : -1;
	if (fd < 0 || mlimg_write_all(fd, request, sizeof(request) - 1) < 0)
		return 2;
	n = receive(fd, text, sizeof(text), fds);
	answer = n < 0 ? NULL : json_loads(text, 0, NULL);
	dirs = json_object_get(json_object_get(answer, "return"), "dirs");
	if (!dirs || json_array_size(dirs) != (size_t)n) {
		printf("%d descriptors with %s", n, text);
		return 1;
	}
	for (int i = 0; i < n; i++)
		look_at(fds[i], json_string_value(json_array_get(dirs, (size_t)i)));
	json_decref(answer);
	return 0;
}
