/*
 * Places; see places.h.
 *
 * Design: every part of an item is a piece of it, so nothing is copied here;
 * but the directory of a name without one is "." as for dirname(1).
 */
#include "exec/places.h"

#include "base/assert.h"

#include <string.h>

#define DIGITS_MAX 6

/* "12" or "-12", not "0" and not "012".  Where it ends; text if it is none. */
static const char *
read_index(const char *text, int32_t *ret)
{
	const char *at = text + (*text == '-');
	const char *end = at + strspn(at, "0123456789");
	int32_t index = 0;

	*ret = 0;
	if (end == at || *at == '0' || end - at > DIGITS_MAX)
		return text;
	for (; at < end; at++)
		index = index * 10 + (*at - '0');
	*ret = *text == '-' ? -index : index;
	return end;
}

bool
weir__place_read(const char *text, const char *replace, struct weir_place *ret,
		 size_t *ret_len)
{
	static const struct {
		const char *text;
		enum weir_place_what what;
	} ends[] = {
		{"}", WEIR_PLACE_ITEM},        {".}", WEIR_PLACE_STEM},
		{"/}", WEIR_PLACE_BASE},       {"//}", WEIR_PLACE_DIR},
		{"/.}", WEIR_PLACE_BASE_STEM}, {"#}", WEIR_PLACE_SEQ},
		{"%}", WEIR_PLACE_SLOT},
	};
	const char *at;
	int32_t index;

	if (replace && strncmp(text, replace, strlen(replace)) == 0) {
		*ret = (struct weir_place){WEIR_PLACE_ITEM, 0};
		*ret_len = strlen(replace);
		return true;
	}
	if (*text != '{' || (replace && text[1] == '}'))
		return false;
	at = read_index(text + 1, &index);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct weir_place place = {ends[i].what, index};

		if (strncmp(at, ends[i].text, strlen(ends[i].text)) != 0 ||
		    (index != 0 && !weir__place_is_item(&place)))
			continue;
		*ret = place;
		*ret_len = (size_t)(at - text) + strlen(ends[i].text);
		return true;
	}
	return false;
}

static size_t
without_slashes(const char *text, size_t len)
{
	while (len > 1 && text[len - 1] == '/')
		len--;
	return len;
}

/* As dirname(1), whose "a/b/" is in "a", unlike the last component {/}. */
static const char *
cut_dir(const char *item, size_t *len)
{
	size_t rest = without_slashes(item, *len);
	const char *slash = memrchr(item, '/', rest);

	if (!slash) {
		*len = 1;
		return ".";
	}
	*len = without_slashes(item, (size_t)(slash - item) + 1);
	return item;
}

static const char *
cut_base(const char *item, size_t *len)
{
	const char *slash = memrchr(item, '/', *len);

	if (!slash)
		return item;
	*len -= (size_t)(slash - item) + 1;
	return slash + 1;
}

/* A dot in the last component, even at its beginning, starts an extension. */
static const char *
cut_stem(const char *item, size_t *len)
{
	size_t base_len = *len;
	const char *base = cut_base(item, &base_len);
	const char *dot = memrchr(base, '.', base_len);

	if (dot)
		*len = (size_t)(dot - item);
	return item;
}

const char *
weir__place_cut(enum weir_place_what what, const char *item, size_t *len)
{
	switch (what) {
	case WEIR_PLACE_ITEM:
		return item;
	case WEIR_PLACE_STEM:
		return cut_stem(item, len);
	case WEIR_PLACE_BASE:
		return cut_base(item, len);
	case WEIR_PLACE_DIR:
		return cut_dir(item, len);
	case WEIR_PLACE_BASE_STEM:
		return cut_stem(cut_base(item, len), len);
	case WEIR_PLACE_SEQ:
	case WEIR_PLACE_SLOT:
		break;
	}
	weir_bug("no part of an item");
}
