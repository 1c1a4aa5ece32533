/* Which addresses are public, by example. */
#include "harness.h"

#include "fetch/address.h"

#include <arpa/inet.h>
#include <string.h>

static bool
is_public(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return weir__fetch_address_is_public(
			(const struct sockaddr *)&in, sizeof(in));
	REQUIRE(inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
	return weir__fetch_address_is_public((const struct sockaddr *)&in6,
					     sizeof(in6));
}

static const char *const private[] = {
	"0.0.0.0",
	"0.0.0.1",
	"0.1.2.3",
	"0.255.255.255",
	"10.0.0.0",
	"10.0.0.1",
	"10.10.10.10",
	"10.255.255.255",
	"100.64.0.0",
	"100.64.0.1",
	"100.100.100.200",
	"100.127.255.255",
	"127.0.0.0",
	"127.0.0.1",
	"127.0.0.53",
	"127.1.2.3",
	"127.255.255.255",
	"169.254.0.0",
	"169.254.0.1",
	"169.254.169.254",
	"169.254.170.2",
	"169.254.255.255",
	"172.16.0.0",
	"172.16.0.1",
	"172.17.0.1",
	"172.20.10.1",
	"172.31.255.255",
	"192.0.0.0",
	"192.0.0.8",
	"192.0.0.170",
	"192.0.0.255",
	"192.0.2.0",
	"192.0.2.1",
	"192.0.2.255",
	"192.88.99.1",
	"192.168.0.0",
	"192.168.0.1",
	"192.168.1.1",
	"192.168.255.255",
	"198.18.0.0",
	"198.18.0.1",
	"198.19.255.255",
	"198.51.100.0",
	"198.51.100.7",
	"198.51.100.255",
	"203.0.113.0",
	"203.0.113.9",
	"203.0.113.255",
	"224.0.0.0",
	"224.0.0.1",
	"239.255.255.250",
	"239.255.255.255",
	"240.0.0.0",
	"240.0.0.1",
	"254.254.254.254",
	"255.255.255.254",
	"255.255.255.255",
	"::",
	"::1",
	"::2",
	"::127.0.0.1",
	"::8.8.8.8",
	"::ffff:0.0.0.0",
	"::ffff:10.0.0.1",
	"::ffff:127.0.0.1",
	"::ffff:169.254.169.254",
	"::ffff:172.16.0.1",
	"::ffff:192.168.0.1",
	"::ffff:100.64.0.1",
	"::ffff:255.255.255.255",
	"::ffff:0:127.0.0.1",
	"64:ff9b::7f00:1",
	"64:ff9b::10.0.0.1",
	"64:ff9b::192.168.1.1",
	"64:ff9b::169.254.169.254",
	"64:ff9b:1::1",
	"64:ff9b:1::8.8.8.8",
	"100::",
	"100::1",
	"1000::1",
	"1fff:ffff::1",
	"2001::",
	"2001::1",
	"2001:0:4136:e378:8000:63bf:3fff:fdd2",
	"2001:2::1",
	"2001:10::1",
	"2001:20::1",
	"2001:1ff:ffff::1",
	"2001:db8::",
	"2001:db8::1",
	"2001:db8:ffff::1",
	"2002:7f00:1::",
	"2002:a00:1::1",
	"2002:c0a8:101::1",
	"2002:a9fe:a9fe::1",
	"3ffe::1",
	"3ffe:ffff::1",
	"3fff::1",
	"3fff:fff::1",
	"4000::1",
	"5f00::1",
	"8000::1",
	"f000::1",
	"fc00::",
	"fc00::1",
	"fd00::1",
	"fd00:ec2::254",
	"fdff:ffff::1",
	"fe00::1",
	"fe80::",
	"fe80::1",
	"fe80::a9fe:a9fe",
	"febf:ffff::1",
	"fec0::1",
	"feff::1",
	"ff00::1",
	"ff01::1",
	"ff02::1",
	"ff02::fb",
	"ff05::2",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};

static const char *const public[] = {
	"1.0.0.0",           "1.1.1.1",         "8.8.8.8",
	"9.255.255.255",     "11.0.0.0",        "93.184.216.34",
	"100.63.255.255",    "100.128.0.0",     "126.255.255.255",
	"128.0.0.0",         "169.253.255.255", "169.255.0.0",
	"172.15.255.255",    "172.32.0.0",      "191.255.255.255",
	"192.0.1.0",         "192.0.3.0",       "192.88.98.255",
	"192.88.100.0",      "192.167.255.255", "192.169.0.0",
	"198.17.255.255",    "198.20.0.0",      "198.51.99.255",
	"198.51.101.0",      "203.0.112.255",   "203.0.114.0",
	"223.255.255.255",   "::ffff:8.8.8.8",  "::ffff:172.32.0.1",
	"64:ff9b::8.8.8.8",  "2001:200::1",     "2001:4860:4860::8888",
	"2001:db7::1",       "2001:db9::1",     "2002:808:808::1",
	"2003::1",           "2400:cb00::1",    "2606:4700:4700::1111",
	"2a00:1450:4001::1", "3ffd::1",         "3fff:1000::1",
};

TEST(address, knows_what_is_not_public)
{
	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		CHECK_MSG(!is_public(private[i]), "%s", private[i]);
}

TEST(address, knows_what_is_public)
{
	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
		CHECK_MSG(is_public(public[i]), "%s", public[i]);
}

TEST(address, trusts_no_other_family_and_no_short_address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr other = {.sa_family = AF_UNIX};

	in.sin_addr.s_addr = htonl(0x08080808);
	CHECK(!weir__fetch_address_is_public((const struct sockaddr *)&in, 4));
	CHECK(!weir__fetch_address_is_public(&other, sizeof(other)));
}
