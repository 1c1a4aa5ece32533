/*
 * JSON as Go writes it; see go_text.h.
 *
 * Design: a string is read byte by byte with its escapes undone, and each byte
 * is written with Go's escape if it has one.  That takes longer than copying
 * what needs no change, and cannot be wrong about what that is.
 */
#include "queue/go_text.h"

#include "base/assert.h"
#include "base/json_text.h"

#include <string.h>

/* What stands for c in a string of Go's, or NULL: c itself. */
static const char *
go_escape(unsigned char c, char room[8])
{
	static const char digits[] = "0123456789abcdef";

	switch (c) {
	case '"':
		return "\\\"";
	case '\\':
		return "\\\\";
	case '\b':
		return "\\b";
	case '\f':
		return "\\f";
	case '\n':
		return "\\n";
	case '\r':
		return "\\r";
	case '\t':
		return "\\t";
	default:
		/* The three are for those who put JSON into HTML. */
		if (c >= 0x20 && c != '<' && c != '>' && c != '&')
			return NULL;
		memcpy(room, "\\u00", 4);
		room[4] = digits[c >> 4];
		room[5] = digits[c & 0xf];
		room[6] = '\0';
		return room;
	}
}

/*
 * U+2028 and U+2029 are line ends in old JavaScript, so Go escapes them.  Both
 * begin with E2, which was read; what follows are two more bytes of whatever
 * character it is.
 */
static void
put_e2(struct weir_buf *buf, struct weir_json_text *text)
{
	unsigned char second = weir__json_text_next(text);
	unsigned char third = weir__json_text_next(text);

	weir_assert(second >= 0x80 && third >= 0x80);
	if (second == 0x80 && third == 0xa8) {
		weir__buf_puts(buf, "\\u2028");
	} else if (second == 0x80 && third == 0xa9) {
		weir__buf_puts(buf, "\\u2029");
	} else {
		weir__buf_putc(buf, '\xe2');
		weir__buf_putc(buf, (char)second);
		weir__buf_putc(buf, (char)third);
	}
}

void
weir__go_string(struct weir_buf *buf, struct weir_spelled string)
{
	struct weir_json_text text;
	unsigned char c;
	char room[8];

	weir__json_text_init(&text, string.at, string.len);
	weir__buf_putc(buf, '"');
	while ((c = weir__json_text_next(&text)) != 0) {
		const char *escape = go_escape(c, room);

		if (escape)
			weir__buf_puts(buf, escape);
		else if (c == 0xe2)
			put_e2(buf, &text);
		else
			weir__buf_putc(buf, (char)c);
	}
	weir__buf_putc(buf, '"');
}

/* Nothing in it but 0x20 to 0x7f, and neither " nor \? */
static bool
is_simple(struct weir_spelled string)
{
	struct weir_json_text text;
	unsigned char c;

	weir__json_text_init(&text, string.at, string.len);
	while ((c = weir__json_text_next(&text)) != 0)
		if (c < 0x20 || c > 0x7f || c == '"' || c == '\\')
			return false;
	return true;
}

void
weir__go_name(struct weir_buf *buf, struct weir_spelled name)
{
	struct weir_json_text text;
	unsigned char c;

	if (!is_simple(name)) {
		weir__go_string(buf, name);
		return;
	}
	weir__json_text_init(&text, name.at, name.len);
	weir__buf_putc(buf, '"');
	while ((c = weir__json_text_next(&text)) != 0)
		weir__buf_putc(buf, (char)c);
	weir__buf_putc(buf, '"');
}

/* The string that begins with the quote at `at`. */
static struct weir_spelled
string_at(const char *at, const char *end)
{
	struct weir_spelled string = {.at = at + 1};

	weir_assert(at < end && *at == '"');
	at++;
	while (at < end && *at != '"')
		at += *at == '\\' ? 2 : 1;
	weir_assert(at < end);
	string.len = (size_t)(at - string.at);
	return string;
}

void
weir__go_value(struct weir_buf *buf, const char *value, size_t len)
{
	const char *end = value + len;

	for (const char *at = value; at < end; at++) {
		struct weir_spelled string;

		switch (*at) {
		case ' ':
		case '\t':
		case '\n':
		case '\r':
			break;
		case '"':
			string = string_at(at, end);
			weir__go_string(buf, string);
			at = string.at + string.len; /* its last quote */
			break;
		default:
			weir__buf_putc(buf, *at);
		}
	}
}
