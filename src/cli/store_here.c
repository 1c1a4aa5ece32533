/*
 * Stores that are files; see store.h.
 */
#include "cli/store.h"

weir_status
weir__cli_store_open(weir_store **out, const weir_store_options *options,
		     weir_error *reterr)
{
	return weir_store_open(out, options, reterr);
}

/* Only who calls weir-queue by its name gets here. */
void
weir__cli_fleet_try(struct weir_cli *cli, const char *db, const char *shown,
		    const weir_error *error)
{
	(void)db;
	(void)error;
	weir__cli_try(cli, "weir %s%s", cli->command->name, shown);
}
