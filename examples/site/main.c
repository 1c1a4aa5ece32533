/*
 * sample-site: a web site that misbehaves on demand.
 *
 * `make demo` crawls it, and the tests of `weir fetch` ask it for each of the
 * things that go wrong out there.  README.md has the table of its routes.
 */
#include "site.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct options {
	uint64_t port, seed, urls;
	const char *port_file, *base;
	bool print_urls, quiet, die_with_parent, help;
};

static const char usage[] =
	"usage: sample-site [--port N] [--port-file FILE] [--seed N]\n"
	"                   [--quiet] [--die-with-parent]\n"
	"       sample-site --urls N --base URL [--seed N]\n"
	"\n"
	"Serve a small, misbehaving web site on 127.0.0.1.\n"
	"\n"
	"  --port N           listen there; 0, the default, takes a free port\n"
	"  --port-file FILE   write the port into FILE once it is open\n"
	"  --seed N           vary the pages, and the list of --urls\n"
	"  --quiet            do not say where it listens\n"
	"  --die-with-parent  end when the process that started it does\n"
	"  --urls N           print N URLs to fetch, and exit\n"
	"  --base URL         what those URLs begin with\n"
	"  --help             print this, and exit\n";

static bool
parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	if (slice_number((struct slice){text, strlen(text)}, max, ret))
		return true;
	fprintf(stderr, "sample-site: '%s' is not a number up to %" PRIu64 "\n",
		text, max);
	return false;
}

static bool
parse_option(struct options *o, int option)
{
	switch (option) {
	case 'p':
		return parse_number(optarg, 65535, &o->port);
	case 'f':
		o->port_file = optarg;
		return true;
	case 's':
		return parse_number(optarg, UINT64_MAX, &o->seed);
	case 'u':
		o->print_urls = true;
		return parse_number(optarg, UINT64_MAX, &o->urls);
	case 'b':
		o->base = optarg;
		return true;
	case 'q':
		o->quiet = true;
		return true;
	case 'd':
		o->die_with_parent = true;
		return true;
	case 'h':
		o->help = true;
		return true;
	default:
		return false;
	}
}

static bool
parse_options(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{"port", required_argument, NULL, 'p'},
		{"port-file", required_argument, NULL, 'f'},
		{"seed", required_argument, NULL, 's'},
		{"urls", required_argument, NULL, 'u'},
		{"base", required_argument, NULL, 'b'},
		{"quiet", no_argument, NULL, 'q'},
		{"die-with-parent", no_argument, NULL, 'd'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	/* No short options: scripts that use these are read more than typed. */
	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1)
		if (!parse_option(o, option))
			return false;
	return optind == argc && (!o->print_urls || o->base);
}

/*
 * A parent that died before the request for its signal leaves no signal, but
 * it does leave another parent.  (To be exact, the signal comes when the
 * thread that started us ends.)
 */
static bool
die_with_parent(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) {
		perror("sample-site: prctl");
		return false;
	}
	return getppid() == parent;
}

/* Whoever waits for the file must never see half a number in it. */
static bool
write_port_file(const char *path, uint64_t port)
{
	char temporary[4096];
	int len = snprintf(temporary, sizeof(temporary), "%s.%ld.tmp", path,
			   (long)getpid());
	bool ok = false;
	FILE *file = NULL;

	if (len > 0 && (size_t)len < sizeof(temporary))
		file = fopen(temporary, "we");
	if (file) {
		ok = fprintf(file, "%" PRIu64 "\n", port) > 0;
		ok = fclose(file) == 0 && ok;
		ok = ok && rename(temporary, path) == 0;
	}
	if (!ok)
		fprintf(stderr, "sample-site: cannot write %s: %s\n", path,
			strerror(errno));
	return ok;
}

static bool
announce(const struct options *o, const struct site *site)
{
	if (o->port_file && !write_port_file(o->port_file, site->port))
		return false;
	if (o->quiet)
		return true;
	printf("listening on http://127.0.0.1:%" PRIu64 "\n", site->port);
	return fflush(stdout) == 0;
}

/* The site is torn down in full, so that leak checkers have a clean view. */
static int
serve(const struct options *o)
{
	struct site site = {.port = o->port, .seed = o->seed};
	int status = EXIT_FAILURE;

	if (site_init(&site) != 0)
		fprintf(stderr, "sample-site: cannot listen: %s\n",
			strerror(errno));
	else if (!announce(o, &site))
		fprintf(stderr, "sample-site: cannot say where it listens\n");
	else if (site_run(&site) != 0)
		perror("sample-site");
	else
		status = EXIT_SUCCESS;
	site_fini(&site);
	return status;
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	pid_t parent = getppid();

	if (!parse_options(&o, argc, argv)) {
		fputs(usage, stderr);
		return 2;
	}
	if (o.help) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (o.die_with_parent && !die_with_parent(parent))
		return EXIT_FAILURE;
	if (o.print_urls)
		return urls_print(o.urls, o.base, o.seed) == 0 ? EXIT_SUCCESS
							       : EXIT_FAILURE;
	return serve(&o);
}
