/*
 * Which addresses are on the public Internet.
 *
 * For --public-only: a list of URLs from strangers must not make us knock at
 * doors that only we can reach.  The question is asked of the address that is
 * about to be connected to, not of a name, so that a resolver which answers
 * differently the second time gains nothing.
 */
#ifndef WEIR_SRC_FETCH_ADDRESS_H
#define WEIR_SRC_FETCH_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Whatever is neither IPv4 nor IPv6 is not public. */
bool weir__fetch_address_is_public(const struct sockaddr *address, size_t len);

#endif
