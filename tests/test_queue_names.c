/*
 * Names of queues, kinds, tags and schedules: River's rules, with reasons.
 */
#include "harness.h"

#include "queue/names.h"

#include <string.h>

typedef const char *rule(const char *name, size_t len);

static const char *
judge(rule *fault, const char *name)
{
	return fault(name, strlen(name));
}

/* `length` times the same byte. */
static const char *
judge_length(rule *fault, char byte, size_t length)
{
	static char text[512];

	memset(text, byte, length);
	return fault(text, length);
}

static void
check_good(rule *fault, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *why = judge(fault, names[i]);

		CHECK_MSG(!why, "\"%s\" %s", names[i], why);
	}
}

#define GOOD(fault, ...)                                        \
	check_good(fault, (const char *const[]){__VA_ARGS__},   \
		   sizeof((const char *const[]){__VA_ARGS__}) / \
			   sizeof(const char *))
#define BAD(fault, name, why) CHECK_STR(judge(fault, name), why)

TEST(queue_names, a_queue_is_lower_case_with_single_breaks_between)
{
	const char *other = "has something else than a-z, 0-9, _ and -";
	const char *ends = "does not begin and end with one of a-z and 0-9";
	const char *twice = "has two of _ and - side by side";

	GOOD(weir__queue_name_fault, "az09", "default", "a", "0", "mail-eu_2",
	     "a-b-c", "a|b", "1-1");
	BAD(weir__queue_name_fault, "", "is empty");
	BAD(weir__queue_name_fault, "Mail", other);
	BAD(weir__queue_name_fault, "a b", other);
	BAD(weir__queue_name_fault, "a.b", other);
	BAD(weir__queue_name_fault, "*", other);
	/* What is beside the good ones in ASCII. */
	BAD(weir__queue_name_fault, "/", other);
	BAD(weir__queue_name_fault, ":", other);
	BAD(weir__queue_name_fault, "`", other);
	BAD(weir__queue_name_fault, "{", other);
	BAD(weir__queue_name_fault, "\xc3\xa4", other);
	BAD(weir__queue_name_fault, "a\n", other);
	BAD(weir__queue_name_fault, "-a", ends);
	BAD(weir__queue_name_fault, "a_", ends);
	BAD(weir__queue_name_fault, "-", ends);
	BAD(weir__queue_name_fault, "a--b", twice);
	BAD(weir__queue_name_fault, "a_-b", twice);
	CHECK(!judge_length(weir__queue_name_fault, 'q', 64));
	CHECK_STR(judge_length(weir__queue_name_fault, 'q', 65),
		  "has more than 64 bytes");
}

TEST(queue_names, a_kind_has_two_bytes_or_more_and_begins_with_a_word)
{
	const char *other = "has something else than letters, digits, _ and "
			    "-[]<>/.\xc2\xb7:+";
	const char *first = "does not begin with a letter, a digit or _";

	GOOD(weir__kind_fault, "azAZ09_", "email", "E2", "__", "a\xc2\xb7",
	     "weir.exec", "list[map<a/b>]", "a:b+c-d", "0.");
	BAD(weir__kind_fault, "", "is empty");
	BAD(weir__kind_fault, "a", "has only one character");
	BAD(weir__kind_fault, ".a", first);
	BAD(weir__kind_fault, "-a", first);
	BAD(weir__kind_fault, "\xc2\xb7x", first);
	BAD(weir__kind_fault, "a b", other);
	BAD(weir__kind_fault, "a,b", other);
	BAD(weir__kind_fault, "a|b", other);
	BAD(weir__kind_fault, "a\xc2", other);
	BAD(weir__kind_fault, "a\xc2\xb8", other);
	BAD(weir__kind_fault, "a\xb7", other);
	CHECK(!judge_length(weir__kind_fault, 'k', 127));
	CHECK_STR(judge_length(weir__kind_fault, 'k', 128),
		  "has more than 127 bytes");
}

TEST(queue_names, a_tag_has_three_bytes_or_more_and_no_comma)
{
	const char *other = "has something else than letters, digits, _ and -";

	BAD(weir__tag_fault, ",ab", other);
	BAD(weir__tag_fault, "ab,", other);
	GOOD(weir__tag_fault, "abc", "a-b", "___", "Customer-42_x");
	BAD(weir__tag_fault, "", "has less than 3 bytes");
	BAD(weir__tag_fault, "ab", "has less than 3 bytes");
	BAD(weir__tag_fault, "a,b", other);
	BAD(weir__tag_fault, "a b", other);
	BAD(weir__tag_fault, "a\"b", other);
	BAD(weir__tag_fault, "-ab", "begins or ends with -");
	BAD(weir__tag_fault, "ab-", "begins or ends with -");
	CHECK(!judge_length(weir__tag_fault, 't', 255));
	CHECK_STR(judge_length(weir__tag_fault, 't', 256),
		  "has more than 255 bytes");
}

TEST(queue_names, a_schedule_is_called_whatever_one_line_can_show)
{
	GOOD(weir__schedule_name_fault, "nightly", "Every morning, 6:00",
	     "\xc3\xbc\xe2\x82\xac");
	BAD(weir__schedule_name_fault, "", "is empty");
	BAD(weir__schedule_name_fault, "a\nb", "has a control character");
	BAD(weir__schedule_name_fault, "a\x7f", "has a control character");
	BAD(weir__schedule_name_fault,
	    "\xc2\x9b"
	    "31m",
	    "has a control character");
	BAD(weir__schedule_name_fault, "a\xff", "is not UTF-8");
	CHECK(!weir__schedule_name_fault("\xc2\xa0", 2));
	CHECK_STR(weir__schedule_name_fault("a\0b", 3),
		  "has a control character");
	CHECK(!judge_length(weir__schedule_name_fault, 's', 127));
	CHECK_STR(judge_length(weir__schedule_name_fault, 's', 128),
		  "has more than 127 bytes");
}

TEST(queue_names, are_shown_on_one_line_and_not_at_length)
{
	char shown[WEIR_NAME_SHOWN_SIZE];
	char full[] = "0123456789012345678901234567890123456789"
		      "\xe2\x82\xac and more";

	CHECK_STR(weir__name_show("", shown), "");
	CHECK_STR(weir__name_show("mail", shown), "mail");
	CHECK_STR(weir__name_show("\x1b[2J\x7f\xc2\x9b\xff\xe2\x82", shown),
		  "?[2J????");
	CHECK_STR(weir__name_show("\xc3\xa4\xc2\xa0\xf0\x9f\x98\x80", shown),
		  "\xc3\xa4\xc2\xa0\xf0\x9f\x98\x80");
	CHECK_STR(weir__name_show(full, shown),
		  "0123456789012345678901234567890123456789"
		  "\xe2\x82\xac...");
	full[40] = '\0';
	CHECK_STR(weir__name_show(full, shown), full);
}

TEST(queue_names, kinds_that_begin_with_weir_and_a_dot_are_ours)
{
	CHECK(weir__kind_is_ours("weir.exec", 9));
	CHECK(weir__kind_is_ours("weir.", 5));
	CHECK(!weir__kind_is_ours("weir.exec", 4));
	CHECK(!weir__kind_is_ours("weird", 5));
	CHECK(!weir__kind_is_ours("Weir.exec", 9));
}
