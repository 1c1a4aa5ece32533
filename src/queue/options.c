/*
 * The options that a store is opened with; see options.h.
 */
#include "queue/options.h"

#include "base/assert.h"
#include "base/options.h"
#include "queue/store.h"

#include <string.h>

/* A url beyond it is no path: PATH_MAX, and a scheme. */
#define URL_MAX 8192

static weir_status
check(const weir_store_options *o, weir_error *reterr)
{
	if (!o->url)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the store has no url");
	if (strnlen(o->url, URL_MAX + 1) > URL_MAX)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the url of the store is too long");
	if (o->read_only && (o->create || o->migrate))
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "a store cannot be made or migrated "
					 "read_only");
	if (o->durability != WEIR_DURABLE_POWER &&
	    o->durability != WEIR_DURABLE_PROCESS)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "no such durability");
	if (o->busy_ns < 0)
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "busy_ns is negative");
	return WEIR_OK;
}

weir_status
weir__store_options_take(weir_store_options *ret, weir_store **out,
			 const weir_store_options *options, weir_error *reterr)
{
	weir_store_options ours = {0};
	weir_status status;

	if (!out || !options ||
	    !weir__options_copy(&ours, sizeof(ours), options, options->size,
				sizeof(size_t)))
		return weir__queue_error(reterr, WEIR_INVAL, 0,
					 "the options of the store have no "
					 "size that is known");
	status = check(&ours, reterr);
	if (status != WEIR_OK)
		return status;
	if (ours.busy_ns == 0)
		ours.busy_ns = WEIR_STORE_BUSY_NS;
	weir_assert(ours.busy_ns > 0);
	*ret = ours;
	return WEIR_OK;
}
