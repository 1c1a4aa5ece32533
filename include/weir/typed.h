/*
 * weir/typed.h - channels and pools of your own types.
 *
 * The library moves bytes; these macros make static inline functions over it
 * that know what the bytes are, so that sending the wrong struct is an error
 * of the compiler.  They add nothing at run time and nothing to the ABI.
 *
 *      WEIR_CHAN_TYPE(url_chan, struct url)
 *      WEIR_POOL_TYPE(fetcher, struct url, struct page)
 *
 *      url_chan *ch;                        a struct of its own, opaque
 *      status = url_chan_new(&ch, 64);
 *      status = url_chan_send(ch, &url, ctx);
 *
 *      fetcher *f;
 *      status = fetcher_new(&f, &options);  sets in_size and out_size
 *      status = fetcher_submit(f, &url, &id, ctx);
 *      status = fetcher_next(f, &result, &page, ctx);
 *
 * What the functions do is what the functions they call do; see chan.h and
 * pool.h.  name_untyped() gives the handle for all the others.
 */
#ifndef WEIR_TYPED_H
#define WEIR_TYPED_H

#include <weir/base.h>
#include <weir/chan.h>
#include <weir/ctx.h>
#include <weir/pool.h>

#if defined(__GNUC__)
#define WEIR_TYPED_INLINE static inline __attribute__((unused))
#else
#define WEIR_TYPED_INLINE static inline
#endif

#define WEIR_CHAN_TYPE(name, type)                                             \
	typedef struct name name;                                              \
	WEIR_TYPED_INLINE weir_chan *name##_untyped(name *ch)                  \
	{                                                                      \
		return (weir_chan *)ch;                                        \
	}                                                                      \
	WEIR_TYPED_INLINE weir_status name##_new(name **out, size_t capacity)  \
	{                                                                      \
		weir_chan *ch = NULL;                                          \
		weir_status status =                                           \
			weir_chan_new(&ch, sizeof(type), capacity);            \
		if (status == WEIR_OK)                                         \
			*out = (name *)ch;                                     \
		return status;                                                 \
	}                                                                      \
	WEIR_TYPED_INLINE name *name##_free(name *ch)                          \
	{                                                                      \
		return (name *)weir_chan_free(name##_untyped(ch), NULL, NULL); \
	}                                                                      \
	WEIR_TYPED_INLINE weir_status name##_send(name *ch, const type *elem,  \
						  weir_ctx *ctx)               \
	{                                                                      \
		return weir_chan_send(name##_untyped(ch), elem, ctx);          \
	}                                                                      \
	WEIR_TYPED_INLINE weir_status name##_try_send(name *ch,                \
						      const type *elem)        \
	{                                                                      \
		return weir_chan_try_send(name##_untyped(ch), elem);           \
	}                                                                      \
	WEIR_TYPED_INLINE weir_status name##_recv(name *ch, type *ret_elem,    \
						  weir_ctx *ctx)               \
	{                                                                      \
		return weir_chan_recv(name##_untyped(ch), ret_elem, ctx);      \
	}                                                                      \
	WEIR_TYPED_INLINE weir_status name##_try_recv(name *ch,                \
						      type *ret_elem)          \
	{                                                                      \
		return weir_chan_try_recv(name##_untyped(ch), ret_elem);       \
	}                                                                      \
	WEIR_TYPED_INLINE void name##_close(name *ch)                          \
	{                                                                      \
		weir_chan_close(name##_untyped(ch));                           \
	}                                                                      \
	struct name

#define WEIR_POOL_TYPE(name, in_type, out_type)                           \
	typedef struct name name;                                         \
	WEIR_TYPED_INLINE weir_pool *name##_untyped(name *pool)           \
	{                                                                 \
		return (weir_pool *)pool;                                 \
	}                                                                 \
	WEIR_TYPED_INLINE weir_status name##_new(                         \
		name **out, const weir_pool_options *options)             \
	{                                                                 \
		weir_pool_options typed = *options;                       \
		weir_pool *pool = NULL;                                   \
		weir_status status;                                       \
		typed.in_size = sizeof(in_type);                          \
		typed.out_size = sizeof(out_type);                        \
		status = weir_pool_new(&pool, &typed);                    \
		if (status == WEIR_OK)                                    \
			*out = (name *)pool;                              \
		return status;                                            \
	}                                                                 \
	WEIR_TYPED_INLINE name *name##_free(name *pool)                   \
	{                                                                 \
		return (name *)weir_pool_free(name##_untyped(pool));      \
	}                                                                 \
	WEIR_TYPED_INLINE weir_status name##_submit(                      \
		name *pool, const in_type *in, uint64_t *ret_id,          \
		weir_ctx *ctx)                                            \
	{                                                                 \
		return weir_pool_submit(name##_untyped(pool), in, ret_id, \
					ctx);                             \
	}                                                                 \
	WEIR_TYPED_INLINE weir_status name##_next(                        \
		name *pool, weir_result *ret, out_type *ret_out,          \
		weir_ctx *ctx)                                            \
	{                                                                 \
		return weir_pool_next(name##_untyped(pool), ret, ret_out, \
				      ctx);                               \
	}                                                                 \
	WEIR_TYPED_INLINE void name##_close(name *pool)                   \
	{                                                                 \
		weir_pool_close(name##_untyped(pool));                    \
	}                                                                 \
	struct name

#endif
