/*
 * Parameters of a statement, in PostgreSQL's binary form.
 *
 * All of them lie one behind the other in one buffer, which is kept from
 * statement to statement, so that the steady state allocates nothing.  In an
 * array each element has its length in front, as the wire wants it; its header
 * (one dimension, from 1) is written first, because its size is known.
 *
 * Sources: the send and recv functions of src/backend/utils/adt, and
 * "Array Types" in the documentation of the frontend/backend protocol.
 */
#include "pg/pg.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

/* 2000-01-01 in milliseconds since 1970: PostgreSQL counts from there. */
#define EPOCH_MS INT64_C(946684800000)

void
weir__pg_begin(struct pg_params *p)
{
	p->count = 0;
	p->in_array = false;
	weir__buf_reset(&p->bytes);
}

void
weir__pg_params_fini(struct pg_params *p)
{
	weir__buf_fini(&p->bytes);
}

static void
put_u32(struct weir_buf *buf, uint32_t value)
{
	const unsigned char bytes[4] = {
		(unsigned char)(value >> 24), (unsigned char)(value >> 16),
		(unsigned char)(value >> 8), (unsigned char)value};

	weir__buf_append(buf, bytes, sizeof(bytes));
}

static void
put_u64(struct weir_buf *buf, uint64_t value)
{
	put_u32(buf, (uint32_t)(value >> 32));
	put_u32(buf, (uint32_t)value);
}

/* A value of len bytes begins; of a negative len it is NULL. */
static void
begin_value(struct pg_params *p, enum pg_type type, int len)
{
	if (p->in_array) {
		put_u32(&p->bytes, (uint32_t)len);
		return;
	}
	weir_assert(p->count < PG_PARAMS_MAX);
	p->types[p->count] = type;
	p->at[p->count] = p->bytes.len;
	p->lengths[p->count] = len < 0 ? 0 : len;
	p->nulls[p->count] = len < 0;
	p->count++;
}

void
weir__pg_bool(struct pg_params *p, bool value)
{
	begin_value(p, PG_BOOL, 1);
	weir__buf_putc(&p->bytes, value ? 1 : 0);
}

void
weir__pg_int2(struct pg_params *p, int value)
{
	begin_value(p, PG_INT2, 2);
	weir__buf_putc(&p->bytes, (char)((unsigned)value >> 8));
	weir__buf_putc(&p->bytes, (char)value);
}

void
weir__pg_int4(struct pg_params *p, int32_t value)
{
	begin_value(p, PG_INT4, 4);
	put_u32(&p->bytes, (uint32_t)value);
}

void
weir__pg_int8(struct pg_params *p, int64_t value)
{
	begin_value(p, PG_INT8, 8);
	put_u64(&p->bytes, (uint64_t)value);
}

void
weir__pg_float8(struct pg_params *p, double value)
{
	uint64_t bits;

	static_assert(sizeof(bits) == sizeof(value), "IEEE 754");
	memcpy(&bits, &value, sizeof(bits));
	begin_value(p, PG_FLOAT8, 8);
	put_u64(&p->bytes, bits);
}

void
weir__pg_time(struct pg_params *p, int64_t ms)
{
	if (ms == PG_NO_TIME) {
		begin_value(p, PG_TIMESTAMPTZ, -1);
		return;
	}
	begin_value(p, PG_TIMESTAMPTZ, 8);
	put_u64(&p->bytes, (uint64_t)((ms - EPOCH_MS) * 1000));
}

static void
put_bytes(struct pg_params *p, enum pg_type type, const void *bytes, size_t len)
{
	weir_assert(len < INT32_MAX);
	begin_value(p, type, bytes ? (int)len : -1);
	if (bytes)
		weir__buf_append(&p->bytes, bytes, len);
}

void
weir__pg_text(struct pg_params *p, const char *text, size_t len)
{
	put_bytes(p, PG_TEXT, text, len);
}

void
weir__pg_bytes(struct pg_params *p, const void *bytes, size_t len)
{
	put_bytes(p, PG_BYTEA, bytes, len);
}

/* A version in front of the text. */
void
weir__pg_json(struct pg_params *p, const char *json, size_t len)
{
	weir_assert(len < INT32_MAX - 1);
	begin_value(p, PG_JSONB, json ? (int)len + 1 : -1);
	if (!json)
		return;
	weir__buf_putc(&p->bytes, 1);
	weir__buf_append(&p->bytes, json, len);
}

/*
 * The number of bits, then the bits, the first of which is the highest: River
 * writes the value 245 as '11110101'.
 */
void
weir__pg_bits(struct pg_params *p, bool is_null, uint32_t value)
{
	begin_value(p, PG_BIT, is_null ? -1 : 5);
	if (is_null)
		return;
	put_u32(&p->bytes, 8);
	weir__buf_putc(&p->bytes, (char)value);
}

/* The type of an array of these. */
static Oid
array_of(enum pg_type element)
{
	switch (element) {
	case PG_BOOL:
		return 1000;
	case PG_BYTEA:
		return 1001;
	case PG_INT2:
		return 1005;
	case PG_INT4:
		return 1007;
	case PG_TEXT:
		return 1009;
	case PG_FLOAT8:
		return 1022;
	case PG_INT8:
		return 1016;
	case PG_TIMESTAMPTZ:
		return 1185;
	case PG_BIT:
		return 1561;
	case PG_JSONB:
		return 3807;
	}
	weir_bug("no such type");
}

void
weir__pg_array_begin(struct pg_params *p, enum pg_type element, size_t count)
{
	weir_assert(!p->in_array && count < INT32_MAX);
	begin_value(p, (enum pg_type)array_of(element), 0);
	put_u32(&p->bytes, count > 0); /* dimensions */
	put_u32(&p->bytes, 1);         /* there may be NULLs */
	put_u32(&p->bytes, element);
	if (count > 0) {
		put_u32(&p->bytes, (uint32_t)count);
		put_u32(&p->bytes, 1); /* the first index */
	}
	p->in_array = true;
}

void
weir__pg_array_end(struct pg_params *p)
{
	size_t at = p->at[p->count - 1];

	weir_assert(p->in_array);
	p->in_array = false;
	weir_assert(p->bytes.len - at < INT32_MAX);
	p->lengths[p->count - 1] = (int)(p->bytes.len - at);
}

void
weir__pg_now(struct pg_params *p, const struct weir_pg *store)
{
	weir__pg_time(p, store->has_clock ? weir__store_now_ms(&store->base)
					  : PG_NO_TIME);
}

static uint64_t
get_u64(const char *bytes, int len)
{
	uint64_t value = 0;

	for (int i = 0; i < len; i++)
		value = value << 8 | (unsigned char)bytes[i];
	return value;
}

bool
weir__pg_is_null(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) != 0;
}

int64_t
weir__pg_get_int(const PGresult *result, int row, int column)
{
	int len = PQgetlength(result, row, column);
	uint64_t value = get_u64(PQgetvalue(result, row, column), len);

	if (weir__pg_is_null(result, row, column))
		return 0;
	if (len == 2)
		return (int16_t)value;
	if (len == 4)
		return (int32_t)value;
	weir_assert(len == 8);
	return (int64_t)value;
}

double
weir__pg_get_float8(const PGresult *result, int row, int column)
{
	double value = 0;
	uint64_t bits;

	if (weir__pg_is_null(result, row, column))
		return value;
	weir_assert(PQgetlength(result, row, column) == 8);
	bits = get_u64(PQgetvalue(result, row, column), 8);
	memcpy(&value, &bits, sizeof(value));
	return value;
}

bool
weir__pg_get_bool(const PGresult *result, int row, int column)
{
	return PQgetlength(result, row, column) == 1 &&
	       PQgetvalue(result, row, column)[0] != 0;
}

int64_t
weir__pg_get_ms(const PGresult *result, int row, int column)
{
	int64_t us = weir__pg_get_int(result, row, column);

	if (weir__pg_is_null(result, row, column))
		return PG_NO_TIME;
	/* Down, also before 2000. */
	return (us >= 0 ? us / 1000 : -((-us + 999) / 1000)) + EPOCH_MS;
}

const char *
weir__pg_get_text(const PGresult *result, int row, int column, size_t *ret_len)
{
	const char *value = PQgetvalue(result, row, column);
	size_t len = (size_t)PQgetlength(result, row, column);

	if (len > 0 && PQftype(result, column) == PG_JSONB) {
		weir_assert(value[0] == 1);
		value++;
		len--;
	}
	*ret_len = len;
	return value;
}

uint64_t
weir__pg_changed(const PGresult *result)
{
	/* It asks for a result that it may change, and does not. */
	const char *count =
		PQcmdTuples((PGresult *)(uintptr_t)(const void *)result);

	return strtoull(count, NULL, 10);
}
