#include "base/list.h"
#include "harness.h"

struct item {
	int value;
	struct weir_list link;
};

static int
value_of(struct weir_list *link)
{
	return link ? weir_container_of(link, struct item, link)->value : -1;
}

TEST(list, is_empty_at_first)
{
	struct weir_list head;

	weir__list_init(&head);
	CHECK(weir__list_empty(&head));
	CHECK(weir__list_pop(&head) == NULL);
}

TEST(list, pops_in_the_order_of_appending)
{
	struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 0};
	struct weir_list head;

	weir__list_init(&head);
	weir__list_append(&head, &a.link);
	weir__list_append(&head, &b.link);
	weir__list_prepend(&head, &c.link);
	for (int i = 0; i < 3; i++)
		CHECK_EQ_INT(value_of(weir__list_pop(&head)), i);
	CHECK(weir__list_empty(&head));
}

TEST(list, inserts_before_a_place)
{
	struct item a = {.value = 0}, b = {.value = 2}, c = {.value = 1};
	struct weir_list head;

	weir__list_init(&head);
	weir__list_append(&head, &a.link);
	weir__list_append(&head, &b.link);
	weir__list_insert_before(&b.link, &c.link);
	for (int i = 0; i < 3; i++)
		CHECK_EQ_INT(value_of(weir__list_pop(&head)), i);
}

TEST(list, an_element_leaves_from_the_middle_and_may_leave_twice)
{
	struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
	struct weir_list head;

	weir__list_init(&head);
	for (int i = 0; i < 3; i++)
		weir__list_append(&head, &items[i].link);
	weir__list_remove(&items[1].link);
	weir__list_remove(&items[1].link);
	CHECK(weir__list_empty(&items[1].link));
	CHECK_EQ_INT(value_of(weir__list_pop(&head)), 0);
	CHECK_EQ_INT(value_of(weir__list_pop(&head)), 2);
	CHECK(weir__list_empty(&head));
}

TEST(list, splicing_appends_all_in_order_and_leaves_nothing)
{
	struct weir_list a, b, links[4], *link;

	weir__list_init(&a);
	weir__list_init(&b);
	weir__list_splice(&a, &b);
	CHECK(weir__list_empty(&a) && weir__list_empty(&b));
	for (int i = 0; i < 4; i++)
		weir__list_append(i < 2 ? &a : &b, &links[i]);
	weir__list_splice(&a, &b);
	CHECK(weir__list_empty(&b));
	for (int i = 0; i < 4; i++) {
		link = weir__list_pop(&a);
		CHECK(link == &links[i]);
	}
	CHECK(weir__list_empty(&a));
}
