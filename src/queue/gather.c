/*
 * Rows on their way into a batch.
 *
 * Design.  How many there will be is not known before the last one, and the
 * buffer of texts moves as it grows.  So rows are gathered with offsets in
 * place of pointers (plus one, so that 0 is "no text"), in memory that is kept
 * from turn to turn, and made into a batch at the end.
 */
#include "queue/gather.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS 8

/* Where the texts of a row are, and their lengths, if those are kept. */
struct text {
	const char **at;
	size_t len;
};

static void
texts_of(weir_job_row *row, struct text texts[TEXTS])
{
	texts[0] = (struct text){&row->queue, 0};
	texts[1] = (struct text){&row->kind, 0};
	texts[2] = (struct text){&row->attempted_by, 0};
	texts[3] = (struct text){&row->args, row->args_len};
	texts[4] = (struct text){&row->metadata, row->metadata_len};
	texts[5] = (struct text){&row->tags, row->tags_len};
	texts[6] = (struct text){&row->errors, row->errors_len};
	texts[7] = (struct text){&row->output, row->output_len};
}

void
weir__gather_begin(struct weir_gather *gather)
{
	gather->count = 0;
	weir__buf_reset(&gather->texts);
}

void
weir__gather_fini(struct weir_gather *gather)
{
	free(gather->rows);
	weir__buf_fini(&gather->texts);
	memset(gather, 0, sizeof(*gather));
}

static bool
grow(struct weir_gather *gather)
{
	size_t cap = gather->cap > 0 ? gather->cap * 2 : 16;
	weir_job_row *rows = realloc(gather->rows, cap * sizeof(*rows));

	if (!rows)
		return false;
	gather->rows = rows;
	gather->cap = cap;
	return true;
}

/* The offset of a copy, as a pointer. */
static const char *
put(struct weir_buf *buf, const char *text, size_t len)
{
	size_t offset = buf->len;

	/* A text with a length may begin with a NUL: not one of ours. */
	if (len == 0 && !*text)
		return NULL;
	weir__buf_append(buf, text, len ? len : strlen(text));
	weir__buf_putc(buf, '\0');
	return (const char *)(uintptr_t)(offset + 1);
}

static bool
is_same(const struct weir_gather *gather, const char *offset, const char *text)
{
	return offset &&
	       strcmp(gather->texts.data + (uintptr_t)offset - 1, text) == 0;
}

bool
weir__gather_add(struct weir_gather *gather, const weir_job_row *row)
{
	const weir_job_row *before;
	struct text texts[TEXTS];
	weir_job_row *copy;

	if (gather->count == gather->cap && !grow(gather))
		return false;
	copy = &gather->rows[gather->count];
	before = gather->count > 0 ? copy - 1 : NULL;
	*copy = *row;
	texts_of(copy, texts);
	for (int i = 0; i < TEXTS; i++) {
		const char *text = *texts[i].at;

		/* Mostly all of a batch are of one queue and one kind. */
		if (i == 0 && before &&
		    is_same(gather, before->queue, row->queue))
			*texts[i].at = before->queue;
		else if (i == 1 && before &&
			 is_same(gather, before->kind, row->kind))
			*texts[i].at = before->kind;
		else
			*texts[i].at = put(&gather->texts, text, texts[i].len);
	}
	if (row->unique_key) {
		copy->unique_key =
			(const unsigned char *)(uintptr_t)(gather->texts.len +
							   1);
		weir__buf_append(&gather->texts, row->unique_key, 32);
	}
	gather->count++;
	return !gather->texts.failed;
}

static void
fix(weir_job_row *row, const char *base)
{
	struct text texts[TEXTS];

	texts_of(row, texts);
	for (int i = 0; i < TEXTS; i++)
		*texts[i].at =
			*texts[i].at ? base + (uintptr_t)*texts[i].at - 1 : "";
	if (row->unique_key)
		row->unique_key = (const unsigned char *)base +
				  (uintptr_t)row->unique_key - 1;
}

struct weir_batch *
weir__gather_batch(struct weir_gather *gather)
{
	struct weir_batch *batch;

	if (gather->count == 0)
		return NULL;
	weir_assert(!gather->texts.failed);
	batch = weir__batch_new(gather->count);
	if (!batch)
		return NULL;
	weir__buf_append(&batch->texts, weir__buf_str(&gather->texts),
			 gather->texts.len);
	if (batch->texts.failed) {
		/* The last one takes the batch along. */
		for (size_t i = 0; i < gather->count; i++)
			weir__claim_free(&batch->claims[i]);
		return NULL;
	}
	for (size_t i = 0; i < batch->count; i++) {
		batch->claims[i].row = gather->rows[i];
		fix(&batch->claims[i].row, weir__buf_str(&batch->texts));
	}
	return batch;
}
