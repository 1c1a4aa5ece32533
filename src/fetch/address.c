/*
 * Public addresses, by table; see address.h.
 *
 * Design: a list of what is not public, from the registries of special-purpose
 * addresses (RFC 6890 and its successors).  For IPv6 that list would have to
 * grow with each new idea, so it is turned round: public is what lies in
 * 2000::/3, the only block ever given out, minus exceptions.  Addresses that
 * carry an IPv4 address inside (mapped, 6to4, NAT64) are as public as that.
 *
 * Locking: none; pure functions over constant tables.
 */
#include "fetch/address.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

static const struct block4 {
	uint32_t address;
	unsigned bits;
} not_public4[] = {
	{0x00000000, 8},  /* 0.0.0.0/8: this network; 0.0.0.0 is ourselves */
	{0x0a000000, 8},  /* 10/8: private */
	{0x64400000, 10}, /* 100.64/10: carriers' NAT */
	{0x7f000000, 8},  /* 127/8: loopback */
	{0xa9fe0000, 16}, /* 169.254/16: link-local, cloud metadata */
	{0xac100000, 12}, /* 172.16/12: private */
	{0xc0000000, 24}, /* 192.0.0/24: protocol assignments */
	{0xc0000200, 24}, /* 192.0.2/24: documentation */
	{0xc0586300, 24}, /* 192.88.99/24: 6to4 relays */
	{0xc0a80000, 16}, /* 192.168/16: private */
	{0xc6120000, 15}, /* 198.18/15: benchmarks */
	{0xc6336400, 24}, /* 198.51.100/24: documentation */
	{0xcb007100, 24}, /* 203.0.113/24: documentation */
	{0xe0000000, 4},  /* 224/4: multicast */
	{0xf0000000, 4},  /* 240/4: reserved, and broadcast */
};

static const struct block6 {
	uint8_t address[16];
	unsigned bits;
} not_public6[] = {
	/* 2001::/23: Teredo, benchmarks, ORCHID, all assignments */
	{{0x20, 0x01, 0x00}, 23},
	/* 2001:db8::/32: documentation */
	{{0x20, 0x01, 0x0d, 0xb8}, 32},
	/* 3fff::/20: documentation */
	{{0x3f, 0xff, 0x00}, 20},
	/* 3ffe::/16: the 6bone, given back */
	{{0x3f, 0xfe}, 16},
};

/* IPv6 prefixes that are followed by an IPv4 address, and by how far. */
static const struct carrier6 {
	uint8_t address[16];
	unsigned bits, at;
} carriers6[] = {
	/* ::ffff:0:0/96: mapped */
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 12},
	/* 64:ff9b::/96: NAT64 */
	{{0x00, 0x64, 0xff, 0x9b}, 96, 12},
	/* 2002::/16: 6to4 */
	{{0x20, 0x02}, 16, 2},
};

static bool
is_public4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(not_public4) / sizeof(not_public4[0]);
	     i++) {
		const struct block4 *block = &not_public4[i];

		if ((address ^ block->address) >> (32 - block->bits) == 0)
			return false;
	}
	return true;
}

static bool
has_prefix(const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(address, prefix, bits / 8) != 0)
		return false;
	return rest == 0 ||
	       (address[bits / 8] ^ prefix[bits / 8]) >> (8 - rest) == 0;
}

static uint32_t
read32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
	       (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool
is_public6(const uint8_t *address)
{
	for (size_t i = 0; i < sizeof(carriers6) / sizeof(carriers6[0]); i++) {
		const struct carrier6 *carrier = &carriers6[i];

		if (has_prefix(address, carrier->address, carrier->bits))
			return is_public4(read32(address + carrier->at));
	}
	if (address[0] >> 5 != 1) /* 2000::/3 */
		return false;
	for (size_t i = 0; i < sizeof(not_public6) / sizeof(not_public6[0]);
	     i++)
		if (has_prefix(address, not_public6[i].address,
			       not_public6[i].bits))
			return false;
	return true;
}

bool
weir__fetch_address_is_public(const struct sockaddr *address, size_t len)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (len >= sizeof(in) && address->sa_family == AF_INET) {
		memcpy(&in, address, sizeof(in));
		return is_public4(ntohl(in.sin_addr.s_addr));
	}
	if (len >= sizeof(in6) && address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		return is_public6(in6.sin6_addr.s6_addr);
	}
	return false;
}
