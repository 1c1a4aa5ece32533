/*
 * Compressed bodies, honest and otherwise.
 *
 * They are sent compressed whether or not the client said that it takes that:
 * a client that did not has to cope, and a test of one that did need not
 * arrange for it.
 */
#include "routes.h"
#include "base/assert.h"

#include <inttypes.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib's way of asking for a gzip header */
#define GZIP_MAX    (4u << 20)
#define GZIP_BROKEN 65536u
#define BOMB_MAX    (UINT64_C(1) << 24) /* MiB; 16 TiB will do */
/* Zeros compressed at a time, so that others are not kept waiting long. */
#define ZEROS_MAX 65536u

/* Compress bytes 0 .. size - 1 of the document; data is NULL on failure. */
static struct text
compress_document(uint64_t size)
{
	struct text plain = {0}, packed = {0};
	z_stream z = {0};

	body_append(&plain, '0', 0, size);
	if (plain.failed || deflateInit2(&z, 6, Z_DEFLATED, GZIP_WINDOW, 8,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		goto out;
	if (text_reserve(&packed, deflateBound(&z, size))) {
		z.next_in = (unsigned char *)plain.data;
		z.avail_in = (unsigned)plain.len;
		z.next_out = (unsigned char *)packed.data;
		z.avail_out = (unsigned)packed.capacity;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END)
			packed.len = z.total_out;
	}
	deflateEnd(&z);
out:
	text_fini(&plain);
	return packed;
}

static void
respond_packed(struct exchange *x, struct text *packed)
{
	respond(x, 200);
	respond_field(x, "Content-Encoding: gzip");
	respond_body(x, "text/plain",
		     (struct slice){packed->data, packed->len});
	x->response->out.failed |= packed->len == 0;
	text_fini(packed);
}

void
route_gzip(struct exchange *x)
{
	struct text packed;
	uint64_t size;

	if (!route_number(x, 0, GZIP_MAX, &size))
		return;
	packed = compress_document(size);
	respond_packed(x, &packed);
}

/* Head and trailer are right; a stretch in the middle is not. */
void
route_gzip_broken(struct exchange *x)
{
	struct text packed = compress_document(GZIP_BROKEN);
	size_t middle = packed.len / 2;

	for (size_t i = middle; i < middle + 32 && i < packed.len; i++)
		packed.data[i] = (char)~packed.data[i];
	respond_packed(x, &packed);
}

static void
bomb_free(void *state)
{
	z_stream *z = state;

	deflateEnd(z);
	free(z);
}

/*
 * Compress the next zeros into r->out.  Returns false at the end of the gzip
 * stream.
 */
static bool
bomb_deflate(struct response *r, z_stream *z)
{
	static const unsigned char zeros[ZEROS_MAX];
	uint64_t take = r->end - r->at;
	int result;

	if (take > ZEROS_MAX)
		take = ZEROS_MAX;
	/* deflate() reads through it only; zlib is built without const. */
	z->next_in = (unsigned char *)(uintptr_t)zeros;
	z->avail_in = (unsigned)take;
	z->next_out = (unsigned char *)r->out.data + r->out.len;
	z->avail_out = PIECE_MAX;
	result = deflate(z, r->at + take == r->end ? Z_FINISH : Z_NO_FLUSH);
	r->at += take - z->avail_in;
	r->out.len += PIECE_MAX - z->avail_out;
	weir_assert(result == Z_OK || result == Z_STREAM_END);
	return result == Z_OK;
}

/* deflate() holds back its output; go on until there is enough to send. */
static bool
bomb_more(struct response *r)
{
	bool on = true;

	for (int i = 0; on && r->out.len == 0 && i < 64; i++) {
		if (!text_reserve(&r->out, PIECE_MAX))
			return false;
		on = bomb_deflate(r, r->state);
	}
	return on;
}

/*
 * The length is not known beforehand, so this one is closed at its end.  (In
 * chunks it would be no more than a detour for what it is to show.)
 */
void
route_gzip_bomb(struct exchange *x)
{
	z_stream *z;
	uint64_t mib;

	if (!route_number(x, 0, BOMB_MAX, &mib))
		return;
	z = calloc(1, sizeof(*z));
	if (!z || deflateInit2(z, 9, Z_DEFLATED, GZIP_WINDOW, 8,
			       Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		x->response->status = 500;
		x->response->out.failed = true;
		return;
	}
	respond(x, 200);
	respond_field(x, "Content-Type: application/octet-stream");
	respond_field(x, "Content-Encoding: gzip");
	respond_stream(x, bomb_more, 0, mib << 20);
	x->response->state = z;
	x->response->state_free = bomb_free;
	x->response->ending = END_CLOSE;
}
