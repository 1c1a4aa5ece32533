/*
 * Documents: made, freed, told apart, failed.
 */
#include "doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct doc *
doc_new(const char *path)
{
	struct doc *doc = calloc(1, sizeof(*doc));

	if (!doc)
		return NULL;
	doc->fd = -1;
	doc->path = strdup(path);
	if (!doc->path) {
		free(doc);
		return NULL;
	}
	return doc;
}

void
doc_close(struct doc *doc)
{
	if (doc->fd >= 0)
		(void)close(doc->fd);
	doc->fd = -1;
}

void
doc_free(struct doc *doc)
{
	if (!doc)
		return;
	doc_close(doc);
	text_fini(&doc->text);
	free(doc->chunks);
	free(doc->vectors);
	free(doc->path);
	free(doc);
}

static const struct {
	const char *extension;
	enum doc_kind kind;
} kinds[] = {
	{".pdf", DOC_PDF},      {".txt", DOC_TEXT},
	{".text", DOC_TEXT},    {".md", DOC_MARKDOWN},
	{".mkd", DOC_MARKDOWN}, {".markdown", DOC_MARKDOWN},
};

bool
doc_kind_of(const char *name, enum doc_kind *ret)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcasecmp(dot, kinds[i].extension) != 0)
			continue;
		*ret = kinds[i].kind;
		return true;
	}
	return false;
}

const char *
doc_kind_name(enum doc_kind kind)
{
	switch (kind) {
	case DOC_TEXT:
		return "text";
	case DOC_MARKDOWN:
		return "markdown";
	case DOC_PDF:
		return "pdf";
	}
	return "unknown";
}

weir_status
doc_fail(struct doc *doc, weir_ctx *ctx, weir_status status, const char *reason,
	 const char *format, ...)
{
	char message[WEIR_ERROR_MAX];
	va_list args;

	snprintf(doc->reason, sizeof(doc->reason), "%s", reason);
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return weir_job_fail(ctx, status, "%s", message);
}
