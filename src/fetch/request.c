/*
 * Giving requests and outcomes back; see request.h.
 */
#include "fetch/request.h"

#include <curl/curl.h>
#include <stdlib.h>

void
weir__fetch_request_free(struct weir_fetch_request *request)
{
	if (!request)
		return;
	curl_slist_free_all(request->headers);
	free(request);
}

void
weir__fetch_outcome_fini(struct weir_fetch_outcome *outcome)
{
	free(outcome->final_url);
	free(outcome->file);
	outcome->final_url = NULL;
	outcome->file = NULL;
	weir__buf_fini(&outcome->body);
}
