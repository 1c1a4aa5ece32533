/*
 * Intrusive doubly linked lists.
 *
 * The links live inside the elements, so that joining and leaving a list takes
 * no memory and cannot fail.  A list head is a link of its own, and an
 * unlinked link points at itself:
 *
 *      head <-> a <-> b <-> head        (empty: head <-> head)
 *
 * Nothing here locks; a list belongs to whoever guards its head.
 */
#ifndef WEIR_SRC_BASE_LIST_H
#define WEIR_SRC_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct weir_list {
	struct weir_list *prev, *next;
};

/* The element of type whose field is the link at ptr. */
#define weir_container_of(ptr, type, field) \
	((type *)(void *)((char *)(ptr)-offsetof(type, field)))

static inline void
weir__list_init(struct weir_list *l)
{
	l->prev = l;
	l->next = l;
}

/* For a head: is the list empty?  For a link: is it in no list? */
static inline bool
weir__list_empty(const struct weir_list *l)
{
	return l->next == l;
}

/* Put link in front of pos; in front of the head is the end of the list. */
static inline void
weir__list_insert_before(struct weir_list *pos, struct weir_list *link)
{
	link->prev = pos->prev;
	link->next = pos;
	pos->prev->next = link;
	pos->prev = link;
}

static inline void
weir__list_append(struct weir_list *head, struct weir_list *link)
{
	weir__list_insert_before(head, link);
}

static inline void
weir__list_prepend(struct weir_list *head, struct weir_list *link)
{
	weir__list_insert_before(head->next, link);
}

/* Take link out of whatever list it is in, none included. */
static inline void
weir__list_remove(struct weir_list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	weir__list_init(link);
}

/* Take the first link out and return it, or NULL when there is none. */
static inline struct weir_list *
weir__list_pop(struct weir_list *head)
{
	struct weir_list *first = head->next;

	if (first == head)
		return NULL;
	weir__list_remove(first);
	return first;
}

/* Append all that is in from to head, in order; from is empty then. */
static inline void
weir__list_splice(struct weir_list *head, struct weir_list *from)
{
	if (weir__list_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	weir__list_init(from);
}

#endif
