#include "base/buf.h"
#include "harness.h"

#include <string.h>

TEST(buf, a_zeroed_one_is_an_empty_string)
{
	struct weir_buf b = {0};

	CHECK_STR(weir__buf_str(&b), "");
	weir__buf_append(&b, NULL, 0);
	CHECK_EQ_INT(b.len, 0);
	CHECK(!b.failed);
	weir__buf_fini(&b);
}

TEST(buf, appends_in_order_and_ends_in_nul)
{
	struct weir_buf b = {0};

	weir__buf_puts(&b, "one");
	weir__buf_putc(&b, ' ');
	weir__buf_append(&b, "two-three", 3);
	weir__buf_printf(&b, " %d%s", 3, "!");
	CHECK_STR(weir__buf_str(&b), "one two 3!");
	CHECK_EQ_INT(b.len, 10);
	weir__buf_fini(&b);
}

TEST(buf, keeps_nul_bytes_inside)
{
	struct weir_buf b = {0};

	weir__buf_append(&b, "a\0b", 3);
	CHECK_EQ_INT(b.len, 3);
	REQUIRE(b.data);
	CHECK(memcmp(b.data, "a\0b", 4) == 0);
	weir__buf_fini(&b);
}

TEST(buf, prints_what_is_longer_than_its_room)
{
	struct weir_buf b = {0};
	char text[1001];

	memset(text, 'x', 1000);
	text[1000] = '\0';
	for (size_t n = 0; n <= 1000; n++) {
		weir__buf_printf(&b, "%.*s|", (int)n, text);
		REQUIRE(b.data && strlen(b.data) == b.len);
	}
	CHECK_EQ_INT(b.len, 1001 * 1000 / 2 + 1001);
	CHECK(!b.failed);
	weir__buf_fini(&b);
}

TEST(buf, stays_failed_until_reset)
{
	struct weir_buf b = {0};

	weir__buf_puts(&b, "kept");
	CHECK(!weir__buf_reserve(&b, SIZE_MAX));
	CHECK(b.failed);
	weir__buf_puts(&b, "refused");
	weir__buf_printf(&b, "%s", "refused");
	CHECK_STR(weir__buf_str(&b), "kept");
	weir__buf_reset(&b);
	CHECK(!b.failed);
	CHECK_STR(weir__buf_str(&b), "");
	weir__buf_puts(&b, "new");
	CHECK_STR(weir__buf_str(&b), "new");
	weir__buf_fini(&b);
}

TEST(buf, reset_keeps_the_memory)
{
	struct weir_buf b = {0};
	size_t cap;

	CHECK(weir__buf_reserve(&b, 5000));
	cap = b.cap;
	CHECK(cap > 5000);
	weir__buf_reset(&b);
	CHECK_EQ_INT(b.cap, cap);
	weir__buf_fini(&b);
	CHECK(!b.data && b.cap == 0);
}
