#include <stdio.h>
#include <weir/weir.h>

static weir_status
is_prime(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const long n = *(const long *)in;
	int *prime = out;

	(void)user;
	if (n < 2)
		return weir_job_fail(ctx, WEIR_PERMANENT, "too small");
	*prime = 1;
	for (long d = 2; d <= n / d && *prime; d++)
		*prime = n % d != 0;
	return WEIR_OK;
}

int
main(void)
{
	const long in[4] = {1, 1000003, 1000005, 1000000007};
	int out[4];
	weir_result results[4];
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	weir_status status;

	options.workers = 4;
	options.in_size = sizeof(in[0]);
	options.out_size = sizeof(out[0]);
	options.run = is_prime;
	status = weir_pool_map(&options, in, out, results, 4, NULL);
	for (int i = 0; i < 4; i++)
		printf("%ld: %s\n", in[i],
		       results[i].status != WEIR_OK ? results[i].error
		       : out[i]                     ? "prime"
						    : "not prime");
	return status == WEIR_FAILED ? 0 : 1; /* one job was to fail */
}
