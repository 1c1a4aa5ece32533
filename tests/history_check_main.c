/*
 * history-check FILE...: judge histories.  Says what is wrong on stdout, then
 * the counts of each; exit status 1 if any promise was broken.
 */
#include "history_check.h"

int
main(int argc, char **argv)
{
	bool good = argc > 1;

	for (int i = 1; i < argc; i++) {
		struct history_verdict verdict;
		FILE *in = fopen(argv[i], "re");

		if (!in) {
			perror(argv[i]);
			return 2;
		}
		good &= history_check(in, stdout, &verdict);
		history_print(&verdict, stdout);
		(void)fclose(in);
	}
	return !good;
}
