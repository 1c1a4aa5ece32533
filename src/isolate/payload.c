/*
 * Sealed memory files; see payload.h.
 */
#include "isolate/payload.h"

#include "isolate/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool
write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return true;
}

int
weir__payload_seal(const struct iovec *pieces, size_t count)
{
	int fd = memfd_create("weir-job", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool good = fd >= 0;
	int saved;

	for (size_t i = 0; good && i < count; i++)
		good = write_all(fd, pieces[i].iov_base, pieces[i].iov_len);
	if (good && fcntl(fd, F_ADD_SEALS, ALL_SEALS) == 0)
		return fd;
	saved = errno;
	weir__fd_close(&fd);
	errno = saved;
	return -1;
}

bool
weir__payload_is_sound(int fd, size_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS &&
	       fstat(fd, &st) == 0 && st.st_size >= 0 &&
	       (size_t)st.st_size == size;
}

bool
weir__payload_read(int fd, size_t offset, void *data, size_t size)
{
	char *at = data;

	while (size > 0) {
		ssize_t n = pread(fd, at, size, (off_t)offset);

		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		if (n > 0) {
			at += n;
			offset += (size_t)n;
			size -= (size_t)n;
		}
	}
	return true;
}

union one_fd {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

ssize_t
weir__payload_send(int socket, const struct iovec *pieces, size_t count, int fd,
		   int flags)
{
	union one_fd control = {0};
	struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces,
				 .msg_iovlen = count};
	struct cmsghdr *head;
	ssize_t n;

	if (fd >= 0) {
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	}
	do
		n = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

ssize_t
weir__payload_receive(int socket, void *data, size_t size, int *ret_fd,
		      int flags)
{
	union one_fd control = {0};
	struct iovec piece = {data, size};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.space,
				 .msg_controllen = sizeof(control.space)};
	struct cmsghdr *head;
	ssize_t n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);

	*ret_fd = -1;
	head = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head && head->cmsg_level == SOL_SOCKET &&
	    head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(head), sizeof(int));
	return n;
}
