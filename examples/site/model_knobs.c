/*
 * The knobs of model.h: from a path segment to numbers.
 *
 * What is misspelt must not pass for "none": a test that asks for trouble and
 * gets none would succeed for the wrong reason.
 */
#include "model.h"
#include "embed.h"

#define TIME_MS_MAX  (24u * 3600 * 1000)
#define RETRY_S_MAX  (400u * 86400)
#define NTH_MAX      UINT32_MAX
#define INPUTS_MAX   2048u
#define DIMS_DEFAULT 384u
#define KNOB(name)   offsetof(struct knobs, name)

static const struct number_knob {
	const char *name;
	size_t offset;
	uint64_t min, max;
} number_knobs[] = {
	{"dims", KNOB(dims), 1, EMBED_DIMS_MAX},
	{"latency", KNOB(latency_ms), 0, TIME_MS_MAX},
	{"jitter", KNOB(jitter_ms), 0, TIME_MS_MAX},
	{"429", KNOB(every_429), 1, NTH_MAX},
	{"503", KNOB(every_503), 1, NTH_MAX},
	{"500", KNOB(every_500), 1, NTH_MAX},
	{"down", KNOB(down), 0, NTH_MAX},
	{"cut", KNOB(every_cut), 1, NTH_MAX},
	{"garbage", KNOB(every_garbage), 1, NTH_MAX},
	{"short", KNOB(every_short), 1, NTH_MAX},
	{"wrong-dims", KNOB(every_wrong_dims), 1, NTH_MAX},
	{"nan", KNOB(every_nan), 1, NTH_MAX},
	{"max-inputs", KNOB(max_inputs), 1, INPUTS_MAX},
};

const char knobs_usage[] =
	"/model/KNOBS/v1/embeddings or .../models; KNOBS is - or a list of "
	"dims=N,latency=MS,jitter=MS,key=TEXT,429=N,503=N,500=N,"
	"retry-after=S,retry-after=date,down=N,cut=N,garbage=N,short=N,"
	"wrong-dims=N,nan=N,shuffle,reject=TEXT,max-inputs=N";

static bool
parse_retry_after(struct knobs *ret, struct slice value)
{
	ret->retry_after_date = slice_is(value, "date");
	return ret->retry_after_date ||
	       slice_number(value, RETRY_S_MAX, &ret->retry_after_s);
}

static bool
parse_text(struct slice *ret, struct slice value)
{
	*ret = value;
	return value.len > 0;
}

static bool
parse_number(struct knobs *ret, struct slice name, struct slice value)
{
	size_t len = sizeof(number_knobs) / sizeof(number_knobs[0]);

	for (size_t i = 0; i < len; i++) {
		const struct number_knob *knob = &number_knobs[i];
		void *to = (char *)ret + knob->offset;
		uint64_t n;

		if (!slice_is(name, knob->name))
			continue;
		if (!slice_number(value, knob->max, &n) || n < knob->min)
			return false;
		*(uint64_t *)to = n;
		return true;
	}
	return false;
}

static bool
parse_knob(struct knobs *ret, struct slice knob)
{
	struct slice value = knob;
	struct slice name = slice_cut(&value, '=');

	/* The one without a value; "shuffle=" is not it. */
	if (slice_is(knob, "shuffle"))
		return ret->shuffle = true;
	if (slice_is(name, "key"))
		return parse_text(&ret->key, value);
	if (slice_is(name, "reject"))
		return parse_text(&ret->reject, value);
	if (slice_is(name, "retry-after"))
		return parse_retry_after(ret, value);
	return parse_number(ret, name, value);
}

bool
knobs_parse(struct knobs *ret, struct slice list)
{
	*ret = (struct knobs){
		.dims = DIMS_DEFAULT,
		.max_inputs = INPUTS_MAX,
		.retry_after_s = 1,
	};
	if (slice_is(list, "-"))
		return true;
	while (list.len > 0)
		if (!parse_knob(ret, slice_cut(&list, ',')))
			return false;
	return true;
}
