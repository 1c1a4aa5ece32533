/*
 * Payloads that are too large for a frame: sealed memory files.
 *
 * Whoever sends one fills it, seals it, and passes the descriptor along with
 * the frame.  Whoever receives it believes nothing: it must be sealed against
 * any change, and of the size that is expected, or it is refused.
 */
#ifndef WEIR_SRC_ISOLATE_PAYLOAD_H
#define WEIR_SRC_ISOLATE_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/* A sealed file of up to two pieces, one after the other; -1 and errno. */
int weir__payload_seal(const struct iovec *pieces, size_t count);

/* Is it sealed, and of that size? */
bool weir__payload_is_sound(int fd, size_t size);

/* The bytes from offset on into data; false if they cannot be read. */
bool weir__payload_read(int fd, size_t offset, void *data, size_t size);

/*
 * One message with a descriptor, which may be -1.  As send(2), and recv(2)
 * with *ret_fd -1 if none came; surplus ones are closed.
 */
ssize_t weir__payload_send(int socket, const struct iovec *pieces, size_t count,
			   int fd, int flags);
ssize_t weir__payload_receive(int socket, void *data, size_t size, int *ret_fd,
			      int flags);

#endif
