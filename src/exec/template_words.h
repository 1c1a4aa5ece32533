/*
 * A template from inside: words, cut into pieces.  Only template.c, which
 * makes it, and make.c, which makes commands by it, look in here.
 */
#ifndef WEIR_SRC_EXEC_TEMPLATE_WORDS_H
#define WEIR_SRC_EXEC_TEMPLATE_WORDS_H

#include "exec/places.h"
#include "exec/template.h"

/* Literal text, or a place if text is NULL. */
struct weir_piece {
	const char *text;
	size_t len;
	struct weir_place place;
};

struct weir_word {
	size_t first, count; /* of pieces */
};

struct weir_template {
	char *script; /* what pieces point to, with `shell` */
	const char *program;
	struct weir_word *words;
	struct weir_piece *pieces;
	size_t word_count, piece_count;
	/* bytes of arguments, with a pointer for each, the system takes */
	size_t bytes_max;
	size_t room;
};

#endif
