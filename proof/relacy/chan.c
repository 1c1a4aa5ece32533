/*
 * Channels.
 */
#include "scenario.h"

static weir_chan *ch;
static int box[4];
static int *got[4];

static void
setup(size_t capacity)
{
	CHECK(weir_chan_new(&ch, sizeof(int *), capacity) == WEIR_OK);
	for (int i = 0; i < 4; i++) {
		box[i] = 0;
		got[i] = NULL;
	}
}

static void
setup_one(void)
{
	setup(1);
}

static void
tear_down(void)
{
	ch = weir_chan_free(ch, NULL, NULL);
}

/* Send box i, with something in it. */
static weir_status
send(int i)
{
	int *at = &box[i];

	weir__data_write(at);
	*at = i + 1;
	return weir_chan_send(ch, &at, NULL);
}

static weir_status
receive(int i)
{
	weir_status status = weir_chan_recv(ch, &got[i], NULL);

	if (status == WEIR_OK) {
		weir__data_read(got[i]);
		CHECK(*got[i] == got[i] - box + 1);
	}
	return status;
}

static void
send_one(void)
{
	CHECK(send(0) == WEIR_OK);
}

static void
receive_one(void)
{
	CHECK(receive(0) == WEIR_OK);
}

static void
receive_another(void)
{
	CHECK(receive(1) == WEIR_OK);
}

static void
send_two(void)
{
	CHECK(send(0) == WEIR_OK);
	CHECK(send(1) == WEIR_OK);
}

const struct weir_scenario chan_scenarios[] = {
	{.name = "chan_one",
	 .promise =
		 "a receiver that waits gets the one element although nobody "
		 "closes",
	 .setup = setup_one,
	 .thread = {send_one, receive_one},
	 .finish = tear_down},
	{.name = "chan_two_receivers",
	 .promise = "two receivers that wait get an element each although "
		    "nobody closes",
	 .setup = setup_one,
	 .thread = {send_two, receive_one, receive_another},
	 .finish = tear_down},
	{.name = NULL},
};
